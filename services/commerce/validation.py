"""Checks that several use cases share."""

from __future__ import annotations

from uuid import UUID

from services.kernel.errors import InvalidField
from services.kernel.ids import parse_id
from services.kernel.validation import Violations


def checked_id(v: Violations, text: str, field: str) -> UUID | None:
    """Read an id, or note what is wrong with it and return None."""
    try:
        return parse_id(text, field=field)
    except InvalidField as error:
        v.violations += error.violations
        return None
