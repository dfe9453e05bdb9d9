"""Make a user an administrator, or an administrator a customer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from services.auth.domain.administrators import ensure_one_remains
from services.auth.domain.audit import Audit, Event
from services.auth.domain.freshness import require_fresh
from services.auth.errors import UserNotFound
from services.auth.model import CanonicalEmail, User
from services.auth.store import accounts, credentials, users
from services.common.vocabulary import Role
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import UserPrincipal


@dataclass(frozen=True, slots=True)
class ChangeRole:
    """Gives users the role of administrators, and takes it away."""

    database: Database
    audit: Audit

    async def __call__(
        self,
        account: UUID | CanonicalEmail,
        role: Role,
        *,
        caller: UserPrincipal | None,
        actor: str,
        client_ip: str | None,
    ) -> User:
        """Give a user, named by the id or the e-mail, a role; a repeat changes nothing.

        Args:
            account: The user.
            role: The role; only administrators become customers, all others keep theirs.
            caller: The administrator who calls; None when a service does.
            actor: The name of the caller in the audit log.
            client_ip: The caller's.

        Raises:
            ReauthenticationRequired: The administrator proved the password too long ago.
            UserNotFound: There is no such user.
            LastAdministrator: No administrator would remain.
        """
        if caller is not None:
            await require_fresh(self.database, caller)

        async def work(tx: Transaction) -> User:
            await users.ensure_role(tx, role)
            await accounts.lock_administrators(tx)
            found = await credentials.by_name(tx, account)
            user = None if found is None else await accounts.lock(tx, found.user_id)
            if user is None:
                raise UserNotFound
            if role is not Role.ADMIN:
                if user.role != Role.ADMIN:
                    return user
                await ensure_one_remains(tx, user)
            await accounts.set_role(tx, user.id, role)
            await self.audit.write(
                tx,
                Event.ADMIN_CHANGE,
                user_id=user.id,
                actor=actor,
                client_ip=client_ip,
                role=role,
            )
            return replace(user, role=role)

        return await self.database.transact("role", work)
