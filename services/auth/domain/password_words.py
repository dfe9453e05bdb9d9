"""Words that passwords are made of: a password is compared with what people begin from.

People take a common word or their own name, and add digits and symbols until the rules are
satisfied. So these are taken away before a password is compared.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Iterable, Iterator
from typing import Final

from services.auth.model import CanonicalEmail
from services.common.vocabulary import Role

LETTERS_MIN: Final = 4  # shorter words are parts of too many good passwords

# Characters that stand for letters. A 1 stands for two of them.
_READ_AS: Final = (
    str.maketrans("013457@$!8", "oieastasib"),
    str.maketrans("013457@$!8", "oleastasib"),
)
_AROUND: Final = (
    re.compile(r"^[^a-z0-9]+|[^a-z0-9]+$"),
    re.compile(r"^[^a-z]+|[^a-z]+$"),
    re.compile(r"[^a-z]+$"),
)
# Rows of keys with symbols, which are too short of letters to be found otherwise.
_ROWS: Final = frozenset(
    [
        "!qaz1qaz",
        "12345678aa!",
        "123456aa!",
        "@wsx1qaz",
        "a1234567!",
        "aa123456!",
        "aa12345678!",
        "aa123456@",
        "aa@123456",
        "abc123!@",
        "abc123!@#",
        "abc12345!",
        "abc@1234",
        "abc@12345",
        "abcd!234",
        "abcd@1234",
        "qwer!234",
        "zaq1@wsx",
    ]
)
_PART: Final = re.compile(r"[^\W\d_]+")
_CONTEXT: set[str] = {"lockstep", "company", "login", "administrator", *Role}


@functools.cache
def common_passwords() -> frozenset[str]:
    """Return the most common leaked passwords, in lower case (OWASP ASVS 5, 6.2.4)."""
    text = (
        importlib.resources.files(__package__).joinpath("common_passwords.txt").read_text("utf-8")
    )
    return frozenset(text.partition("\n----------\n")[2].split())


def add_context(words: str | None) -> None:
    """Add words that an installation's people would think of, for the whole process.

    Args:
        words: The words, separated by commas.
    """
    _CONTEXT.update(_parts([words]))


def is_common(password: str) -> bool:
    """Say whether a password is a common one, perhaps with something around it."""
    return password.lower() in _ROWS or any(
        candidate in common_passwords() and sum(map(str.isalpha, candidate)) >= LETTERS_MIN
        for candidate in _candidates(password.lower())
    )


def without_words(
    password: str, *, email: CanonicalEmail | None, names: Iterable[str | None]
) -> int:
    """Return how many characters a password has beside the words of its context.

    Args:
        password: The password.
        email: The account's address; None when it is not known.
        names: Names of the account: of a person, a company.
    """
    words = sorted({*_CONTEXT, *_parts([email, *names])}, key=len, reverse=True)
    lower = password.lower()
    return min(
        _left(form, words) for form in (lower, *(lower.translate(each) for each in _READ_AS))
    )


def _candidates(lower: str) -> Iterator[str]:
    for bare in {lower, *(pattern.sub("", lower) for pattern in _AROUND)}:
        yield bare
        for table in _READ_AS:
            yield bare.translate(table)


def _left(form: str, words: Iterable[str]) -> int:
    for word in words:
        form = form.replace(word, "")
    return len(form)


def _parts(texts: Iterable[str | None]) -> set[str]:
    """Return the words in texts, in lower case, that are long enough."""
    found = (part for text in texts for part in _PART.findall((text or "").lower()))
    return {part for part in found if len(part) >= LETTERS_MIN}
