"""Characters that show nothing, by their Unicode category."""

from __future__ import annotations

import unicodedata
from typing import Final

# Controls, surrogates, unassigned and private ones, format characters, line breaks.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_LINE_CONTROLS: Final = frozenset("\n\r\t")
# Letters of some scripts and emoji need a joiner or its opposite between two of them.
_JOINERS: Final = frozenset("\u200c\u200d")
# Fillers and the blank have the category of letters and symbols, but show nothing.
_BLANK: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def has_hidden(text: str, *, multiline: bool) -> bool:
    """Say whether a text has a character that shows nothing or changes what is around it.

    Args:
        text: The text.
        multiline: Whether line breaks and tabs are allowed.
    """
    if text.isascii() and text.isprintable():
        return False
    return any(
        unicodedata.category(each) in _HIDDEN and not _is_allowed(text, place, multiline=multiline)
        for place, each in enumerate(text)
    )


def has_visible(text: str) -> bool:
    """Say whether a text has a character that shows something by itself."""
    return any(unicodedata.category(each)[0] in "LNPS" and each not in _BLANK for each in text)


def longest_run_of_marks(text: str) -> int:
    """Return the length of the longest run of combining marks."""
    if text.isascii():
        return 0
    longest = run = 0
    for each in text:
        run = run + 1 if unicodedata.combining(each) else 0
        longest = max(longest, run)
    return longest


def _is_allowed(text: str, place: int, *, multiline: bool) -> bool:
    if text[place] in _LINE_CONTROLS:
        return multiline
    return text[place] in _JOINERS and _joins(text[:place][-1:]) and _joins(text[place + 1 :][:1])


def _joins(neighbour: str) -> bool:
    return neighbour != "" and unicodedata.category(neighbour)[0] in "LMS"
