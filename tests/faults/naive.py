"""Registration as everybody writes it first: insert, call, delete when the call fails.

Each variant leaves one window open that the others close, so that each window is shown
to be noticed by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep_clients.errors import AlreadyExists, Unavailable
from sqlalchemy import bindparam, delete, update

from services.auth.domain.registration import Details
from services.auth.errors import EmailTaken, RegistrationUnavailable
from services.auth.model import USERS
from services.auth.sagas.registration import Registered, RegisteredUser
from services.auth.store import users
from services.auth.usecases.register import Register, Registrations
from services.kernel.db.database import Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.ids import new_id
from services.kernel.sagas.idempotency import RequestKey
from services.profile.model import NewProfile, Profile
from services.profile.usecases import create_profile
from services.profile.usecases.create_profile import CreateProfile
from tests.faults.patching import patched


@dataclass(frozen=True, slots=True)
class Naive:
    """A variant.

    Attributes:
        is_visible: The user is ACTIVE at once.
        repeats: The call is repeated once when its answer was lost.
        has_barrier: The participant knows the step again.
        adopts: A profile that is there already is taken for one's own.
    """

    is_visible: bool = False
    repeats: bool = False
    has_barrier: bool = True
    adopts: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Register like this."""
        variant = self

        async def register(
            self: Register,
            details: Details,
            *,
            password: str,
            key: RequestKey | None,
            client_ip: str | None,
        ) -> Registered:
            await self.registrations.ensure_possible(details)
            return await _register(variant, self, details, await self.hasher.hash(password))

        with ExitStack() as stack:
            stack.enter_context(patched(Register, "__call__", register))
            if not self.has_barrier:
                stack.enter_context(patched(CreateProfile, "__call__", _create_without_barrier))
            if self.adopts:
                stack.enter_context(patched(Registrations, "ensure_possible", _ensure_nothing))
            yield


async def _register(
    variant: Naive, register: Register, details: Details, password_hash: str
) -> Registered:
    database, user_id, saga_id = register.registrations.database, new_id(), new_id()

    async def insert(tx: Transaction) -> None:
        is_new = await users.insert_pending(
            tx,
            user_id=user_id,
            saga_id=saga_id,
            email=details.email,
            password_hash=password_hash,
            full_name=details.full_name,
            role=details.role,
            language=None,
        )
        if not is_new:
            raise EmailTaken
        if variant.is_visible:
            await tx.execute(_ACTIVATE, ByUser(user_id))

    await database.transact("T1", insert)
    try:
        profile = await _call(variant, register, details, user_id, saga_id)
    except Exception:  # noqa: BLE001 - that is what is wrong
        # As a session of an ORM does: in the handler's own task.
        await database._tries("undo", lambda tx: tx.execute(_DELETE, ByUser(user_id)))
        raise RegistrationUnavailable from None
    await database.transact("T2", lambda tx: tx.execute(_ACTIVATE, ByUser(user_id)))
    user = RegisteredUser(
        id=user_id,
        email=details.email.typed,
        full_name=details.full_name,
        role=details.role,
        email_verified=False,
    )
    return Registered(user=user, verification_flow_id=None, profile=profile)


async def _call(
    variant: Naive, register: Register, details: Details, user_id: UUID, saga_id: UUID
) -> profile_pb.Profile:
    stub = register.registrations.profiles.stub
    request = profile_pb.CreateProfileRequest(
        saga_id=str(saga_id),
        user_id=str(user_id),
        role=str(details.role),
        initial_status="pending",
        first_name=details.first_name,
        phone_number=details.phone_number,
    )
    request.not_after.FromJsonString("9000-01-01T00:00:00Z")
    for is_last in (not variant.repeats, True):
        try:
            return (await stub.CreateProfile(request, timeout=2)).profile
        except Unavailable:
            if is_last:
                raise
            await asyncio.sleep(0)
        except AlreadyExists:
            if not variant.adopts:
                raise
            return profile_pb.Profile()
    raise AssertionError("unreachable")


async def _create_without_barrier(
    self: CreateProfile, *, saga_id: UUID, not_after: Any, new: NewProfile
) -> Profile:
    return await self.database.transact(
        "CreateProfile", lambda tx: create_profile._create(tx, saga_id, new)
    )


async def _ensure_nothing(self: Registrations, details: Details) -> None:
    """Leave it to the constraints."""


_ACTIVATE = Statement(
    update(USERS).where(USERS.c.id == bindparam("user_id")).values(status="ACTIVE"), ByUser, NoRow
)
_DELETE = Statement(delete(USERS).where(USERS.c.id == bindparam("user_id")), ByUser, NoRow)
