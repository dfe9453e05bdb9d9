"""Open a session for an e-mail address and its password."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from services.auth.domain import challenges
from services.auth.domain.audit import Audit, Event
from services.auth.domain.challenges import Challenge
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.passwords import Hasher, PasswordMatch
from services.auth.domain.sessions import SessionIssuer, Tokens
from services.auth.errors import AccountDisabled, InvalidCredentials
from services.auth.model import CanonicalEmail, Status
from services.auth.store import credentials
from services.auth.store.credentials import Credentials
from services.auth.store.sessions import SessionClient
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import TooManyRequests


@dataclass(frozen=True, slots=True)
class Login:
    """Opens sessions."""

    database: Database
    hasher: Hasher
    throttle: LoginThrottle
    sessions: SessionIssuer
    audit: Audit

    async def __call__(
        self, *, email: CanonicalEmail, password: str, client: SessionClient
    ) -> Tokens | Challenge:
        """Open a session, or ask for the second factor of an account that has one.

        E-mails with and without an account get the same answer after the same work.

        Args:
            email: The result of `comparable_form`.
            password: Any text; it is wrong if it breaks the rules of passwords.
            client: The caller.

        Raises:
            InvalidCredentials: The e-mail or the password is wrong.
            AccountDisabled: They are right, but the account is disabled.
            TooManyRequests: The account must wait, or too many passwords are being hashed.
        """
        self.hasher.ensure_room()
        await self.throttle.ensure_allowed(email, client_ip=client.ip)
        found = await credentials.by_email(self.database, email)
        match = await self.hasher.verify(password, found.password_hash if found else None)
        if found is None or not match:
            await self.throttle.fail(
                email,
                user_id=found.user_id if found else None,
                client_ip=client.ip,
            )
            raise InvalidCredentials
        tokens = await self._open(found, client)
        if match is PasswordMatch.IN_OLD_FORM or self.hasher.is_outdated(found.password_hash):
            await self._update_hash(found, password)
        return tokens

    async def _open(self, found: Credentials, client: SessionClient) -> Tokens | Challenge:
        async def work(tx: Transaction) -> Tokens | Challenge:
            # The lock keeps a session from outliving a deletion, a disabling or a new
            # password that happens at the same time, and logins from counting sessions at once.
            now = await credentials.lock(tx, found.user_id)
            await self.throttle.ensure_no_wait(tx, found.email, client_ip=client.ip)
            if now is None or not now.are_those_of(found):
                raise InvalidCredentials
            if now.status is Status.DISABLED:
                raise AccountDisabled
            if now.status is not Status.ACTIVE:
                raise InvalidCredentials
            if client.language is not None and client.language != now.language:
                await credentials.set_language(tx, now.user_id, client.language)
            if now.has_second_factor:
                # Wrong second factors count as wrong passwords: a right password clears none.
                await self.audit.write(
                    tx, Event.LOGIN_HALF, user_id=found.user_id, client_ip=client.ip
                )
                return await challenges.issue(tx, now, client)
            await self.throttle.succeed(tx, found.email, client_ip=client.ip)
            await self.audit.write(
                tx, Event.LOGIN_SUCCESS, user_id=found.user_id, client_ip=client.ip
            )
            return await self.sessions.open(tx, now, client)

        return await self.database.transact("login", work)

    async def _update_hash(self, found: Credentials, password: str) -> None:
        with contextlib.suppress(TooManyRequests):  # a later login will do it
            new_hash = await self.hasher.hash(password)

            async def work(tx: Transaction) -> None:
                await credentials.replace(
                    tx, found.user_id, old_hash=found.password_hash, new_hash=new_hash
                )

            await self.database.transact("rehash", work)
