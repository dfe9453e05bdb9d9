"""Identifiers: UUIDs, of which those made here are of version 7 (RFC 9562), and processes."""

from __future__ import annotations

import os
import socket
from uuid import UUID

from uuid_utils.compat import uuid7

from services.kernel.errors import InvalidField, Violation

__all__ = ["new_id", "parse_id", "process_name"]


def new_id() -> UUID:
    """Make an id that sorts by time, so that an index grows at its end."""
    return uuid7()


def parse_id(text: str, *, field: str) -> UUID:
    """Read any RFC 9562 UUID in its usual form (8-4-4-4-12 hexadecimal digits).

    Raises:
        InvalidField: The text is not such an id.
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


def process_name(program: str) -> str:
    """Name this process for leases, sessions of PostgreSQL and metrics: program@host:pid."""
    return f"{program}@{socket.gethostname()}:{os.getpid()}"
