"""The fields that an update changes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from services.kernel.validation import Violations


def named_fields(
    v: Violations,
    request: Any,
    resource: str,
    allowed: Collection[str],
    *,
    identity: str,
    values: Collection[str] = (),
) -> list[str]:
    """Return the fields in the mask; without a mask, those that are set (AIP-134).

    A mask without paths is no absent mask: it names nothing, so nothing changes.

    Args:
        v: Gets what is wrong with the mask.
        request: A message with the fields `resource` and `update_mask`.
        resource: The field that holds the new values.
        allowed: The fields that a caller may change.
        identity: See `Violations.mask`.
        values: See `Violations.mask`.
    """
    if request.HasField("update_mask"):
        return v.mask(request.update_mask.paths, allowed, identity=identity, values=values)
    given = {field.name for field, _ in getattr(request, resource).ListFields()}
    return [name for name in allowed if name in given]
