"""Money: google.type.Money on the wire, integer minor units everywhere else."""

from __future__ import annotations

from dataclasses import dataclass

from google.type.money_pb2 import Money

from services.kernel.errors import Violation
from services.kernel.validation import Violations

MINOR_UNITS_MAX = 10**12
NANOS = 10**9


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency, and what its minor units are.

    Attributes:
        code: Its code in ISO 4217.
        digits: The number of decimals of an amount.
    """

    code: str
    digits: int


def to_wire(minor: int, currency: Currency) -> Money:
    """Turn minor units into Money; units and nanos share the sign."""
    scale = 10**currency.digits
    units, rest = divmod(abs(minor), scale)
    sign = -1 if minor < 0 else 1
    return Money(
        currency_code=currency.code, units=sign * units, nanos=sign * rest * (NANOS // scale)
    )


def read_amount(
    v: Violations, money: Money, currency: Currency, field: str, *, positive: bool = False
) -> int:
    """Read an amount in minor units; a wrong one is a violation."""
    amount = from_wire(money, currency, field=field, positive=positive)
    if isinstance(amount, Violation):
        v.violations.append(amount)
        return 0
    return amount


def from_wire(
    money: Money, currency: Currency, *, field: str, positive: bool = False
) -> int | Violation:
    """Turn Money into minor units, or describe its violation.

    Args:
        money: The amount.
        currency: The accepted currency; an empty code stands for it.
        field: The amount's path in the request.
        positive: Whether zero is a violation, too.
    """
    if money.currency_code not in ("", currency.code):
        return Violation(f"{field}.currency_code", f"must be {currency.code}")
    if money.units < 0 or money.nanos < 0:
        return Violation(field, "must be positive" if positive else "must not be negative")
    step = NANOS // 10**currency.digits
    if money.nanos >= NANOS or money.nanos % step:
        return Violation(f"{field}.nanos", f"must be a multiple of {step} below {NANOS}")
    minor: int = money.units * 10**currency.digits + money.nanos // step
    if minor > MINOR_UNITS_MAX:
        return Violation(field, f"must be at most {MINOR_UNITS_MAX} minor units")
    if positive and not minor:
        return Violation(field, "must be positive")
    return minor
