"""Checking requests: every wrong field is found before anything is said.

wrong = Problems(); name = wrong.text(request.name, "name", longest=100); wrong.raise_any()
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from services.kernel.errors import InvalidField, Violation

NAME_MAX = 100
COMPANY_MAX = 200
ADDRESS_MAX = 300
DESCRIPTION_MAX = 5000
BIO_MAX = 2000
URL_MAX = 2048

_PHONE = re.compile(r"\+?[0-9]{10,15}")
_PHONE_SEPARATORS = re.compile(r"[ \-()\[\]]")
_MULTILINE_CONTROLS = {"\n", "\r", "\t"}


class Problems:
    """Collects what is wrong with a request."""

    def __init__(self) -> None:
        """Begin with nothing wrong."""
        self.violations: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note that a field is wrong, and what would be right."""
        self.violations.append(Violation(field, description))

    def raise_any(self) -> None:
        """Raise InvalidField if anything is wrong."""
        if self.violations:
            raise InvalidField(*self.violations)

    def text(
        self,
        value: str | None,
        field: str,
        *,
        longest: int,
        required: bool = False,
        lines: bool = False,
    ) -> str | None:
        """Check a text and return it trimmed and in NFC, or None when it is empty.

        Args:
            value: The text; None when the field is absent.
            field: Its path.
            longest: The most characters.
            required: Whether it must not be empty.
            lines: Whether line breaks and tabs are welcome.
        """
        trimmed = unicodedata.normalize("NFC", (value or "").strip())
        if not trimmed:
            if required:
                self.add(field, "is required")
            return None
        if len(trimmed) > longest:
            self.add(field, f"must be at most {longest} characters")
        elif _has_controls(trimmed, allowed=_MULTILINE_CONTROLS if lines else set()):
            self.add(field, "must not contain control characters")
        return trimmed

    def phone(self, value: str | None, field: str, *, required: bool = False) -> str | None:
        """Check a phone number and return it as digits after a plus, or None."""
        bare = _PHONE_SEPARATORS.sub("", (value or "").strip())
        if not bare:
            if required:
                self.add(field, "is required")
            return None
        if not _PHONE.fullmatch(bare):
            self.add(field, "must be 10 to 15 digits, optionally after a plus")
            return None
        return "+" + bare.lstrip("+")

    def url(self, value: str | None, field: str) -> str | None:
        """Check the address of a page or picture: http or https, with a host."""
        text = self.text(value, field, longest=URL_MAX)
        if text is not None and not _is_web_address(text):
            self.add(field, "must be an http or https address")
        return text

    def choice(
        self, value: str | None, field: str, allowed: tuple[str, ...], *, required: bool = False
    ) -> str | None:
        """Check that a value is one of a vocabulary."""
        if not value:
            if required:
                self.add(field, f"is required: one of {', '.join(allowed)}")
            return None
        if value not in allowed:
            self.add(field, f"must be one of {', '.join(allowed)}")
            return None
        return value

    def mask(
        self,
        paths: Iterable[str],
        allowed: Collection[str],
        *,
        identity: str,
        values: Collection[str] = (),
    ) -> list[str]:
        """Check an update mask and return the fields that it names; `*` is all of them.

        Args:
            paths: The mask.
            allowed: The fields that can be changed.
            identity: The field that says which resource is meant. It and the etag are
                no changes, though whoever sends back what they read names them too
                (AIP-134, AIP-154).
            values: Messages among the fields that are one value, such as money: a path
                into one means all of it.
        """
        heads = {path: path.partition(".")[0] for path in paths}
        whole = (head if head in values else path for path, head in heads.items())
        named = list(dict.fromkeys(whole))
        if named == ["*"]:
            return list(allowed)
        for path in named:
            if path not in allowed and path not in (identity, "etag"):
                self.add("update_mask", f"{path!r} can't be changed: use {', '.join(allowed)}")
        return [path for path in named if path in allowed]


def _has_controls(text: str, *, allowed: set[str]) -> bool:
    return any(unicodedata.category(each) in ("Cc", "Cs") for each in text if each not in allowed)


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        return is_web and " " not in text and parts.port != 0  # a malformed one raises
    except ValueError:
        return False
