"""Registration as its callers see it, with a real Profile and real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import AlreadyExists, InvalidArgument, LockstepError

from tests.auth.world import hold_phone_check
from tests.system import PASSWORD, System, raw_channel, raw_method, student, system

REGISTER = "/lockstep.auth.v1.AuthService/Register"


@pytest.fixture
async def lockstep(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> AsyncIterator[System]:
    async with system(auth_url, profile_url, keys, tmp_path) as running:
        yield running


def request(**fields: Any) -> auth_pb.RegisterRequest:
    return auth_pb.RegisterRequest(**{"email": "alice@example.com", "password": PASSWORD, **fields})


async def violations(lockstep: System, **fields: Any) -> dict[str, list[str]]:
    """Register, expect INVALID_FIELD, and return the descriptions of each wrong field."""
    with pytest.raises(InvalidArgument) as caught:
        await lockstep.auth.Register(request(**fields))
    assert caught.value.reason == "INVALID_FIELD"
    found: dict[str, list[str]] = {}
    for violation in caught.value.violations:
        found.setdefault(violation.field, []).append(violation.description)
    assert await lockstep.users() == []
    return found


async def test_a_student_gets_a_user_and_a_profile_that_refers_to_it(lockstep: System) -> None:
    """A1: email, password, fullName, course."""
    made = await lockstep.auth.Register(
        request(full_name="Alice Johnson", course="Computer Science")
    )
    assert made.user.role == "student"
    assert (made.user.email, made.user.full_name) == ("alice@example.com", "Alice Johnson")
    assert made.profile.user_id == made.user.id
    assert (made.profile.first_name, made.profile.last_name) == ("Alice", "Johnson")
    assert made.profile.course == "Computer Science"
    assert made.profile.status == "pending"
    assert not made.HasField("brand")
    assert made.verification_flow_id
    assert made.user.create_time.seconds > 0
    await lockstep.agree()


async def test_a_customer_gives_name_and_phone_and_perhaps_an_address(lockstep: System) -> None:
    """B1, B7, B8."""
    made = await lockstep.auth.Register(
        request(
            confirm_password=PASSWORD,
            full_name="John van Doe",
            phone_number="+1 (234) 567-890",
            address="123 Main St",
        )
    )
    assert made.user.role == "customer"
    assert made.profile.phone_number == "+1234567890"
    assert made.profile.address == "123 Main St"
    assert (made.profile.first_name, made.profile.last_name) == ("John", "van Doe")
    assert made.profile.display_name == "John van Doe"


async def test_a_creator_gives_first_and_last_name(lockstep: System) -> None:
    """C1."""
    made = await lockstep.auth.Register(request(role="creator", first_name="John", last_name="Doe"))
    assert made.user.role == "creator"
    assert made.user.full_name == "John Doe"
    assert made.profile.display_name == "John Doe"


async def test_a_brand_gets_a_brand_that_is_linked_to_its_profile(lockstep: System) -> None:
    """C2, C6."""
    made = await lockstep.auth.Register(
        request(
            role="brand",
            first_name="Jane",
            last_name="Smith",
            company="Acme Corp",
            company_size="51-200",
            user_role="marketing-manager",
        )
    )
    assert made.user.role == "brand"
    assert (made.brand.name, made.brand.company_size) == ("Acme Corp", "51-200")
    rows = await lockstep.query("profile", "SELECT profile_id::text FROM brands")
    assert rows == [(made.profile.id,)]


async def test_every_wrong_field_is_named_at_once(lockstep: System) -> None:
    """B3."""
    found = await violations(
        lockstep,
        email="not an address",
        password="short",
        confirm_password="other",
        phone_number="12",
        address="x" * 301,
    )
    assert set(found) == {
        "email",
        "password",
        "confirm_password",
        "full_name",
        "phone_number",
        "address",
    }
    assert len(found["password"]) == 4


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"full_name", "phone_number"}),
        ({"role": "customer"}, {"full_name", "phone_number"}),
        ({"role": "creator"}, {"first_name", "last_name"}),
        (
            {"role": "brand"},
            {"first_name", "last_name", "company", "company_size", "user_role"},
        ),
        ({"role": "student"}, {"full_name", "course"}),
        ({"course": "Maths"}, {"full_name"}),
        ({"role": "admin", "full_name": "A B", "phone_number": "0123456789"}, {"role"}),
        ({"role": "Creator", "full_name": "A B", "phone_number": "0123456789"}, {"role"}),
    ],
)
async def test_each_role_must_give_what_belongs_to_it(
    lockstep: System, fields: dict[str, str], expected: set[str]
) -> None:
    assert set(await violations(lockstep, **fields)) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", ""),
        ("email", "alice"),
        ("email", "alice@example"),
        ("email", "alice@example.com."),
        ("email", "alice\r\n@example.com"),
        ("email", "\u0430lice@example.com"),
        ("email", "a" * 250 + "@example.com"),
        ("email", "a" * 65 + "@example.com"),
        ("email", "=?utf-8?q?a?=@example.com"),
        ("email", "alice@ad.local"),
        ("email", "alice\0@example.com"),
        ("password", ""),
        ("password", "nouppercase-1"),
        ("password", "NOLOWERCASE-1"),
        ("password", "NoDigits-here"),
        ("password", "NoSymbol1here"),
        ("password", "Sh0rt-1"),
        ("password", "P@ssw0rd"),
        ("password", "Nul\0-inside-1"),
        ("password", "P@ssw0rd2025!"),
        ("password", "1qaz@WSX"),
        ("password", "Lockstep123!"),
        ("password", "J4ne-Smith-77!"),
        ("password", "Acme-0123!"),
        ("password", "Aa1-" + "x" * 69),
        ("password", "Aa1-" + "\u00e4" * 35),
        ("full_name", "x" * 101),
        ("full_name", "Alice\r\nBcc: all@example.com"),
        ("full_name", "Alice\0"),
        ("full_name", "\u2060"),
        ("full_name", "\u3164"),
        ("full_name", "Alice\u2028Smith"),
        ("full_name", "Alice\u202eSmith"),
        ("full_name", "A" + "\u0315\u0300" * 40),
        ("phone_number", "123456789"),
        ("phone_number", "1234567890123456"),
        ("phone_number", "+12345a7890"),
        ("phone_number", "\uff11234567890"),
        ("phone_number", "++1234567890"),
        ("phone_number", "1234567890\n1"),
        ("phone_number", "+0123456789"),
        ("phone_number", "000123456789"),
        ("address", "x" * 301),
        ("company_size", "51-100"),
        ("user_role", "Marketing Manager"),
        ("user_role", "x" * 51),
        ("company", "x" * 201),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_written(
    lockstep: System, field: str, value: str
) -> None:
    good = {
        "role": "brand",
        "first_name": "Jane",
        "last_name": "Smith",
        "full_name": "Jane Smith",
        "phone_number": "0123456789",
        "company": "Acme",
        "company_size": "1-10",
        "user_role": "owner",
    }
    assert set(await violations(lockstep, **{**good, field: value})) == {field}


@pytest.mark.parametrize("password", ["Aa1-" + "x" * 68, "Aa1-" + "\u00e4" * 34, "Aa1 5678"])
async def test_passwords_up_to_72_bytes_are_welcome(lockstep: System, password: str) -> None:
    await lockstep.auth.Register(student(phone_number="+1234567890", address="x" * 300))
    made = await lockstep.auth.Register(
        auth_pb.RegisterRequest(email="b@example.com", password=password, full_name="B", course="C")
    )
    assert made.profile.first_name == "B"


async def test_the_password_is_hashed_and_stands_nowhere_else(lockstep: System) -> None:
    """B6."""
    await lockstep.auth.Register(student())
    [(hashed,)] = await lockstep.query("auth", "SELECT password_hash FROM users")
    assert hashed.startswith("$2b$04$")
    everything = str(await lockstep.query("auth", "SELECT to_jsonb(sagas) FROM sagas"))
    assert PASSWORD not in everything
    assert hashed not in everything


@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@Example.com", " alice@example.com "])
async def test_an_address_is_taken_whatever_its_case(lockstep: System, email: str) -> None:
    """A3, B4 [R3]."""
    await lockstep.auth.Register(student())
    with pytest.raises(AlreadyExists) as caught:
        await lockstep.auth.Register(student(email))
    assert caught.value.reason == "EMAIL_TAKEN"
    assert len(await lockstep.users()) == 1
    await lockstep.agree()


async def test_the_address_is_shown_as_it_was_typed(lockstep: System) -> None:
    made = await lockstep.auth.Register(student("Alice@Example.com"))
    assert made.user.email == "Alice@Example.com"
    assert await lockstep.users() == [("alice@example.com", "ACTIVE")]


async def test_a_taken_phone_is_refused_before_anything_is_written(lockstep: System) -> None:
    """B5."""
    await lockstep.auth.Register(student(phone_number="+1234567890"))
    with pytest.raises(AlreadyExists) as caught:
        await lockstep.auth.Register(student("b@example.com", phone_number="1234 567 890"))
    assert caught.value.reason == "PHONE_TAKEN"
    assert len(await lockstep.query("auth", "SELECT 1 FROM sagas")) == 1
    await lockstep.agree()


async def test_of_32_sign_ups_for_one_address_exactly_one_wins(lockstep: System) -> None:
    answers = await asyncio.gather(
        *(lockstep.auth.Register(student()) for _ in range(32)), return_exceptions=True
    )
    reasons = [a.reason for a in answers if isinstance(a, LockstepError)]
    assert len(answers) - len(reasons) == 1
    assert set(reasons) <= {"EMAIL_TAKEN", "REGISTRATION_IN_PROGRESS"}
    await lockstep.settled()
    await lockstep.agree()
    assert len(await lockstep.users()) == 1


async def test_of_32_sign_ups_for_one_phone_exactly_one_wins(lockstep: System) -> None:
    """[R14]"""
    answers = await asyncio.gather(
        *(
            lockstep.auth.Register(student(f"user{n}@example.com", phone_number="+1234567890"))
            for n in range(32)
        ),
        return_exceptions=True,
    )
    reasons = [a.reason for a in answers if isinstance(a, LockstepError)]
    assert len(answers) - len(reasons) == 1
    assert set(reasons) == {"PHONE_TAKEN"}
    await lockstep.settled()
    await lockstep.agree()
    assert len(await lockstep.users()) == 1


async def test_the_same_key_and_request_get_the_first_answer_again(lockstep: System) -> None:
    """A5 [R7]"""
    key = (("idempotency-key", "abc"),)
    first = await lockstep.auth.Register(student(), metadata=key)
    assert await lockstep.auth.Register(student(), metadata=key) == first
    assert len(await lockstep.users()) == 1


async def test_the_same_key_with_another_request_is_refused(lockstep: System) -> None:
    """[R6]"""
    key = (("idempotency-key", "abc"),)
    await lockstep.auth.Register(student(), metadata=key)
    with pytest.raises(InvalidArgument) as caught:
        await lockstep.auth.Register(student("b@example.com"), metadata=key)
    assert caught.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_the_same_request_twice_at_once_registers_once(lockstep: System) -> None:
    """[R5]"""
    key = (("idempotency-key", "abc"),)
    answers = await asyncio.gather(
        *(lockstep.auth.Register(student(), metadata=key) for _ in range(6))
    )
    assert all(answer == answers[0] for answer in answers)
    assert len(await lockstep.users()) == 1


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_copy_that_is_late_with_its_checks_gets_the_answer_of_the_other(
    lockstep: System, monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    """[R5]: the copy finds the phone taken by its own account, and must not be refused."""
    arrived, go_on = hold_phone_check(monkeypatch, is_answered=is_answered)
    key, request = (("idempotency-key", "abc"),), student(phone_number="+1234567890")
    late = asyncio.ensure_future(lockstep.auth.Register(request, metadata=key))
    await arrived.wait()
    answer = await lockstep.auth.Register(request, metadata=key)
    go_on.set()
    assert await late == answer


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_bad_key_is_named(lockstep: System, key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await lockstep.auth.Register(student(), metadata=(("idempotency-key", key),))
    assert [v.field for v in caught.value.violations] == ["idempotency-key"]


async def test_bytes_that_are_no_message_are_an_invalid_argument(lockstep: System) -> None:
    async with raw_channel(lockstep.auth_port) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw_method(channel, REGISTER)(b"\xff\xff", timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_expired_deadline_writes_nothing(lockstep: System) -> None:
    """[R1]"""
    async with raw_channel(lockstep.auth_port) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw_method(channel, REGISTER)(student().SerializeToString(), timeout=0.01)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await lockstep.users() == []


async def test_the_kernel_of_a_registration_is_visible_to_operators_only(
    lockstep: System,
) -> None:
    async with raw_channel(lockstep.auth_port) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw_method(channel, "/lockstep.saga.v1.SagaService/ListSagas")(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
