"""Money: google.type.Money on the wire, integer minor units everywhere else."""

from __future__ import annotations

from google.type.money_pb2 import Money

from services.kernel.errors import Violation

MINOR_UNITS_MAX = 10**12
NANOS = 10**9

# ISO 4217: currencies whose minor unit is not a hundredth.
_DIGITS = {
    "JPY": 0,
    "KRW": 0,
    "VND": 0,
    "CLP": 0,
    "ISK": 0,
    "BHD": 3,
    "KWD": 3,
    "JOD": 3,
    "OMR": 3,
    "TND": 3,
}


def digits_of(currency: str) -> int:
    """Return how many decimals a currency has."""
    return _DIGITS.get(currency, 2)


def to_wire(minor: int, currency: str) -> Money:
    """Turn minor units into Money; units and nanos share the sign."""
    scale = 10 ** digits_of(currency)
    units, rest = divmod(abs(minor), scale)
    sign = -1 if minor < 0 else 1
    return Money(currency_code=currency, units=sign * units, nanos=sign * rest * (NANOS // scale))


def from_wire(
    money: Money, currency: str, *, field: str, positive: bool = False
) -> int | Violation:
    """Turn Money into minor units, or describe its violation.

    Args:
        money: The amount.
        currency: The accepted currency; an empty code stands for it.
        field: The amount's path in the request.
        positive: Whether zero is a violation, too.
    """
    if money.currency_code not in ("", currency):
        return Violation(f"{field}.currency_code", f"must be {currency}")
    if money.units < 0 or money.nanos < 0:
        return Violation(field, "must be positive" if positive else "must not be negative")
    step = NANOS // 10 ** digits_of(currency)
    if money.nanos >= NANOS or money.nanos % step:
        return Violation(f"{field}.nanos", f"must be a multiple of {step} below {NANOS}")
    minor: int = money.units * 10 ** digits_of(currency) + money.nanos // step
    if minor > MINOR_UNITS_MAX:
        return Violation(field, f"must be at most {MINOR_UNITS_MAX} minor units")
    if positive and not minor:
        return Violation(field, "must be positive")
    return minor
