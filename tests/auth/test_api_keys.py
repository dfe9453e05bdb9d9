"""API keys over gRPC, with all services: what they may do, and when they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from lockstep.auth.v1 import api_key_service_pb2 as api_key_pb
from lockstep.auth.v1 import api_key_service_pb2_grpc as api_key_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep_clients import LockstepError, bearer, connect

from services.auth.store.api_keys import KEYS_MAX
from tests.auth.test_hostile_texts import rpcs
from tests.auth.together import All
from tests.auth.world import PASSWORD, Member, met

AUTH, CATALOG = "lockstep.auth.v1.AuthService", "lockstep.commerce.v1.CatalogService"
PROFILE = "lockstep.profile.v1.ProfileService"
ME = auth_pb.GetUserRequest(user_id="me")
NEW_PASSWORD = "Another-horse-8"
# A key may call these of Auth. All others are for persons, so that a key opens no way in.
FOR_KEYS = {
    "GetUser",
    "ListUsers",
    "ListAuditEvents",
    "ListEvents",
    "WatchEvents",
    "CreateInvitation",
    "ListInvitations",
    "EndInvitation",
    "ListWaitingMail",
    "RetryWaitingMail",
    "ListWebhooks",
    "GetWebhook",
    "ListWebhookDeliveries",
    "SendWebhookAgain",
}


@dataclass(frozen=True)
class Keys:
    """ApiKeyService, and all else that runs."""

    all: All
    stub: api_key_grpc.ApiKeyServiceAsyncStub
    catalog: catalog_grpc.CatalogServiceAsyncStub

    async def make(
        self, member: Member, *scopes: str, **fields: Any
    ) -> api_key_pb.CreateApiKeyResponse:
        request = {"user_id": "me", "name": "app", "scopes": scopes or (AUTH,), **fields}
        return await self.stub.CreateApiKey(
            api_key_pb.CreateApiKeyRequest(**request), metadata=member.proof
        )

    async def listed(self, member: Member, user_id: str = "me") -> list[api_key_pb.ApiKey]:
        request = api_key_pb.ListApiKeysRequest(user_id=user_id)
        return list((await self.stub.ListApiKeys(request, metadata=member.proof)).api_keys)

    async def end(self, member: Member, key_id: str, user_id: str = "me") -> None:
        request = api_key_pb.EndApiKeyRequest(user_id=user_id, api_key_id=key_id)
        await self.stub.EndApiKey(request, metadata=member.proof)

    async def get_user(self, key: str, user_id: str = "me") -> auth_pb.User:
        request = auth_pb.GetUserRequest(user_id=user_id)
        return await self.all.world.auth.GetUser(request, metadata=bearer(key))


@pytest.fixture
async def keys_of(lockstep: All) -> Any:
    async with (
        connect(lockstep.targets["auth"]) as auth,
        connect(lockstep.targets["commerce"]) as commerce,
    ):
        yield Keys(
            lockstep,
            api_key_grpc.ApiKeyServiceStub(auth),
            catalog_grpc.CatalogServiceStub(commerce),
        )


async def reason(call: Awaitable[Any]) -> str | None:
    try:
        await call
    except LockstepError as error:
        return error.reason
    return None


async def wrong_fields(call: Awaitable[Any]) -> set[str]:
    try:
        await call
    except LockstepError as error:
        return {violation.field for violation in error.violations}
    return set()


def product(category: catalog_pb.Category) -> catalog_pb.CreateProductRequest:
    made = catalog_pb.Product(name="Hammer", category_id=category.id, stock=1)
    made.price.currency_code, made.price.units = "USD", 5
    return catalog_pb.CreateProductRequest(product=made)


def test_at_auth_a_key_may_do_what_is_listed_and_nothing_else() -> None:
    admitting = set()
    for method in rpcs():
        if not method.full_name.startswith("lockstep.auth."):
            continue
        rule = method.GetOptions().Extensions[options_pb.method]
        is_for_users = rule.access in (options_pb.ACCESS_USER, options_pb.ACCESS_ADMIN)
        assert is_for_users or not rule.person, f"{method.name} needs no `person`"
        if is_for_users and not rule.person:
            admitting.add(method.name)
    assert admitting == FOR_KEYS


async def test_a_key_acts_as_its_owner_at_every_service(keys_of: Keys) -> None:
    admin = await keys_of.all.world.admin("root@example.com")
    member = await keys_of.all.world.member("bob@example.com")
    key = (await keys_of.make(admin, AUTH, f"{CATALOG}.CreateCategory", PROFILE)).key
    assert (await keys_of.get_user(key)).id == admin.id
    assert (await keys_of.get_user(key, member.id)).id == member.id
    profile = await keys_of.all.profiles.GetProfile(
        profile_pb.GetProfileRequest(user_id=member.id), metadata=bearer(key)
    )
    assert profile.user_id == member.id
    category = await keys_of.catalog.CreateCategory(
        catalog_pb.CreateCategoryRequest(name="Tools"), metadata=bearer(key)
    )
    refused = keys_of.catalog.CreateProduct(product(category), metadata=bearer(key))
    assert await reason(refused) == "FORBIDDEN"  # no scope names this one
    wider = (await keys_of.make(admin, CATALOG)).key
    await keys_of.catalog.CreateProduct(product(category), metadata=bearer(wider))


async def test_a_key_is_never_more_than_its_owner(keys_of: Keys) -> None:
    world = keys_of.all.world
    admin, member = await world.admin("root@example.com"), await world.member("bob@example.com")
    mine = (await keys_of.make(member)).key
    assert await reason(keys_of.get_user(mine, admin.id)) == "FORBIDDEN"
    theirs = (await keys_of.make(admin)).key
    await world.sql("UPDATE users SET role_id = (SELECT id FROM roles WHERE name = 'student')")
    assert await reason(keys_of.get_user(theirs, member.id)) == "FORBIDDEN"
    logout = world.auth.Logout(auth_pb.LogoutRequest(), metadata=bearer(mine))
    assert await reason(logout) == "FORBIDDEN"
    refused = keys_of.stub.CreateApiKey(
        api_key_pb.CreateApiKeyRequest(user_id="me", name="next", scopes=[AUTH]),
        metadata=bearer(mine),
    )
    assert await reason(refused) == "FORBIDDEN"


async def test_the_secret_is_shown_once_and_stored_nowhere(keys_of: Keys) -> None:
    member = await keys_of.all.world.member("bob@example.com")
    made = await keys_of.make(member, AUTH, CATALOG, AUTH, name="  Nightly import ")
    assert list(made.api_key.scopes) == sorted([AUTH, CATALOG])
    assert made.api_key.name == "Nightly import"
    life = made.api_key.expire_time.seconds - made.api_key.create_time.seconds
    assert life == 90 * 24 * 3600
    assert await keys_of.listed(member) == [made.api_key]
    rows = await keys_of.all.world.sql("SELECT api_keys::text AS text FROM api_keys")
    rows += await keys_of.all.world.sql("SELECT audit_log::text AS text FROM audit_log")
    assert made.key.split("_")[2] not in "".join(row.text for row in rows)


async def test_the_last_use_is_written_down_once_in_a_while(keys_of: Keys) -> None:
    world = keys_of.all.world
    member = await world.member("bob@example.com")
    key = (await keys_of.make(member)).key
    await keys_of.get_user(key)
    first = (await keys_of.listed(member))[0]
    assert first.last_use_ip == "127.0.0.1"
    assert first.last_use_time.seconds >= first.create_time.seconds
    await keys_of.get_user(key)
    assert (await keys_of.listed(member))[0] == first
    await world.sql("UPDATE api_keys SET last_use_time = last_use_time - interval '15 minutes'")
    await keys_of.get_user(key)
    assert (await keys_of.listed(member))[0].last_use_time.seconds >= first.last_use_time.seconds


async def test_another_service_tells_where_a_key_was_used(keys_of: Keys) -> None:
    member = await keys_of.all.world.member("bob@example.com")
    key = (await keys_of.make(member, PROFILE)).key
    request = profile_pb.GetProfileRequest(user_id="me")
    await keys_of.all.profiles.GetProfile(request, metadata=bearer(key))
    assert (await keys_of.listed(member))[0].last_use_ip == "127.0.0.1"


async def test_wrong_wishes_are_refused_field_by_field(keys_of: Keys) -> None:
    member = await keys_of.all.world.member("bob@example.com")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": [f"{CATALOG}.Nothing"]}, "scopes"),
        ({"scopes": ["lockstep.commerce.v1"]}, "scopes"),
        ({"scopes": [f"{AUTH}.ChangePassword"]}, "scopes"),  # for persons
        ({"scopes": [f"{AUTH}.CheckSession"]}, "scopes"),  # for services
        ({"scopes": ["lockstep.auth.v1.ApiKeyService"]}, "scopes"),
        ({"days": 366}, "days"),
        ({"days": -1}, "days"),
    ]
    for fields, name in wrong:
        assert await wrong_fields(keys_of.make(member, **fields)) == {name}, fields
    assert await keys_of.listed(member) == []
    assert await reason(keys_of.make(member, days=365)) is None


async def test_nobody_makes_a_key_for_somebody_else(keys_of: Keys) -> None:
    world = keys_of.all.world
    admin, member = await world.admin("root@example.com"), await world.member("bob@example.com")
    assert await reason(keys_of.make(admin, user_id=member.id)) == "FORBIDDEN"
    assert await reason(keys_of.make(member, user_id=admin.id)) == "FORBIDDEN"


async def test_an_owner_and_administrators_see_and_end_keys(keys_of: Keys) -> None:
    world = keys_of.all.world
    admin, member = await world.admin("root@example.com"), await world.member("bob@example.com")
    other = await world.member("eve@example.com")
    first, second = await keys_of.make(member), await keys_of.make(member)
    key_id = first.api_key.id
    assert await reason(keys_of.listed(other, member.id)) == "FORBIDDEN"
    assert await reason(keys_of.end(other, key_id, member.id)) == "FORBIDDEN"
    assert await reason(keys_of.end(other, key_id)) == "API_KEY_NOT_FOUND"
    assert [key.id for key in await keys_of.listed(admin, member.id)] == [
        second.api_key.id,
        key_id,
    ]
    await keys_of.end(admin, key_id, member.id)
    await keys_of.end(member, second.api_key.id)
    assert await reason(keys_of.get_user(first.key)) == "INVALID_TOKEN"
    assert await reason(keys_of.get_user(second.key)) == "INVALID_TOKEN"
    assert await reason(keys_of.end(member, key_id)) == "API_KEY_NOT_FOUND"
    events = await world.sql(
        "SELECT event, actor FROM audit_log WHERE event LIKE 'authn_token%%' ORDER BY id"
    )
    assert [tuple(row) for row in events] == [
        ("authn_token_created", None),
        ("authn_token_created", None),
        ("authn_token_delete", admin.id),
        ("authn_token_delete", member.id),
    ]


async def test_an_account_has_a_bounded_number_of_keys(keys_of: Keys) -> None:
    member = await keys_of.all.world.member("bob@example.com")
    await keys_of.all.world.sql(
        "INSERT INTO api_keys (id, user_id, name, secret_hash, scopes, expire_time) "
        "SELECT gen_random_uuid(), %s, 'app', '', '{}', clock_timestamp() + interval '1 day' "
        "FROM generate_series(1, %s)",
        member.id,
        KEYS_MAX - 1,
    )
    making = [reason(keys_of.make(member)) for _ in range(2)]
    both = await met(keys_of.all.world, "api_keys", *making)
    assert Counter(both) == {None: 1, "ILLEGAL_STATE": 1}
    await keys_of.all.world.sql("UPDATE api_keys SET expire_time = clock_timestamp()")
    assert await reason(keys_of.make(member)) is None


async def change_password(keys: Keys, member: Member) -> None:
    request = auth_pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD)
    await keys.all.world.auth.ChangePassword(request, metadata=member.proof)


async def reset_password(keys: Keys, member: Member) -> None:
    world = keys.all.world
    request = auth_pb.RequestPasswordResetRequest(email=member.email)
    flow_id = (await world.auth.RequestPasswordReset(request)).flow_id
    otp = await world.sink.code(member.email, about="password reset")
    await world.auth.ResetPassword(
        auth_pb.ResetPasswordRequest(
            flow_id=flow_id, email=member.email, otp=otp, new_password=NEW_PASSWORD
        )
    )


async def log_out_everywhere(keys: Keys, member: Member) -> None:
    request = auth_pb.LogoutRequest(all_sessions=True)
    await keys.all.world.auth.Logout(request, metadata=member.proof)


async def expire(keys: Keys, member: Member) -> None:
    await keys.all.world.sql(
        "UPDATE api_keys SET expire_time = clock_timestamp() WHERE user_id = %s", member.id
    )


async def disable(keys: Keys, member: Member) -> None:
    admin = await keys.all.world.admin("root@example.com")
    request = auth_pb.DisableUserRequest(user_id=member.id)
    await keys.all.world.auth.DisableUser(request, metadata=admin.proof)


async def disable_by_hand(keys: Keys, member: Member) -> None:
    """A row that nothing has ended: the owner may not log in all the same."""
    await keys.all.world.sql("UPDATE users SET status = 'DISABLED' WHERE id = %s", member.id)


async def delete(keys: Keys, member: Member) -> None:
    request = auth_pb.DeleteUserRequest(user_id="me")
    await keys.all.world.auth.DeleteUser(request, metadata=member.proof)


@pytest.mark.parametrize(
    "ending",
    [
        change_password,
        reset_password,
        log_out_everywhere,
        expire,
        disable,
        disable_by_hand,
        delete,
    ],
)
async def test_a_key_ends_with_what_it_came_from(
    keys_of: Keys, ending: Callable[[Keys, Member], Awaitable[None]]
) -> None:
    member = await keys_of.all.world.member("bob@example.com")
    key = (await keys_of.make(member)).key
    await keys_of.get_user(key)
    await ending(keys_of, member)
    assert await reason(keys_of.get_user(key)) == "INVALID_TOKEN"


async def test_a_new_password_can_leave_the_keys(keys_of: Keys) -> None:
    member = await keys_of.all.world.member("bob@example.com")
    key = (await keys_of.make(member)).key
    request = auth_pb.ChangePasswordRequest(
        current_password=PASSWORD, new_password=NEW_PASSWORD, keep_api_keys=True
    )
    await keys_of.all.world.auth.ChangePassword(request, metadata=member.proof)
    assert (await keys_of.get_user(key)).id == member.id


async def test_a_key_with_another_secret_is_refused(keys_of: Keys) -> None:
    member = await keys_of.all.world.member("bob@example.com")
    key = (await keys_of.make(member)).key
    await keys_of.all.world.sql("UPDATE api_keys SET secret_hash = sha256(''::bytea)")
    assert await reason(keys_of.get_user(key)) == "INVALID_TOKEN"
