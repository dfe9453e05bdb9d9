"""How many decimals each currency has, by ISO 4217."""

from __future__ import annotations

from typing import Final

# What version 0.1 took for the decimals of a currency. All others had two.
OLD_DIGITS: Final = {
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
_OLD_DIGITS_OF_OTHERS: Final = 2


def digits_of(code: str) -> int | None:
    """Return the decimals of a currency; None if ISO 4217 has no such currency, or no decimals."""
    import iso4217  # reads the list of ISO, which few processes need

    try:
        return iso4217.Currency(code).exponent
    except ValueError:
        return None


def old_digits_of(code: str) -> int:
    """Return what version 0.1 took for the decimals of a currency."""
    return OLD_DIGITS.get(code, _OLD_DIGITS_OF_OTHERS)
