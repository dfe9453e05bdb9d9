"""CreateProfile and CancelProfile: a step of registration that happens once, or never.

In brackets: the rows of the fault matrix of sagas.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep_clients import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
)

from services.kernel.db.limits import LIMITS, TimeLimits
from services.kernel.errors import CommitUnknown
from services.kernel.ids import new_id
from tests.kernel.saga_world import Stop
from tests.profile.world import World, fails, outcome, profile_world, registration, soon

PHONE = "+4915112345678"
BRAND: dict[str, Any] = {
    "role": "brand",
    "company": "Acme Corp",
    "company_size": "51-200",
    "user_role": "marketing-manager",
}
NOTHING = {"profiles": 0, "brands": 0, "wallets": 0}
ONE = {"profiles": 1, "brands": 0, "wallets": 1}


def things(world: World) -> dict[str, int]:
    return {name: count for name, count in world.counts().items() if name != "barriers"}


async def test_a_registration_makes_a_profile_and_an_empty_wallet(world: World) -> None:
    user_id = new_id()
    request = registration(
        user_id=user_id, phone_number="49 (151) 123-45678", address="1 Main St\nTown", course="Law"
    )
    answer = await world.by_auth.CreateProfile(request)
    assert not answer.HasField("brand")
    assert answer.profile == await world.profile(user_id)
    assert answer.profile.user_id == str(user_id)
    assert answer.profile.display_name == "Ada Lovelace"
    assert answer.profile.phone_number == PHONE
    assert answer.profile.address == "1 Main St\nTown"
    assert answer.profile.course == "Law"
    assert answer.profile.status == "pending"
    assert answer.profile.etag
    assert await world.balance(user_id) == 0


async def test_a_brand_is_made_in_the_same_transaction(world: World) -> None:
    answer = await world.by_auth.CreateProfile(registration(**BRAND))
    assert answer.brand.name == "Acme Corp"
    assert answer.brand.company_size == "51-200"
    assert answer.brand.user_role == "marketing-manager"
    assert answer.profile.brand == answer.brand
    assert things(world) == {"profiles": 1, "brands": 1, "wallets": 1}


async def test_only_brands_get_a_brand(world: World) -> None:
    answer = await world.by_auth.CreateProfile(registration(**BRAND | {"role": "customer"}))
    assert not answer.HasField("brand")
    assert things(world) == ONE


async def test_without_names_there_is_no_display_name(world: World) -> None:
    answer = await world.by_auth.CreateProfile(registration(first_name="", last_name=""))
    assert not answer.profile.HasField("display_name")


async def test_every_wrong_field_is_named_at_once(world: World) -> None:
    request = registration(
        role="brand",
        initial_status="suspended",
        first_name="x" * 101,
        last_name="a\x01b",
        phone_number="123",
        address="x" * 301,
        course="x" * 201,
        company="x" * 201,
        company_size="12",
        user_role="Marketing Manager",
    )
    request.saga_id = "no"
    request.user_id = "nobody"
    request.ClearField("not_after")
    with fails(
        InvalidArgument,
        "INVALID_FIELD",
        "saga_id",
        "not_after",
        "initial_status",
        "user_id",
        "company",
        "company_size",
        "user_role",
        "first_name",
        "last_name",
        "phone_number",
        "address",
        "course",
    ) as caught:
        await world.by_auth.CreateProfile(request)
    told = {each.field: each.description for each in caught.value.violations}
    assert told["company_size"] == "must be one of 1-10, 11-50, 51-200, 201-1000, 1000+"
    assert world.counts() == NOTHING | {"barriers": 0}


async def test_an_unknown_role_is_refused_with_the_ones_there_are(world: World) -> None:
    with fails(InvalidArgument, "INVALID_FIELD", "role") as caught:
        await world.by_auth.CreateProfile(registration(role="king"))
    assert "customer, creator, brand, student, admin" in caught.value.violations[0].description


async def test_a_moment_beyond_time_is_refused(world: World) -> None:
    request = registration()
    request.not_after.seconds = 2**60
    with fails(InvalidArgument, "INVALID_FIELD", "not_after"):
        await world.by_auth.CreateProfile(request)


async def test_a_repeat_gets_the_first_answer(world: World) -> None:
    """[R20, R22] This holds when the profile has changed meanwhile, too."""
    request = registration(**BRAND)
    first = await world.by_auth.CreateProfile(request)
    status = profile_pb.SetProfileStatusRequest(
        user_id=request.user_id, status="active", status_version=1
    )
    await world.by_auth.SetProfileStatus(status)
    assert await world.by_auth.CreateProfile(request) == first
    assert things(world) == {"profiles": 1, "brands": 1, "wallets": 1}


async def test_repeats_at_the_same_time_create_one(world: World) -> None:
    """[R21]"""
    request = registration(phone_number=PHONE)
    answers = await asyncio.gather(*(world.by_auth.CreateProfile(request) for _ in range(16)))
    assert all(answer == answers[0] for answer in answers)
    assert things(world) == ONE


async def test_of_many_who_want_one_phone_one_gets_it(world: World) -> None:
    requests = [registration(phone_number=PHONE) for _ in range(32)]
    answers = await asyncio.gather(*(outcome(world.by_auth.CreateProfile(r)) for r in requests))
    assert answers.count("PHONE_TAKEN") == 31
    assert things(world) == ONE


async def test_a_refusal_stays_one_when_the_phone_is_free_again(world: World) -> None:
    """[R14, P3] A duplicate of a refused step must not succeed later."""
    holder, refused = registration(phone_number=PHONE), registration(phone_number=PHONE)
    await world.by_auth.CreateProfile(holder)
    with fails(AlreadyExists, "PHONE_TAKEN"):
        await world.by_auth.CreateProfile(refused)
    await world.by_auth.CancelProfile(profile_pb.CancelProfileRequest(**ids(holder)))
    assert not await world.phone_exists(PHONE)
    with fails(AlreadyExists, "PHONE_TAKEN"):
        await world.by_auth.CreateProfile(refused)
    await world.by_auth.CancelProfile(profile_pb.CancelProfileRequest(**ids(refused)))
    with fails(Aborted, "SAGA_CANCELLED"):
        await world.by_auth.CreateProfile(refused)
    assert things(world) == NOTHING


async def test_a_second_profile_for_a_user_is_refused(world: World) -> None:
    user_id = await world.register()
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await world.by_auth.CreateProfile(registration(user_id=user_id))
    assert things(world) == ONE


async def test_an_error_in_the_middle_leaves_nothing_and_a_repeat_succeeds(
    profile_url: str, keys: Path
) -> None:
    """[R15]"""
    broken = ["profile.CreateProfile.statement#4"]

    async def observer(edge: str) -> None:
        if edge in broken:
            broken.remove(edge)
            raise RuntimeError("breaks on purpose")

    async with profile_world(profile_url, keys, observer=observer) as world:
        request = registration(phone_number=PHONE)
        with fails(Internal, "INTERNAL"):
            await world.by_auth.CreateProfile(request)
        assert world.counts() == NOTHING | {"barriers": 0}
        await world.by_auth.CreateProfile(request)
        assert things(world) == ONE


async def test_a_lost_connection_before_the_commit_is_repeated(
    profile_url: str, keys: Path
) -> None:
    """[R15]"""
    struck = ["profile.CreateProfile.statement#4"]

    async def observer(edge: str) -> None:
        if edge in struck:
            struck.remove(edge)
            disconnect(profile_url)

    async with profile_world(profile_url, keys, observer=observer) as world:
        await world.by_auth.CreateProfile(registration())
        assert things(world) == ONE


@pytest.mark.parametrize(("edge", "committed"), [("commit.sent", False), ("commit.acked", True)])
async def test_an_unknown_commit_is_unavailable_never_a_failure(
    profile_url: str, keys: Path, edge: str, committed: bool
) -> None:
    """[R16]"""
    struck = [f"profile.CreateProfile.{edge}"]

    async def observer(edge: str) -> None:
        if edge in struck:
            struck.remove(edge)
            if committed:
                raise CommitUnknown
            disconnect(profile_url)

    async with profile_world(profile_url, keys, observer=observer) as world:
        request = registration()
        with fails(Unavailable, "DATABASE_UNAVAILABLE"):
            await world.by_auth.CreateProfile(request)
        assert things(world) == (ONE if committed else NOTHING)
        await world.by_auth.CreateProfile(request)
        assert things(world) == ONE


async def test_a_caller_that_stops_waiting_does_not_stop_the_step(
    profile_url: str, keys: Path
) -> None:
    """[R18, R19]"""
    stop = Stop("profile.CreateProfile.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        request = registration()
        leaving = asyncio.ensure_future(world.by_auth.CreateProfile(request))
        await stop.reached.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert things(world) == NOTHING
        stop.released.set()
        await world.by_auth.CreateProfile(request)
        assert things(world) == ONE


async def test_a_cancelled_saga_leaves_nothing_behind(world: World) -> None:
    request = registration(phone_number=PHONE, **BRAND)
    await world.by_auth.CreateProfile(request)
    await world.by_auth.CancelProfile(profile_pb.CancelProfileRequest(**ids(request)))
    assert things(world) == NOTHING
    assert world.rows("SELECT state, reply FROM saga_barriers") == [("CANCELLED", None)]
    with fails(NotFound, "PROFILE_NOT_FOUND"):
        await world.profiles.GetProfile(
            profile_pb.GetProfileRequest(user_id=request.user_id), metadata=world.admin
        )


@pytest.mark.parametrize("created", [True, False])
async def test_what_comes_after_a_cancellation_is_refused(world: World, created: bool) -> None:
    """[R23, R25, P5] Every repeat is refused as well."""
    request = registration()
    if created:
        await world.by_auth.CreateProfile(request)
    await world.by_auth.CancelProfile(profile_pb.CancelProfileRequest(**ids(request)))
    for _ in range(3):
        with fails(Aborted, "SAGA_CANCELLED"):
            await world.by_auth.CreateProfile(request)
    assert things(world) == NOTHING


async def test_a_cancellation_sees_what_it_waited_for(profile_url: str, keys: Path) -> None:
    """[R24, P1]"""
    stop = Stop("profile.CreateProfile.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        request = registration(**BRAND)
        creating = asyncio.ensure_future(world.by_auth.CreateProfile(request))
        await stop.reached.wait()
        cancelling = asyncio.ensure_future(
            world.by_auth.CancelProfile(profile_pb.CancelProfileRequest(**ids(request)))
        )
        await world.until_blocked()
        stop.released.set()
        await asyncio.gather(creating, cancelling)
        assert things(world) == NOTHING


async def test_a_step_that_comes_too_late_is_refused(world: World) -> None:
    """[R26] The cancellation finds no tombstone."""
    with fails(Aborted, "SAGA_CANCELLED"):
        await world.by_auth.CreateProfile(registration(not_after=soon(-1)))
    assert world.counts() == NOTHING | {"barriers": 0}


async def test_a_repeat_may_come_late(world: World) -> None:
    """[R22] The time limit holds only for a step that is new."""
    request = registration()
    first = await world.by_auth.CreateProfile(request)
    request.not_after.CopyFrom(soon(-1))
    assert await world.by_auth.CreateProfile(request) == first


async def test_the_undo_does_not_depend_on_the_barrier(world: World) -> None:
    """[P4] The barrier may be cleaned up, or lost with a backup."""
    request = registration()
    await world.by_auth.CreateProfile(request)
    world.execute("DELETE FROM saga_barriers")
    await world.by_auth.CancelProfile(profile_pb.CancelProfileRequest(**ids(request)))
    assert things(world) == NOTHING


async def test_a_cancellation_touches_only_its_own_saga(world: World) -> None:
    """[R46]"""
    user_id = await world.register()
    await world.cancel(new_id(), user_id)
    assert things(world) == ONE


async def test_cancellations_may_be_repeated_at_the_same_time(world: World) -> None:
    """[R40]"""
    request = registration()
    await world.by_auth.CreateProfile(request)
    cancel = profile_pb.CancelProfileRequest(**ids(request))
    await asyncio.gather(*(world.by_auth.CancelProfile(cancel) for _ in range(8)))
    assert things(world) == NOTHING


@pytest.mark.parametrize(("edge", "committed"), [("commit.sent", False), ("commit.acked", True)])
async def test_an_unknown_commit_of_a_cancellation_is_unavailable(
    profile_url: str, keys: Path, edge: str, committed: bool
) -> None:
    """[R42]"""
    struck = [f"profile.CancelProfile.{edge}"]

    async def observer(edge: str) -> None:
        if edge in struck:
            struck.remove(edge)
            if committed:
                raise CommitUnknown
            disconnect(profile_url)

    async with profile_world(profile_url, keys, observer=observer) as world:
        request = registration()
        await world.by_auth.CreateProfile(request)
        cancel = profile_pb.CancelProfileRequest(**ids(request))
        with fails(Unavailable, "DATABASE_UNAVAILABLE"):
            await world.by_auth.CancelProfile(cancel)
        assert things(world) == (NOTHING if committed else ONE)
        await world.by_auth.CancelProfile(cancel)
        assert things(world) == NOTHING


async def test_a_cancellation_fails_fast_behind_a_zombie(
    profile_url: str, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R52, R41] A repeat succeeds when the zombie is gone."""
    monkeypatch.setattr(TimeLimits, "settings", LIMITS.settings | {"lock_timeout": "100ms"})
    stop = Stop("profile.CreateProfile.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        request = registration()
        creating = asyncio.ensure_future(world.by_auth.CreateProfile(request))
        await stop.reached.wait()
        cancel = profile_pb.CancelProfileRequest(**ids(request))
        with fails(Unavailable, "DATABASE_UNAVAILABLE"):
            await world.by_auth.CancelProfile(cancel)
        disconnect(profile_url)
        stop.released.set()
        with fails(Unavailable, "DATABASE_UNAVAILABLE"):
            await creating
        await world.by_auth.CancelProfile(cancel)
        assert things(world) == NOTHING


async def test_ids_have_to_be_ids(world: World) -> None:
    with fails(InvalidArgument, "INVALID_FIELD", "saga_id", "user_id"):
        await world.by_auth.CancelProfile(profile_pb.CancelProfileRequest())
    with fails(InvalidArgument, "INVALID_FIELD", "saga_id", "user_id"):
        await world.by_auth.ForgetProfile(profile_pb.ForgetProfileRequest())


def ids(request: profile_pb.CreateProfileRequest) -> dict[str, Any]:
    return {"saga_id": request.saga_id, "user_id": request.user_id}


def disconnect(url: str) -> None:
    """Break the other connections to a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
