"""Freshness: some changes need a password that was proven within the last five minutes."""

from __future__ import annotations

from services.auth.errors import ReauthenticationRequired
from services.auth.store import session_checks
from services.kernel.db.database import Reader
from services.kernel.errors import SessionEnded
from services.kernel.rpc.call import Caller, ServicePrincipal


async def require_fresh(reader: Reader, caller: Caller) -> None:
    """Refuse a session whose user did not prove the password within the last five minutes.

    A login or `Reauthenticate` proves it; a refresh does not. A service has no password, and
    proves itself with each call.

    Raises:
        ReauthenticationRequired: It was proven longer ago.
        SessionEnded: The session has ended meanwhile.
    """
    if isinstance(caller, ServicePrincipal):
        return
    is_fresh = await session_checks.is_fresh(reader, caller.session_id)
    if is_fresh is None:
        raise SessionEnded
    if not is_fresh:
        raise ReauthenticationRequired
