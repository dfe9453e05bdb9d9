"""The yardstick of the saga: Auth and Profile as they would be without one.

    python -m tests.bench.naive auth

A registration makes the same checks, and writes the same code, audit log and event. It writes the
user in one commit, then Profile writes the profile in another. A crash between the two leaves a
user without a profile. The saga prevents that; the comparison with this program shows its cost.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import uvloop
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

import services.auth.__main__ as auth_main
import services.profile.__main__ as profile_main
from services.auth import events
from services.auth import usecases as usecases_of_auth
from services.auth.domain.audit import Event
from services.auth.domain.registration import Details
from services.auth.model import ROLES, USERS, Recipient
from services.auth.sagas.registration import (
    Registered,
    RegisteredUser,
    RegistrationSaga,
    payload_of,
)
from services.auth.settings import AuthSettings
from services.auth.usecases.register import Register
from services.common.settings import load
from services.kernel.db.database import Transaction
from services.kernel.db.statement import Statement
from services.kernel.events.writer import tell
from services.kernel.ids import new_id
from services.kernel.logging import configure
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import RequestKey
from services.profile import usecases as usecases_of_profile
from services.profile.model import NewProfile, Profile
from services.profile.settings import ProfileSettings
from services.profile.store import profiles, wallets
from services.profile.usecases.create_profile import CreateProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class _NewUser:
    user_id: UUID
    email: str
    email_as_typed: str
    password_hash: str
    full_name: str
    role: str
    saga_id: UUID


@dataclass(frozen=True, slots=True)
class _Inserted:
    create_time: datetime


_INSERT = Statement(
    insert(USERS)
    .values(
        id=bindparam("user_id"),
        email=bindparam("email"),
        email_as_typed=bindparam("email_as_typed"),
        password_hash=bindparam("password_hash"),
        full_name=bindparam("full_name"),
        role_id=select(ROLES.c.id).where(ROLES.c.name == bindparam("role")).scalar_subquery(),
        status="ACTIVE",
        saga_id=bindparam("saga_id"),
    )
    .returning(USERS.c.create_time),
    _NewUser,
    _Inserted,
)


class NaiveRegister(Register):
    """Registers by two writes, and hopes that the second one succeeds."""

    async def __call__(
        self, details: Details, *, password: str, key: RequestKey | None, client_ip: str | None
    ) -> Registered:
        if key is not None:
            await idempotency.find(self.requests.database, key)
        await self.registrations.ensure_possible(details)
        password_hash = await self.hasher.hash(password)
        await self.registrations._ensure_role(details.role)
        user_id, flow_id = new_id(), new_id()
        saga = self.requests.engine._steps._sagas["registration", 1]
        assert isinstance(saga, RegistrationSaga)

        new = _NewUser(
            user_id=user_id,
            saga_id=user_id,
            email=details.email.canonical,
            email_as_typed=details.email.typed,
            password_hash=password_hash,
            full_name=details.full_name,
            role=details.role,
        )

        async def write(tx: Transaction) -> datetime:
            if key is not None:
                await idempotency.claim(tx, key, saga_id=user_id)
            row = await tx.first(_INSERT, new)
            assert row is not None
            to = Recipient(details.email.mailbox, None)
            await saga.issue_code(
                tx, flow_id=flow_id, email=details.email.canonical, to=to, user_id=user_id
            )
            await self._tell(tx, details, user_id=user_id, client_ip=client_ip)
            return row.create_time

        create_time = await self.requests.database.transact("Register", write)
        reply = await saga.profiles.CreateProfile(_request(details, user_id))
        user = RegisteredUser(
            id=user_id,
            email=details.email.typed,
            full_name=details.full_name,
            role=details.role,
            email_verified=False,
            create_time=create_time,
        )
        return Registered(
            user=user,
            verification_flow_id=flow_id,
            profile=reply.profile,
            brand=reply.brand if reply.HasField("brand") else None,
        )

    async def _tell(
        self, tx: Transaction, details: Details, *, user_id: UUID, client_ip: str | None
    ) -> None:
        """Write the line of the audit log, and the event."""
        account = details.email.canonical
        await self.registrations.audit.write(
            tx, Event.USER_CREATED, user_id=user_id, account=account, client_ip=client_ip
        )
        told = events.user_registered(user_id, role=details.role, email_verified=False)
        await tell(tx, told, saga_id=user_id)


def _request(details: Details, user_id: UUID) -> profile_pb.CreateProfileRequest:
    fields = asdict(payload_of(details, is_verified=False, has_code=True).profile)
    request = profile_pb.CreateProfileRequest(saga_id=str(user_id), user_id=str(user_id), **fields)
    request.not_after.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
    return request


class NaiveCreateProfile(CreateProfile):
    """Creates a profile and its wallet, without a barrier."""

    async def __call__(self, *, saga_id: UUID, not_after: datetime, new: NewProfile) -> Profile:
        async def write(tx: Transaction) -> Profile:
            profile = await profiles.insert_new(tx, new, saga_id=saga_id)
            await wallets.open_new(tx, new.user_id)
            return profile

        return await self.database.transact("CreateProfile", write)


async def serve(name: str) -> None:
    """Serve until killed."""
    configure(service=name, form="console")
    # mypy lets nobody put a class in the place of another.
    if name == "auth":
        usecases_of_auth.Register = NaiveRegister  # type: ignore[misc]
        running = auth_main.running(load(AuthSettings), listen_on="127.0.0.1:0")
    else:
        usecases_of_profile.CreateProfile = NaiveCreateProfile  # type: ignore[misc]
        running = profile_main.running(load(ProfileSettings), listen_on="127.0.0.1:0")
    async with running as process:
        print(f"PORT {process.port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
