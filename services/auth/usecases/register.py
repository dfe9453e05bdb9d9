"""Register an account: a user and a profile, both or neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

from services.auth.domain.passwords import Hasher
from services.auth.domain.registration import Details
from services.auth.errors import EmailTaken, RegistrationInProgress, RegistrationUnavailable
from services.auth.model import Status
from services.auth.sagas.registration import RegistrationSaga, payload_of
from services.auth.store import users
from services.common.errors import PhoneTaken
from services.common.vocabulary import Role
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import SagaNotFound
from services.kernel.ids import new_id
from services.kernel.sagas import idempotency
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.protocol import NewSaga, Outcome
from services.kernel.sagas.store import Json

# What `Register.ensure_possible` says no with.
REFUSALS = (EmailTaken, PhoneTaken, RegistrationInProgress, RegistrationUnavailable)


class Profiles(Protocol):
    """What has to be known of Profile before anything is written."""

    async def phone_exists(self, phone_number: str) -> bool:
        """Say whether a phone number is taken.

        Raises:
            ProfileUnavailable: No answer in time.
        """

    async def ensure_serving(self) -> None:
        """Make sure that Profile can work.

        Raises:
            ProfileUnavailable: It can't.
        """


class Register:
    """Registers accounts.

    Args:
        database: Auth's.
        engine: Drives the sagas.
        profiles: Asks Profile.
        hasher: Hashes passwords.
    """

    def __init__(
        self, database: Database, engine: SagaEngine, profiles: Profiles, hasher: Hasher
    ) -> None:
        """See the class."""
        self._database = database
        self._engine = engine
        self._profiles = profiles
        self._hasher = hasher

    async def __call__(self, details: Details, *, password: str, key: RequestKey | None) -> Json:
        """Register, and return the new user, profile and brand as JSON.

        Raises:
            EmailTaken, PhoneTaken, RegistrationInProgress: Nothing was written.
            ProfileUnavailable: Nothing was, or nothing will be.
            DeadlineExceeded: Nobody knows yet; the same key tells.
        """
        if (saga_id := await self._saga_of(key)) is not None:
            return await self._attach(saga_id)
        try:
            await self.ensure_possible(details)
        except REFUSALS:
            # Perhaps because a copy of this request has gone through meanwhile.
            if (saga_id := await self._saga_of(key)) is None:
                raise
            return await self._attach(saga_id)
        password_hash = await self._hasher.hash(password)
        return await self._run(details, password_hash, key)

    async def ensure_possible(self, details: Details) -> None:
        """Refuse what the constraints would refuse, before the work of hashing."""
        status = await users.status_of_email(self._database, details.email.canonical)
        if status is not None:
            raise _taken(status)
        if details.phone_number is None:
            await self._profiles.ensure_serving()
        elif await self._profiles.phone_exists(details.phone_number):
            raise PhoneTaken

    async def _saga_of(self, key: RequestKey | None) -> UUID | None:
        kept = None if key is None else await idempotency.find(self._database, key)
        return None if kept is None else kept.saga_id

    async def _run(self, details: Details, password_hash: str, key: RequestKey | None) -> Json:
        saga_id = new_id()

        async def claim_key(tx: Transaction) -> None:
            if key is not None and (kept := await idempotency.claim(tx, key, saga_id=saga_id)):
                raise _SameRequest(kept.saga_id)

        try:
            outcome = await begin(
                self._database,
                self._engine,
                details,
                saga_id=saga_id,
                password_hash=password_hash,
                is_verified=False,
                first=claim_key,
            )
        except _SameRequest as same:
            return await self._attach(same.saga_id)
        except EmailTaken:
            status = await users.status_of_email(self._database, details.email.canonical)
            raise _taken(status) from None
        return outcome.unwrap()

    async def _attach(self, saga_id: UUID | None) -> Json:
        assert saga_id is not None
        try:
            return (await self._engine.attach(saga_id)).unwrap()
        except SagaNotFound:
            # Its row is committed with the key's: it has been cleaned up since.
            raise RegistrationInProgress from None


async def begin(
    database: Database,
    engine: SagaEngine,
    details: Details,
    *,
    saga_id: UUID,
    password_hash: str,
    is_verified: bool,
    first: Callable[[Transaction], Awaitable[None]],
) -> Outcome:
    """Run the registration saga for details that were checked.

    Args:
        database: Auth's.
        engine: Drives the saga.
        details: The registration.
        saga_id: A fresh id.
        password_hash: Of the password; goes into the user's row and nowhere else.
        is_verified: Whether the mailbox is proven already.
        first: Runs first in the transaction that inserts the user.

    Raises:
        EmailTaken: A user has the address, perhaps a PENDING one.
        DomainError: What `first` raised, or what the saga ended with.
    """
    await _ensure_role(database, details.role)
    user_id = new_id()

    async def initial_change(tx: Transaction) -> None:
        await first(tx)
        await users.insert_pending(
            tx,
            user_id=user_id,
            saga_id=saga_id,
            email=details.email,
            password_hash=password_hash,
            full_name=details.full_name,
            role=details.role,
        )

    return await engine.run(
        NewSaga(
            id=saga_id,
            kind=RegistrationSaga.kind,
            payload=payload_of(details, is_verified=is_verified),
            user_id=user_id,
            initial_change=initial_change,
        )
    )


async def _ensure_role(database: Database, role: Role) -> None:
    # In a transaction of its own: a lock on the role's row would make all
    # registrations queue behind one another.
    async def ensure(tx: Transaction) -> None:
        await users.ensure_role(tx, role)

    if not await users.role_exists(database, role):
        await database.transact("role", ensure)


def _taken(status: Status | None) -> EmailTaken | RegistrationInProgress:
    """A PENDING user may yet vanish, and one that has vanished was PENDING."""
    return RegistrationInProgress() if status in (None, Status.PENDING) else EmailTaken()


class _SameRequest(Exception):
    """The key names a saga; internal to this module."""

    def __init__(self, saga_id: UUID | None) -> None:
        super().__init__()
        self.saga_id = saga_id
