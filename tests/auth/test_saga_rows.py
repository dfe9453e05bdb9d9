"""The rows of Auth's sagas: processes of the first version and of now read each other's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from psycopg.types.json import Jsonb

from services.auth.sagas.account_deletion import ACCOUNT_DELETION
from services.auth.sagas.profile_status import EMAIL_VERIFICATION, USER_DISABLING, USER_ENABLING
from services.auth.sagas.registration import REGISTRATION
from services.kernel.errors import Internal, RequestInProgress
from services.kernel.ids import new_id
from tests.auth.world import World
from tests.busy import all_connections_taken
from tests.fakes.participants import FakeOrders, FakeProfile
from tests.saga_rows import NO_DATABASE, row, written_again

STUDENT: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "role": "student",
        "email": "Alice@Example.com",
        "profile": {
            "role": "student",
            "course": "Computer Science",
            "address": None,
            "company": None,
            "last_name": "Johnson",
            "user_role": None,
            "first_name": "Alice",
            "company_size": None,
            "phone_number": None,
            "initial_status": "pending",
        },
        "full_name": "Alice Johnson",
        "is_verified": False,
        "email_canonical": "alice@example.com",
        "verification_flow_id": "01a21977-3bee-7648-8608-d97885d84280",
    },
    {
        "user": {
            "id": "01a21977-3bee-7648-8608-d977ef9e669f",
            "role": "student",
            "email": "Alice@Example.com",
            "full_name": "Alice Johnson",
            "create_time": "2026-11-26T20:06:14.265293+00:00",
            "email_verified": False,
        },
        "profile": {
            "id": "01a21977-3c1d-75f7-a2c5-383b64fd03cf",
            "etag": "1",
            "course": "Computer Science",
            "status": "pending",
            "user_id": "01a21977-3bee-7648-8608-d977ef9e669f",
            "last_name": "Johnson",
            "first_name": "Alice",
            "create_time": "2026-11-26T20:06:14.304744Z",
            "update_time": "2026-11-26T20:06:14.304Z",
            "display_name": "Alice Johnson",
        },
        "verification_flow_id": "01a21977-3bee-7648-8608-d97885d84280",
    },
)
BRAND: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "role": "brand",
        "email": "b@example.com",
        "profile": {
            "role": "brand",
            "course": None,
            "address": "123 Main St",
            "company": "Acme Corp",
            "last_name": "Smith",
            "user_role": "marketing-manager",
            "first_name": "Jane",
            "company_size": "51-200",
            "phone_number": "+1234567890",
            "initial_status": "pending",
        },
        "full_name": "Jane Smith",
        "is_verified": False,
        "email_canonical": "b@example.com",
        "verification_flow_id": "01a21977-3c9d-770b-bbb1-5065734f2772",
    },
    {
        "user": {
            "id": "01a21977-3c9d-770b-bbb1-50646cafa51c",
            "role": "brand",
            "email": "b@example.com",
            "full_name": "Jane Smith",
            "create_time": "2026-11-26T20:06:14+00:00",
            "email_verified": False,
        },
        "brand": {
            "id": "01a21977-3d04-727f-8320-4b03a0f84d12",
            "name": "Acme Corp",
            "user_role": "marketing-manager",
            "company_size": "51-200",
        },
        "profile": {
            "id": "01a21977-3ce8-77fc-80a9-ed3c53bcdec6",
            "etag": "1",
            "brand": {
                "id": "01a21977-3d04-727f-8320-4b03a0f84d12",
                "name": "Acme Corp",
                "user_role": "marketing-manager",
                "company_size": "51-200",
            },
            "status": "pending",
            "address": "123 Main St",
            "user_id": "01a21977-3c9d-770b-bbb1-50646cafa51c",
            "last_name": "Smith",
            "first_name": "Jane",
            "create_time": "2026-11-26T20:06:14.508823Z",
            "update_time": "2026-11-26T20:06:14.508823Z",
            "display_name": "Jane Smith",
            "phone_number": "+1234567890",
        },
        "verification_flow_id": "01a21977-3c9d-770b-bbb1-5065734f2772",
    },
)
# By a mailed code, and of a user who was deleted at the same moment.
SIGN_UP: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "role": "customer",
        "email": "c@example.com",
        "profile": {
            "role": "customer",
            "course": None,
            "address": None,
            "company": None,
            "last_name": None,
            "user_role": None,
            "first_name": None,
            "company_size": None,
            "phone_number": None,
            "initial_status": "active",
        },
        "full_name": "",
        "is_verified": True,
        "email_canonical": "c@example.com",
        "verification_flow_id": "",
    },
    {
        "user": {
            "id": "01a21977-3bee-7648-8608-d977ef9e669f",
            "role": "customer",
            "email": "c@example.com",
            "full_name": "",
            "email_verified": True,
        },
        "profile": {
            "id": "01a21977-3c1d-75f7-a2c5-383b64fd03cf",
            "user_id": "01a21977-3bee-7648-8608-d977ef9e669f",
            "status": "active",
            "display_name": "",
        },
        "verification_flow_id": "",
    },
)


@pytest.mark.parametrize(("payload", "result"), [STUDENT, BRAND, SIGN_UP])
def test_a_registration_is_read_and_written_as_before(
    payload: dict[str, Any], result: dict[str, Any]
) -> None:
    assert written_again(REGISTRATION, payload=payload, result=result) == (payload, result)


@pytest.mark.parametrize("kind", [EMAIL_VERIFICATION, USER_DISABLING, USER_ENABLING])
def test_a_change_of_status_is_read_and_written_as_before(kind: Any) -> None:
    assert written_again(kind, payload={}, result={}) == ({}, {})


@pytest.mark.parametrize("status", ["ACTIVE", "DISABLED"])
def test_a_deletion_is_read_and_written_as_before(status: str) -> None:
    payload = {"status": status}
    assert written_again(ACCOUNT_DELETION, payload=payload, result={}) == (payload, {})


def test_a_field_that_is_not_known_is_refused_and_logged_without_the_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    payload, result = STUDENT
    saga = row(REGISTRATION, payload=payload | {"nickname": "Al"}, result=result | {"more": 1})
    with pytest.raises(Internal):
        REGISTRATION.running(saga, NO_DATABASE)
    with pytest.raises(Internal):
        REGISTRATION.outcome_of(saga)
    profile = {**result["profile"], "nickname": "Al"}
    with pytest.raises(Internal):
        REGISTRATION.outcome_of(row(REGISTRATION, result={**result, "profile": profile}))
    logged = "".join(capsys.readouterr())
    assert logged.count("a stored value is malformed") == 3
    assert "Alice" not in logged


@pytest.mark.parametrize("kept", [{}, None])
def test_a_registration_that_was_forgotten_with_its_user_has_no_outcome(kept: Any) -> None:
    saga = row(REGISTRATION, payload=kept, result=kept)
    assert REGISTRATION.outcome_of(saga).is_forgotten
    assert REGISTRATION.payload_of(saga) is None


def test_a_saga_of_another_kind_or_version_is_not_read() -> None:
    payload, result = STUDENT
    newer = row(REGISTRATION, payload=payload, result=result, version=2)
    assert REGISTRATION.payload_of(newer) is None
    assert REGISTRATION.payload_of(row(ACCOUNT_DELETION, payload=payload)) is None
    with pytest.raises(RequestInProgress):
        REGISTRATION.outcome_of(newer)


async def test_a_process_of_before_reads_what_is_written_now(world: World) -> None:
    made = await world.register("Alice@Example.com", full_name="Alice Johnson", course="Art")
    [saga] = await world.sql("SELECT version, payload, result FROM sagas")
    assert saga.version == 1
    payload, result = STUDENT
    flow_id = made.verification_flow_id
    expected = payload | {"verification_flow_id": flow_id}
    assert saga.payload == expected | {"profile": payload["profile"] | {"course": "Art"}}
    assert saga.result["user"] == result["user"] | {
        "id": made.user.id,
        "create_time": saga.result["user"]["create_time"],
    }
    read = ParseDict(saga.result, auth_pb.RegisterResponse())
    read.user.status = "active"  # no row has it, since every user is that at first
    assert read == made


async def test_a_saga_that_a_process_of_before_has_begun_is_finished(
    world: World, profile: FakeProfile
) -> None:
    saga_id, user_id = new_id(), new_id()
    payload, _ = STUDENT
    await world.sql(
        "INSERT INTO roles (id, name) VALUES (gen_random_uuid(), 'student') ON CONFLICT DO NOTHING"
    )
    await world.sql(
        "INSERT INTO users (id, email, email_as_typed, password_hash, full_name, role_id, status,"
        " saga_id) SELECT %s, 'alice@example.com', 'Alice@Example.com', '', 'Alice', id, 'PENDING',"
        " %s FROM roles WHERE name = 'student'",
        user_id,
        saga_id,
    )
    await world.sql(
        "INSERT INTO sagas (id, kind, state, payload, user_id, lease_owner, next_run_at,"
        " deadline_at) VALUES (%s, 'registration', 'RUNNING', %s, %s, 'old', saga_now(),"
        " saga_now() + interval '60 s')",
        saga_id,
        Jsonb(payload),
        user_id,
    )
    await world.settled()
    assert [row.status for row in await world.sql("SELECT status FROM users")] == ["ACTIVE"]
    assert list(profile.profiles) == [str(user_id)]


async def test_sagas_are_recovered_while_requests_hold_every_connection(
    world: World, profile: FakeProfile, orders: FakeOrders
) -> None:
    member = await world.member("ada@example.com")
    async with all_connections_taken(world.running.database):
        await world.sql(
            "INSERT INTO sagas (id, kind, state, payload, user_id, next_run_at)"
            " SELECT gen_random_uuid(), kind, 'RUNNING', payload::jsonb, %s, saga_now()"
            " FROM (VALUES ('email_verification', '{}'), ('user_disabling', '{}'),"
            " ('user_enabling', '{}'), ('account_deletion', '{\"status\": \"ACTIVE\"}'))"
            " AS new (kind, payload)",
            member.id,
        )
        async with asyncio.timeout(20):
            while await world.sql("SELECT 1 FROM sagas WHERE state <> 'DONE'"):
                pass
    assert orders.forgotten == profile.forgotten == [member.id]
