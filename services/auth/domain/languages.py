"""The languages of mails, and which of them a reader wants."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from services.kernel.rpc.call import Call


class Language(StrEnum):
    """A language that mails are written in."""

    EN = "en"
    DE = "de"


DEFAULT: Final = Language.EN
HEADER: Final = "accept-language"
_READ_MAX: Final = 1000  # characters; browsers send fewer than a hundred

_RANGE = re.compile(
    r"\s*(?P<tag>[A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*\s*"
    r"(?:;\s*[qQ]\s*=\s*(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?"
)


def language_of(call: Call) -> Language | None:
    """Return the language that a caller reads; None when the caller names none of ours."""
    return negotiate(call.metadata.get(HEADER, ""))


def negotiate(header: str) -> Language | None:
    """Return the language that an Accept-Language prefers (RFC 9110, 12.5.4), or None.

    Of languages with one weight the first counts. What is malformed names nothing.
    """
    best, best_weight = None, 0.0
    for part in header[:_READ_MAX].split(","):
        found = _RANGE.fullmatch(part)
        language = None if found is None else _OURS.get(found["tag"].lower())
        if found is None or language is None:
            continue
        weight = float(found["weight"] or 1)
        if weight > best_weight:
            best, best_weight = language, weight
    return best


_OURS: Final = {**{each.value: each for each in Language}, "*": DEFAULT}
