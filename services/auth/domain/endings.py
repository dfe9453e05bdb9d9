"""Endings: all that a credential or a session has opened ends with it.

Every flow carries the version of the credentials that it was opened with. So a flow that
was forgotten, or was written at the same moment, is refused when its code comes back.
"""

from __future__ import annotations

from uuid import UUID

from services.auth.errors import InvalidCredentials, OtpInvalid
from services.auth.model import Status
from services.auth.store import api_keys, codes, credentials, second_factors
from services.auth.store import sessions as session_store
from services.auth.store.codes import Flow
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Transaction
from services.kernel.errors import SessionEnded


async def end_opened(
    tx: Transaction,
    user_id: UUID,
    *,
    keep_session: UUID | None = None,
    sessions: bool = True,
    keep_api_keys: bool = False,
) -> None:
    """End all that a user's credentials have opened, in the transaction that ends these.

    Args:
        tx: The transaction that ends the credentials.
        user_id: The user.
        keep_session: A session that lives on.
        sessions: Whether sessions end at all.
        keep_api_keys: Whether the API keys live on.
    """
    await credentials.raise_version(tx, user_id)
    await codes.end_of_user(tx, user_id)
    await second_factors.forget_unconfirmed(tx, user_id)
    if sessions:
        await session_store.end_all(tx, user_id, except_id=keep_session)
    if not keep_api_keys:
        await api_keys.end_of_user(tx, user_id)


async def lock_proven(tx: Transaction, proven: Credentials, *, session_id: UUID) -> Credentials:
    """Lock a user who has repeated the password, and return the credentials of now.

    Raises:
        SessionEnded: The session has ended since, or the user's access has.
        InvalidCredentials: The password was replaced since.
    """
    now = await credentials.lock(tx, proven.user_id)
    if now is None or now.status is not Status.ACTIVE:
        raise SessionEnded
    if not await session_store.hold(tx, session_id):
        raise SessionEnded
    if not now.are_those_of(proven):
        raise InvalidCredentials("The password has been changed already.")
    return now


async def spend(tx: Transaction, flow: Flow, *, saga_id: UUID | None) -> Credentials | None:
    """Spend the code of a user's flow, and return the credentials of the user, who is locked.

    Returns None when a copy of the request was faster.

    Raises:
        OtpInvalid: The flow has ended, with the credentials or the session that opened it.
    """
    assert flow.user_id is not None
    # Lock the user's row first, as every transaction does: endings take the flows along.
    user = await credentials.lock(tx, flow.user_id)
    if not await codes.spend(tx, flow.id, saga_id=saga_id):
        if await codes.get(tx, flow.id) is None:
            raise OtpInvalid
        return None
    if user is None or user.status is not Status.ACTIVE:
        raise OtpInvalid
    if user.credential_version != flow.credential_version:
        raise OtpInvalid
    if flow.session_id is not None and not await session_store.hold(tx, flow.session_id):
        raise OtpInvalid
    return user
