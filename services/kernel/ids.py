"""Identifiers: UUIDs, version 7 (RFC 9562) when they are ours."""

from __future__ import annotations

from uuid import UUID

from uuid_utils.compat import uuid7

from services.kernel.errors import InvalidField, Violation

__all__ = ["new_id", "parse_id"]


def new_id() -> UUID:
    """Make an id that sorts by time, so that indexes grow at their end."""
    return uuid7()


def parse_id(text: str, *, field: str) -> UUID:
    """Read an id in the usual form (8-4-4-4-12 hexadecimal digits).

    Raises:
        InvalidField: It is not one; any RFC 9562 UUID is accepted.
    """
    try:
        value = UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text.lower():
        raise InvalidField(
            Violation(field, "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
        )
    return value
