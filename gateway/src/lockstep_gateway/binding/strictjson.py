"""A strict reader of JSON (RFC 8259, I-JSON).

The codec takes the last of two equal members, and crashes on deep nesting. So every JSON text
is read here first.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, Final, NoReturn, Self

DEPTH_MAX: Final = 100
DIGITS_MAX: Final = 40
"""A whole number with more digits becomes a float: it fits into no integer field."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_STEP: Final = {"{": 1, "[": 1, "}": -1, "]": -1}


class Number(float):
    """A number with a fraction, an exponent or many digits, and its text.

    A float has 53 bits, so an integer field reads the text.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Read the text of a JSON number."""
        made = super().__new__(cls, text)
        made.text = text
        return made


class JsonError(ValueError):
    """Say what is wrong with a JSON text, or with the `member` of that name."""

    def __init__(self, reason: str, member: str = "") -> None:
        super().__init__(reason)
        self.member: Final = member


def read(body: bytes) -> Any:
    """Read a JSON text.

    Raises:
        JsonError: It is not JSON, has text behind it, a member twice, a lone surrogate,
            NaN or an infinite number, or is nested deeper than 100 levels.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise JsonError("must be UTF-8") from None
    return read_text(text)


def read_text(text: str) -> Any:
    """Read a JSON text; raise the errors of `read`."""
    if text.count("{") + text.count("[") > DEPTH_MAX and _depth(text) > DEPTH_MAX:
        raise JsonError(f"is nested deeper than {DEPTH_MAX} levels")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(f"is not JSON: {error.msg} at position {error.pos}") from None
    except RecursionError:
        raise JsonError(f"is nested deeper than {DEPTH_MAX} levels") from None
    if "\\u" in text:
        _refuse_lone_surrogates(value)
    return value


def _depth(text: str) -> int:
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonError("must not hold half a surrogate pair") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonError("is given twice", twice)
    return members


def _integer(text: str) -> int | Number:
    return int(text) if len(text) <= DIGITS_MAX else _float(text)


def _float(text: str) -> Number:
    number = Number(text)
    if math.isinf(number):
        raise JsonError("must not hold a number that is too large for a double")
    return number


def _constant(name: str) -> NoReturn:
    raise JsonError(f"is not JSON: {name}")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_constant,
)
