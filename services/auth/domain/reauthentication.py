"""Reauthentication: a user repeats the password before a change that needs it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Event
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.passwords import Hasher
from services.auth.errors import InvalidCredentials
from services.auth.store import credentials
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Database
from services.kernel.errors import SessionEnded


@dataclass(frozen=True, slots=True)
class Reauthentication:
    """Compares passwords of users who are logged in."""

    database: Database
    hasher: Hasher
    throttle: LoginThrottle

    async def prove(self, user_id: UUID, password: str, *, client_ip: str | None) -> Credentials:
        """Return the credentials of a user who knows the password.

        The transaction of the change must call `LoginThrottle.succeed`.

        Raises:
            InvalidCredentials: The password is wrong.
            SessionEnded: The user was deleted a moment ago.
            TooManyRequests: The account must wait, or too many passwords are being hashed.
        """
        found = await credentials.by_id(self.database, user_id)
        if found is None:
            raise SessionEnded
        await self.throttle.ensure_allowed(found.email)
        if await self.hasher.verify(password, found.password_hash):
            return found
        await self.throttle.fail(
            found.email, event=Event.CREDENTIALS_CHANGE_FAIL, user_id=user_id, client_ip=client_ip
        )
        raise InvalidCredentials("The password is wrong.")
