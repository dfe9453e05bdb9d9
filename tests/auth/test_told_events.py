"""Auth tells what has happened to accounts, once it is final, and nothing of what has not."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import event_service_pb2_grpc as event_grpc
from lockstep.events.v1 import auth_events_pb2
from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients import (
    LockstepError,
    OutOfRange,
    PermissionDenied,
    ServiceIdentity,
    connect,
)
from lockstep_clients.events import FileCursor, events

from services.common.keys import KeyRing
from tests.auth.world import World
from tests.fakes.participants import FakeProfile
from tests.told import Told, told
from tests.waiting import until_found

EMAIL, OTHER = "ada@example.com", "ada.lovelace@example.com"


async def test_each_change_of_an_account_is_told_once_and_in_order(world: World) -> None:
    admin = await world.admin("root@example.com")
    made = await world.register(EMAIL)
    subject = f"users/{made.user.id}"
    code = auth_pb.VerifyEmailRequest(
        flow_id=made.verification_flow_id, email=EMAIL, otp=await world.sink.code(EMAIL)
    )
    await world.auth.VerifyEmail(code)
    await world.auth.VerifyEmail(code)  # a repeat tells nothing
    member = world.of(await world.login(EMAIL))
    await change_email(world, member.proof)
    for _ in range(2):
        disable = auth_pb.DisableUserRequest(user_id=member.id)
        await world.auth.DisableUser(disable, metadata=admin.proof)
    for _ in range(2):
        enable = auth_pb.EnableUserRequest(user_id=member.id)
        await world.auth.EnableUser(enable, metadata=admin.proof)
    delete = auth_pb.DeleteUserRequest(user_id=member.id)
    await world.auth.DeleteUser(delete, metadata=admin.proof)
    of_user = [event for event in told(world.url, "auth") if event.subject == subject]
    registered = {"user_id": member.id, "role": "student"}
    assert of_user == [
        Told("UserRegistered", subject, registered),
        *(
            Told(f"User{change}", subject, {"user_id": member.id})
            for change in ("Verified", "EmailChanged", "Disabled", "Enabled", "Deleted")
        ),
    ]
    sagas = await world.sql("SELECT 1 AS one FROM events WHERE saga_id IS NULL")
    assert sagas == []


async def test_the_sequencer_of_the_service_numbers_the_events(world: World) -> None:
    await world.register(EMAIL)
    numbered = "SELECT 1 AS one FROM events WHERE sequence = 1"
    await until_found(lambda: world.sql(numbered), seconds=30)


async def test_a_registration_that_is_refused_tells_nothing(
    world: World, profile: FakeProfile
) -> None:
    profile.refuses_phones = True
    with pytest.raises(LockstepError):
        await world.register(EMAIL)
    await world.settled()
    assert told(world.url, "auth") == []


async def change_email(world: World, proof: tuple[tuple[str, str]]) -> None:
    request = auth_pb.ChangeEmailRequest(new_email=OTHER, password="Correct-horse-7")
    flow = await world.auth.ChangeEmail(request, metadata=proof)
    await world.auth.VerifyEmail(
        auth_pb.VerifyEmailRequest(
            flow_id=flow.flow_id, email=OTHER, otp=await world.sink.code(OTHER)
        )
    )


async def test_administrators_and_named_services_read_the_events(world: World) -> None:
    admin, member = await world.admin("root@example.com"), await world.member(EMAIL)
    identity = ServiceIdentity("operator", KeyRing.load(world.keys, "operator").private_key)
    target = f"127.0.0.1:{world.running.port}"
    async with connect(target) as people, connect(target, identity=identity) as services:
        as_person, as_service = (event_grpc.EventServiceStub(each) for each in (people, services))
        request = event_pb.ListEventsRequest()
        read = await until_found(
            lambda: as_service.ListEvents(request), lambda page: len(page.events) >= 2, seconds=30
        )
        assert await as_person.ListEvents(request, metadata=admin.proof) == read
        with pytest.raises(PermissionDenied):
            await as_person.ListEvents(request, metadata=member.proof)
        with pytest.raises(OutOfRange) as caught:
            await as_service.ListEvents(event_pb.ListEventsRequest(after="99"))
        assert caught.value.reason == "CURSOR_EXPIRED"
    registered = auth_events_pb2.UserRegistered()
    assert read.events[1].payload.Unpack(registered)
    assert (registered.user_id, read.events[1].subject) == (member.id, f"users/{member.id}")
    assert "@" not in str(read)


async def test_the_client_follows_a_watch_of_the_running_service(world: World) -> None:
    identity = ServiceIdentity("operator", KeyRing.load(world.keys, "operator").private_key)
    await world.member(EMAIL)
    async with connect(f"127.0.0.1:{world.running.port}", identity=identity) as channel:
        stub = event_grpc.EventServiceStub(channel)
        read = events(never, FileCursor(world.keys / "cursor"), watch_events=stub.WatchEvents)
        async with asyncio.timeout(30), aclosing(read):
            first = await anext(read)
            other = await world.member(OTHER)
            assert [first.type, (await anext(read)).subject] == [
                "lockstep.events.v1.UserRegistered",
                f"users/{other.id}",
            ]
        with pytest.raises(OutOfRange) as caught:
            await anext(aiter(stub.WatchEvents(event_pb.WatchEventsRequest(after="99"))))
        assert caught.value.reason == "CURSOR_EXPIRED"


async def never(request: event_pb.ListEventsRequest) -> event_pb.ListEventsResponse:
    raise AssertionError("the watch suffices")
