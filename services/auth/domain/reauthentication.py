"""Reauthentication: a user repeats the password before a change that needs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from services.auth.domain.audit import Audit, Event
from services.auth.domain.passwords import Hasher
from services.auth.errors import InvalidCredentials
from services.auth.store import credentials, sessions
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import SessionEnded
from services.kernel.rpc.call import UserPrincipal


@dataclass(frozen=True, slots=True)
class Reauthentication:
    """Compares passwords of users who are logged in.

    Wrong ones count for the session alone, which ends with the tenth in a row. So no
    stranger can hold up a user who is logged in.
    """

    database: Database
    hasher: Hasher
    audit: Audit

    async def prove(
        self, caller: UserPrincipal, password: str, *, client_ip: str | None
    ) -> Credentials:
        """Return the credentials of a user who knows the password.

        Raises:
            InvalidCredentials: The password is wrong.
            SessionEnded: The user was deleted a moment ago, or this was the tenth wrong one.
            TooManyRequests: Too many passwords are being hashed.
        """
        self.hasher.ensure_room()
        found = await credentials.by_id(self.database, caller.id)
        if found is None:
            raise SessionEnded
        # Each try is taken before it is made: no more than ten can be made at once.
        take = partial(sessions.take_password_try, session_id=caller.session_id)
        tries = await self.database.transact("password.take", take)
        if tries is None:
            raise SessionEnded
        if await self.hasher.verify(password, found.password_hash):
            # Otherwise a right password would give new tries at the second factor.
            forgiving = (
                sessions.give_back_try if found.has_second_factor else sessions.forgive_passwords
            )
            forgive = partial(forgiving, session_id=caller.session_id)
            await self.database.transact("password.right", forgive)
            return found
        await self._fail(caller, found, tries, client_ip)
        raise InvalidCredentials("The password is wrong.")

    async def _fail(
        self, caller: UserPrincipal, found: Credentials, tries: int, client_ip: str | None
    ) -> None:
        has_ended = tries >= sessions.PASSWORD_TRIES

        async def note(tx: Transaction) -> None:
            # Lock against a deletion, which takes IPs out of the log.
            user = await credentials.hold(tx, caller.id)
            write = partial(
                self.audit.write,
                tx,
                user_id=None if user is None else user.user_id,
                account=found.email,
                client_ip=client_ip,
            )
            await write(Event.CREDENTIALS_CHANGE_FAIL, failures=tries)
            if has_ended:
                await sessions.end(tx, caller.session_id)
                await write(Event.SESSION_REVOKED, by="wrong passwords")

        await self.database.transact("password.wrong", note)
        if has_ended:
            raise SessionEnded
