"""Callers whose account may be deleted while they act on the data of others."""

from __future__ import annotations

from services.auth.store import credentials
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Transaction
from services.kernel.errors import SessionEnded
from services.kernel.rpc.call import Caller


async def hold_caller(tx: Transaction, caller: Caller) -> Credentials | None:
    """Lock the account of a caller against its deletion; return its credentials.

    A deletion takes the IPs of its user out of the audit log. What is written after it
    would keep one.

    Returns:
        None for a service, which has no account.

    Raises:
        SessionEnded: The account has gone meanwhile.
    """
    if caller.own_id is None:
        return None
    held = await credentials.hold(tx, caller.own_id)
    if held is None:
        raise SessionEnded
    return held
