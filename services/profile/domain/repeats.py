"""The rule for a second transfer with the same id."""

from __future__ import annotations

from dataclasses import replace

from services.kernel.errors import InvalidField, SagaCancelled, Violation
from services.profile.model import NewTransfer, Transfer, TransferState


def repeated(found: Transfer, new: NewTransfer, *, field: str = "transfer_id") -> Transfer:
    """Return the first transfer, if the second one has the same content.

    Args:
        found: The first one.
        new: The second one.
        field: The field of the request that has the id.

    Raises:
        InvalidField: The second one has another content.
        SagaCancelled: The first one is a debit that was voided, perhaps in advance.
    """
    is_tombstone = not found.fingerprint
    if found.kind != new.kind or not (is_tombstone or found.fingerprint == new.fingerprint):
        raise InvalidField(Violation(field, "was used for another transfer: make a new id"))
    if found.state is TransferState.VOIDED or found.is_undone:
        raise SagaCancelled("This transfer was voided.")
    return replace(found, user_id=new.user_id or found.user_id)
