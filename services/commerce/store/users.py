"""The memory of users that were forgotten."""

from __future__ import annotations

from uuid import UUID

from services.commerce.model import FORGOTTEN_USERS, IDEMPOTENCY, SAGAS
from services.common.forgetting import Forgetting
from services.kernel.db.database import Reader
from services.kernel.errors import SessionEnded

FORGETTING = Forgetting(IDEMPOTENCY, sagas=SAGAS, tombstones=FORGOTTEN_USERS)


async def ensure_known(reader: Reader, user_id: UUID) -> None:
    """Refuse the writes of a user whose account was deleted.

    Raises:
        SessionEnded: The account was deleted, and the token outlived it.
    """
    if await FORGETTING.is_forgotten(reader, user_id):
        raise SessionEnded
