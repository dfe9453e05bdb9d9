"""Single values of every type, read from JSON and from the text of a path or a query.

Both readers return the JSON value that the codec accepts: numbers and enums as numbers. The
text of an error continues the name of the field.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from lockstep_gateway.binding.strictjson import Number
from protobuf import DescEnum, ScalarType

_INTEGER = re.compile(r"-?[0-9]{1,40}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_INFINITE: Final = ("NaN", "Infinity", "-Infinity")

_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)
_UINT32 = (0, 2**32 - 1)
_UINT64 = (0, 2**64 - 1)
RANGES: Final = {
    ScalarType.INT32: _INT32,
    ScalarType.SINT32: _INT32,
    ScalarType.SFIXED32: _INT32,
    ScalarType.INT64: _INT64,
    ScalarType.SINT64: _INT64,
    ScalarType.SFIXED64: _INT64,
    ScalarType.UINT32: _UINT32,
    ScalarType.FIXED32: _UINT32,
    ScalarType.UINT64: _UINT64,
    ScalarType.FIXED64: _UINT64,
}

Check = Callable[[Any], Any]
"""Takes a JSON value and returns it in one form. Raises ValueError."""

FromText = Callable[[str], Any]
"""Takes a text and returns the JSON value of it. Raises ValueError."""


def check_of(type_: ScalarType | DescEnum) -> Check:
    """Return the check of a type's JSON values."""
    if isinstance(type_, DescEnum):
        return _enum_check(type_)
    if type_ in RANGES:
        return _integer_check(*RANGES[type_])
    return _CHECKS[type_]


def from_text_of(type_: ScalarType | DescEnum) -> FromText:
    """Return the reader of a type's text form."""
    check = check_of(type_)
    if isinstance(type_, DescEnum):
        return lambda text: check(int(text) if _INTEGER.fullmatch(text) else text)
    if type_ in RANGES:
        return lambda text: check(_plain_integer(text))
    if type_ is ScalarType.BOOL:
        return _bool_from_text
    return check


def _plain_integer(text: str) -> int:
    """Read ASCII digits with an optional minus; `int` alone takes more."""
    if not _INTEGER.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _bool_from_text(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def from_path(read: FromText) -> FromText:
    """Return the reader of a field in a path, where Google's clients write booleans as Python."""
    if read is not _bool_from_text:
        return read
    return lambda text: _bool_from_text(text.lower() if text in ("True", "False") else text)


def _integer_check(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int:
            return _whole(value, least, most)
        if not least <= value <= most:
            raise ValueError(f"must be between {least} and {most}")
        return value

    return check


def _whole(value: Any, least: int, most: int) -> int:
    """Read a whole number in the other forms of ProtoJSON: 1.0, 1e2, "1".

    A float would lose digits, so the text of the number is read.
    """
    text = value.text if isinstance(value, Number) else value
    if isinstance(value, bool) or not isinstance(text, str):
        raise ValueError("must be a whole number")
    number = Decimal(_plain_number(text))
    if not least <= number <= most:
        raise ValueError(f"must be between {least} and {most}")
    if number != number.to_integral_value():
        raise ValueError("must be a whole number")
    return int(number)


def _plain_number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise ValueError("must be a number")
    return text


def _double(value: Any) -> float | str:
    if isinstance(value, str):
        if value in _INFINITE:
            return value
        value = float(_plain_number(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    number = float(value)
    if math.isinf(number):
        raise ValueError("is too large")
    return number


def _float(value: Any) -> float | str:
    number = _double(value)
    if isinstance(number, str):
        return number
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        raise ValueError("is too large") from None
    return rounded


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _bytes(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string in base64")
    standard = value.replace("-", "+").replace("_", "/").rstrip("=")
    padding = "=" * (-len(standard) % 4)
    padded = standard + padding
    if len(value) not in (len(standard), len(padded)):
        raise ValueError("must be a string in base64")
    try:
        return base64.b64encode(base64.b64decode(padded, validate=True)).decode()
    except (binascii.Error, ValueError):
        raise ValueError("must be a string in base64") from None


def _enum_check(enum: DescEnum) -> Check:
    numbers = {value.name: value.number for value in enum.values}
    known = set(numbers.values())
    least, most = _INT32

    def check(value: Any) -> int:
        if isinstance(value, str) and value in numbers:
            return numbers[value]
        if type(value) is int and (value in known or (enum.open and least <= value <= most)):
            return value
        raise ValueError(f"must be one of {', '.join(numbers)}")

    return check


_CHECKS: Final[dict[ScalarType, Check]] = {
    ScalarType.DOUBLE: _double,
    ScalarType.FLOAT: _float,
    ScalarType.BOOL: _bool,
    ScalarType.STRING: _string,
    ScalarType.BYTES: _bytes,
}
