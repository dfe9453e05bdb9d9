"""Where administrators need a second factor, their API keys act as administrators with it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from lockstep.auth.v1 import api_key_service_pb2 as api_key_pb
from lockstep.auth.v1 import api_key_service_pb2_grpc as api_key_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import PermissionDenied, ServiceIdentity, bearer, connect

from services.auth.settings import AuthSettings
from services.common.auth_client import RemoteApiKeys
from services.common.keys import KeyRing
from tests.auth.test_second_factor import EMAIL, enrol
from tests.auth.test_session_list import create_api_key, reason_of
from tests.auth.world import Member, Sink, World, calling_as, serving_auth


@pytest.fixture
async def strict(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> AsyncIterator[World]:
    """An Auth whose administrators need a second factor."""
    async with serving_auth(make_settings(admin_mfa="required"), mail[0]) as world:
        yield world


async def make_key(world: World, member: Member) -> str:
    return await create_api_key(world, member, "lockstep.auth.v1.AuthService")


async def test_a_key_of_an_administrator_acts_as_one_if_its_session_had_a_second_factor(
    strict: World,
) -> None:
    admin = await strict.admin("root@example.com")
    member = await strict.member(EMAIL)
    others, everybody = auth_pb.GetUserRequest(user_id=member.id), auth_pb.ListUsersRequest()

    weak = await make_key(strict, admin)
    await enrol(strict, admin)
    strong = await make_key(strict, admin)

    for call in (
        strict.auth.ListUsers(everybody, metadata=bearer(weak)),
        strict.auth.GetUser(others, metadata=bearer(weak)),
    ):
        assert await reason_of(call) == "MFA_REQUIRED"
    for key in (weak, strong):  # what every user may do
        me = auth_pb.GetUserRequest(user_id="me")
        assert (await strict.auth.GetUser(me, metadata=bearer(key))).id == admin.id
    assert len((await strict.auth.ListUsers(everybody, metadata=bearer(strong))).users) == 2
    assert (await strict.auth.GetUser(others, metadata=bearer(strong))).id == member.id

    identity = ServiceIdentity("commerce", KeyRing.load(strict.keys, "commerce").private_key)
    target = f"127.0.0.1:{strict.running.port}"
    async with connect(target, identity=identity) as channel:
        checks = RemoteApiKeys(api_key_grpc.ApiKeyServiceStub(channel))
        found = [await checks.check(key, fresh=True, client_ip=None) for key in (weak, strong)]
    assert [key is not None and key.lacks_mfa for key in found] == [True, False]
    async with connect(target) as channel:
        stub = api_key_grpc.ApiKeyServiceStub(channel)
        mine = api_key_pb.ListApiKeysRequest(user_id="me")
        listed = (await stub.ListApiKeys(mine, metadata=admin.proof)).api_keys
    assert [key.second_factor for key in listed] == [True, False]


async def test_a_key_that_was_made_before_keys_told_counts_as_made_without(strict: World) -> None:
    admin = await strict.admin("root@example.com")
    await enrol(strict, admin)
    key = await make_key(strict, admin)
    await strict.sql("UPDATE api_keys SET has_second_factor = DEFAULT")
    call = strict.auth.ListUsers(auth_pb.ListUsersRequest(), metadata=bearer(key))
    assert await reason_of(call) == "MFA_REQUIRED"


async def test_where_administrators_need_none_their_keys_need_none(world: World) -> None:
    admin = await world.admin("root@example.com")
    key = await make_key(world, admin)
    assert (await world.auth.ListUsers(auth_pb.ListUsersRequest(), metadata=bearer(key))).users


async def test_administrators_may_be_made_to_have_one(strict: World) -> None:
    admin = await strict.admin("root@example.com")
    member = await strict.member(EMAIL)
    auth, of_member = strict.auth, auth_pb.GetUserRequest(user_id=member.id)
    for call in (
        auth.ListUsers(auth_pb.ListUsersRequest(), metadata=admin.proof),
        auth.GetUser(of_member, metadata=admin.proof),
    ):
        with pytest.raises(PermissionDenied) as caught:
            await call
        assert caught.value.reason == "MFA_REQUIRED"
    assert await reason_of(auth.ListUsers(auth_pb.ListUsersRequest(), metadata=member.proof)) == (
        "FORBIDDEN"
    )
    [row] = await strict.sql("SELECT id FROM sessions WHERE user_id = %s", admin.id)
    sid = auth_pb.CheckSessionRequest(sid=str(row.id))
    async with calling_as(strict, "commerce") as commerce:
        assert (await commerce.CheckSession(sid)).mfa_missing

        await enrol(strict, admin)  # stays open

        assert not (await commerce.CheckSession(sid)).mfa_missing
        await auth.GetUser(of_member, metadata=admin.proof)
        await auth.DeleteTotp(auth_pb.DeleteTotpRequest(), metadata=admin.proof)
        assert (await commerce.CheckSession(sid)).mfa_missing
