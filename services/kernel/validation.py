"""Checks of a request's form, which report all wrong fields at once.

with Violations() as v:
    name = v.text(request.name, "name", max_length=100, required=True)
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from types import TracebackType
from typing import Literal, Self, overload
from urllib.parse import urlsplit
from uuid import UUID

from services.kernel import characters
from services.kernel.errors import InvalidField, Violation
from services.kernel.ids import parse_id

URL_MAX = 2048
NIL = UUID(int=0)

# No text becomes shorter than by this factor in NFC (Unicode FAQ, Normalization).
SHRINKAGE_MAX = 4
# The work of NFC grows with the square of such a run (UAX 15, Stream-Safe Text Format).
MARKS_MAX = 30


class Violations:
    """Collects the violations of a request.

    As a context manager it raises InvalidField at its end if there are any. It includes the
    violations of an InvalidField that was raised inside. For a wrong field a check returns
    some value of the right type; the InvalidField keeps it from being used.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, InvalidField):
            self.violations.extend(error.violations)
        if error is None or isinstance(error, InvalidField):
            self.raise_any()

    def add(self, field: str, description: str) -> None:
        """Add a violation: the field's path, and a description of a right value."""
        self.violations.append(Violation(field, description))

    def raise_any(self) -> None:
        """Raise InvalidField if there are violations."""
        if self.violations:
            raise InvalidField(*self.violations)

    def uuid(self, value: str, field: str) -> UUID:
        """Check an id: any RFC 9562 UUID in its usual form."""
        try:
            return parse_id(value, field=field)
        except InvalidField as error:
            self.violations.extend(error.violations)
            return NIL

    def uuids(self, values: Sequence[str], field: str, *, limit: int) -> list[UUID]:
        """Check a list of ids: at least one, and at most so many."""
        if not 1 <= len(values) <= limit:
            self.add(field, f"must be 1 to {limit} ids")
            return []
        return [self.uuid(each, f"{field}[{place}]") for place, each in enumerate(values)]

    def user_id(self, value: str, field: str, *, me: UUID | None) -> UUID:
        """Check the id of a user; `me` stands for the caller's own, which a service lacks."""
        if value != "me":
            return self.uuid(value, field)
        if me is None:
            self.add(field, "must be an id: only a user can be `me`")
            return NIL
        return me

    def at_least(self, least: int, value: int, field: str) -> int:
        """Check that a number is at least `least`."""
        if value < least:
            self.add(field, f"must be at least {least}")
        return value

    @overload
    def text(
        self,
        value: str | None,
        field: str,
        *,
        max_length: int,
        required: Literal[True],
        multiline: bool = False,
    ) -> str: ...

    @overload
    def text(
        self,
        value: str | None,
        field: str,
        *,
        max_length: int,
        required: bool = False,
        multiline: bool = False,
    ) -> str | None: ...

    def text(
        self,
        value: str | None,
        field: str,
        *,
        max_length: int,
        required: bool = False,
        multiline: bool = False,
    ) -> str | None:
        """Check a text and return it trimmed and in NFC, or None when it is empty.

        A text must show something: it needs a letter, a digit or another visible character,
        and has no character that shows nothing, breaks the line or changes what is around it.

        Args:
            value: The text; None when the field is absent.
            field: The field's path.
            max_length: The most characters after trimming.
            required: Whether the text must not be empty.
            multiline: Whether line breaks and tabs are allowed.
        """
        trimmed = (value or "").strip()
        if not trimmed:
            if required:
                self.add(field, "is required")
            return "" if required else None
        if len(trimmed) > max_length * SHRINKAGE_MAX:
            self.add(field, f"must be at most {max_length} characters")
            return ""
        if characters.longest_run_of_marks(trimmed) > MARKS_MAX:
            self.add(field, f"must have at most {MARKS_MAX} combining marks in a row")
            return ""
        trimmed = unicodedata.normalize("NFC", trimmed)
        if len(trimmed) > max_length:
            self.add(field, f"must be at most {max_length} characters")
        elif characters.has_hidden(trimmed, multiline=multiline):
            self.add(field, "must not contain control or invisible characters")
        elif not characters.has_visible(trimmed):
            self.add(field, "must have a visible character")
        return trimmed

    def url(self, value: str | None, field: str) -> str | None:
        """Check a URL of the web: http or https, with a host."""
        text = self.text(value, field, max_length=URL_MAX)
        if text is not None and not _is_web_url(text):
            self.add(field, "must be an http or https URL")
        return text

    def choice(
        self, value: str | None, field: str, allowed: tuple[str, ...], *, required: bool = False
    ) -> str | None:
        """Check that a value is one of the allowed ones."""
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
            paths: The paths in the mask.
            allowed: The fields that a caller may change.
            identity: The field that names the resource. A mask may name it and the etag,
                because a caller may send back all that it read (AIP-134, AIP-154).
            values: The fields that are one value although they are messages, such as money.
                A path into one means all of it.
        """
        heads = {path: path.partition(".")[0] for path in paths}
        whole = (head if head in values else path for path, head in heads.items())
        named = list(dict.fromkeys(whole))
        if named == ["*"]:
            return list(allowed)
        for path in named:
            if path not in allowed and path not in (identity, "etag"):
                self.add("update_mask", f"cannot change {path!r}: use {', '.join(allowed)}")
        return [path for path in named if path in allowed]


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        return is_web and " " not in text and parts.port != 0  # .port may raise
    except ValueError:
        return False
