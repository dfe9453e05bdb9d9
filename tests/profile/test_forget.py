"""ForgetProfile: a step of account deletion, after which no data leads to the person."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import Aborted, InvalidArgument, NotFound, Unavailable

from services.common.service import opened
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database
from services.kernel.errors import CommitUnknown
from services.kernel.ids import new_id
from services.profile.store.profiles import FORGETTING
from tests.kernel.saga_world import Stop
from tests.profile.world import World, fails, minor_of, money, profile_world, registration

PHONE = "+4915112345678"
PERSON: dict[str, Any] = {
    "first_name": "Grace",
    "last_name": "Hopper",
    "phone_number": PHONE,
    "address": "1 Navy Yard",
    "role": "brand",
    "company": "Flow-Matic",
    "company_size": "1-10",
    "user_role": "rear-admiral",
}


async def test_nothing_of_a_person_is_left(world: World) -> None:
    request = registration(**PERSON)
    await world.by_auth.CreateProfile(request)
    top_up = wallet_pb.TopUpWalletRequest(
        user_id=request.user_id, transfer_id=str(new_id()), amount=money(500)
    )
    admin = (*world.admin, ("idempotency-key", "a key"))
    await world.wallets.TopUpWallet(top_up, metadata=admin)
    await world.forget(UUID(request.user_id))
    left = everything(world)
    for secret in ("Grace", "Hopper", PHONE, "Navy", "Flow-Matic", "rear-admiral"):
        assert secret not in left
    # Two tombstones refuse a late registration: the table's, and the one that 0.1 reads.
    assert world.rows("SELECT 1 FROM forgotten_users WHERE user_id = %s", request.user_id)
    assert left.count(request.user_id) == 1


async def test_a_forgotten_persons_requests_are_forgotten(world: World) -> None:
    """Stored replies are also found by their caller."""
    admin_id, user_id = await world.register(), await world.register()
    request = wallet_pb.TopUpWalletRequest(
        user_id=str(user_id), transfer_id=str(new_id()), amount=money(500)
    )
    metadata = (*world.as_user(admin_id, role="admin"), ("idempotency-key", "a key"))
    await world.wallets.TopUpWallet(request, metadata=metadata)
    assert len(world.rows("SELECT 1 FROM idempotency")) == 1
    await world.forget(admin_id)
    assert world.rows("SELECT 1 FROM idempotency") == []
    assert await world.balance(user_id) == 500


async def test_the_phone_is_free_and_the_money_forfeited(world: World) -> None:
    user_id = await world.register(phone_number=PHONE)
    await world.top_up(user_id, 750)
    await world.forget(user_id)
    assert not await world.phone_exists(PHONE)
    await world.register(phone_number=PHONE)
    with fails(NotFound, "PROFILE_NOT_FOUND"):
        await world.profile(user_id)
    with fails(NotFound, "WALLET_NOT_FOUND"):
        await world.balance(user_id)
    assert world.system_balance("forfeited") == 750
    assert world.wrong_balances() == []


async def test_forgetting_again_changes_nothing(world: World) -> None:
    user_id = await world.user_with(750)
    await world.forget(user_id)
    before = world.rows("SELECT * FROM transfers ORDER BY id"), world.counts()
    await asyncio.gather(*(world.forget(user_id) for _ in range(4)))
    assert (world.rows("SELECT * FROM transfers ORDER BY id"), world.counts()) == before


async def test_many_forgettings_at_once_forfeit_once(world: World) -> None:
    user_id = await world.user_with(750)
    await asyncio.gather(*(world.forget(user_id) for _ in range(8)))
    assert world.system_balance("forfeited") == 750


async def test_a_registration_that_comes_late_makes_nobody_again(world: World) -> None:
    request = registration()
    await world.by_auth.CreateProfile(request)
    await world.forget(UUID(request.user_id))
    with fails(Aborted, "SAGA_CANCELLED"):
        await world.by_auth.CreateProfile(request)
    request.saga_id = str(new_id())
    with fails(Aborted, "SAGA_CANCELLED"):
        await world.by_auth.CreateProfile(request)
    assert world.rows("SELECT 1 FROM profiles") == []


async def test_a_user_whom_a_process_of_0_1_forgot_is_not_registered_again(world: World) -> None:
    """That process files the user's id as a saga, and reads no other tombstone."""
    user_id = new_id()
    world.rows(
        "INSERT INTO saga_barriers (saga_id, branch, state)"
        " VALUES (%s, 'ForgetProfile', 'CANCELLED') RETURNING 1",
        user_id,
    )
    with fails(Aborted, "SAGA_CANCELLED"):
        await world.by_auth.CreateProfile(registration(user_id=user_id))


async def test_a_process_of_0_1_sees_whom_this_one_forgot(world: World) -> None:
    user_id = await world.register()
    await world.forget(user_id)
    filed = world.rows(
        "SELECT state FROM saga_barriers WHERE saga_id = %s AND branch = 'ForgetProfile'", user_id
    )
    assert [row[0] for row in filed] == ["CANCELLED"]


async def test_keys_that_come_late_go_and_tombstones_after_a_week(world: World) -> None:
    admin_id, other_id = await world.register(), await world.register()
    await world.forget(admin_id)
    for who in (admin_id, other_id):
        world.rows(
            "INSERT INTO idempotency (scope, method, key_hmac, fingerprint, expire_time)"
            " VALUES (%s, 'TopUpWallet', 'k', 'f', saga_now() + interval '1 day') RETURNING 1",
            f"user:{who}",
        )
    await sweep(world)
    left = {row[0] for row in world.rows("SELECT scope FROM idempotency")}
    assert f"user:{other_id}" in left
    assert f"user:{admin_id}" not in left
    of_admin = "SELECT 1 FROM forgotten_users WHERE user_id = %s"
    assert world.rows(of_admin, admin_id)
    world.rows(
        "UPDATE forgotten_users SET create_time = create_time - interval '8 days' RETURNING 1"
    )
    await sweep(world)
    assert world.rows(of_admin, admin_id) == []


async def test_somebody_without_a_profile_can_be_forgotten(world: World) -> None:
    user_id = new_id()
    await world.forget(user_id)
    with fails(Aborted, "SAGA_CANCELLED"):
        await world.by_auth.CreateProfile(registration(user_id=user_id))


async def test_others_keep_what_they_have(world: World) -> None:
    user_id, other_id = await world.user_with(100), await world.user_with(200)
    before = await world.profile(other_id)
    await world.forget(user_id)
    assert await world.profile(other_id) == before
    assert await world.balance(other_id) == 200


async def test_an_unused_wallet_goes_without_a_trace(world: World) -> None:
    await world.forget(await world.register())
    assert world.counts() | {"barriers": 0} == {
        "profiles": 0,
        "brands": 0,
        "wallets": 0,
        "barriers": 0,
    }


async def test_a_cancelled_registration_forfeits_what_was_put_in_meanwhile(world: World) -> None:
    request = registration()
    await world.by_auth.CreateProfile(request)
    top_up = wallet_pb.TopUpWalletRequest(
        user_id=request.user_id, transfer_id=str(new_id()), amount=money(500)
    )
    await world.wallets.TopUpWallet(top_up, metadata=world.admin)
    await world.by_auth.CancelProfile(
        profile_pb.CancelProfileRequest(saga_id=request.saga_id, user_id=request.user_id)
    )
    assert world.system_balance("forfeited") == 500
    assert world.wrong_balances() == []


async def test_money_that_comes_while_the_wallet_is_closed_is_not_lost(
    profile_url: str, keys: Path
) -> None:
    stop = Stop("profile.TopUpWallet.commit.sent", times=0)
    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id = await world.user_with(100)
        stop.times = 1
        putting = asyncio.ensure_future(world.top_up(user_id, 50))
        await stop.reached.wait()
        forgetting = asyncio.ensure_future(world.forget(user_id))
        await world.until_blocked()
        stop.released.set()
        await asyncio.gather(putting, forgetting)
        assert world.system_balance("forfeited") == 150
        assert world.wrong_balances() == []


async def test_a_top_up_that_is_under_way_leaves_no_stored_reply(
    profile_url: str, keys: Path
) -> None:
    stop = Stop("profile.TopUpWallet.commit.sent", times=0)
    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id = await world.user_with(100)
        stop.times = 1
        top_up = wallet_pb.TopUpWalletRequest(
            user_id=str(user_id), transfer_id=str(new_id()), amount=money(50)
        )
        metadata = (*world.admin, ("idempotency-key", "once"))
        putting = asyncio.ensure_future(world.wallets.TopUpWallet(top_up, metadata=metadata))
        await stop.reached.wait()
        forgetting = asyncio.ensure_future(world.forget(user_id))
        await world.until_blocked()
        stop.released.set()
        await asyncio.gather(putting, forgetting)
        assert world.rows("SELECT 1 FROM idempotency WHERE reply ->> 'user_id' IS NOT NULL") == []


async def test_a_brand_that_changes_and_its_deletion_do_not_wait_for_each_other(
    profile_url: str, keys: Path
) -> None:
    stop = Stop("profile.UpdateBrand.statement#3")

    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id = await world.register(**PERSON)
        brand = profile_pb.Brand(id=(await world.profile(user_id)).brand.id, name="A-0")
        request = profile_pb.UpdateBrandRequest(brand=brand, update_mask=FieldMask(paths=["name"]))
        changing = asyncio.ensure_future(
            world.profiles.UpdateBrand(request, metadata=world.as_user(user_id, "brand"))
        )
        await stop.reached.wait()
        forgetting = asyncio.ensure_future(world.forget(user_id))
        await world.until_blocked()
        stop.released.set()
        await asyncio.gather(changing, forgetting)
        # PostgreSQL ends one of two that wait for each other, and that one begins anew.
        begun = ("profile.UpdateBrand.statement#1", "profile.ForgetProfile.statement#1")
        assert [stop.seen.count(edge) for edge in begun] == [1, 1]
        assert world.rows("SELECT 1 FROM brands") == []


async def test_a_debit_that_waits_for_a_wallet_that_closes_is_refused(
    profile_url: str, keys: Path
) -> None:
    stop = Stop("profile.ForgetProfile.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id = await world.register()
        forgetting = asyncio.ensure_future(world.forget(user_id))
        await stop.reached.wait()
        debiting = asyncio.ensure_future(world.debit(user_id, 50))
        await world.until_blocked()
        stop.released.set()
        await forgetting
        assert (await debiting).refusal_reason == "WALLET_NOT_FOUND"


@pytest.mark.parametrize("edge", ["commit.sent", "commit.acked"])
async def test_an_unknown_commit_is_unavailable_and_a_repeat_ends_the_same(
    profile_url: str, keys: Path, edge: str
) -> None:
    struck = [f"profile.ForgetProfile.{edge}"]

    async def observer(edge: str) -> None:
        if edge in struck:
            struck.remove(edge)
            raise CommitUnknown

    async with profile_world(profile_url, keys, observer=observer) as world:
        user_id = await world.user_with(100)
        with fails(Unavailable, "DATABASE_UNAVAILABLE"):
            await world.forget(user_id)
        await world.forget(user_id)
        assert world.system_balance("forfeited") == 100
        assert world.rows("SELECT 1 FROM profiles") == []


async def sweep(world: World) -> None:
    database = Database(world.url, name="cleaner", connections=2)
    async with opened(database):
        await Cleaner(database, FORGETTING.cleanups).sweep()


def everything(world: World) -> str:
    """Return all rows of all tables as text."""
    tables = ("profiles", "brands", "accounts", "transfers", "saga_barriers", "idempotency")
    return "\n".join(str(world.rows(f"SELECT * FROM {table}")) for table in tables)


@pytest.mark.parametrize(("given_up", "forfeited"), [(None, 700), (700, 700), (500, 500), (0, 0)])
async def test_what_came_late_is_kept_in_suspense(
    world: World, given_up: int | None, forfeited: int
) -> None:
    user_id = await world.user_with(700)
    asked = profile_pb.GetHoldingsRequest(user_id=str(user_id))
    told = await world.by_auth.GetHoldings(asked)
    assert (minor_of(told.balance), minor_of(told.pending)) == (700, 0)
    request = profile_pb.ForgetProfileRequest(saga_id=str(new_id()), user_id=str(user_id))
    if given_up is not None:
        request.forfeit.CopyFrom(money(given_up))
    for _ in range(2):
        await world.by_auth.ForgetProfile(request)
    assert world.system_balance("forfeited") == forfeited
    assert world.system_balance("suspense") == 700 - forfeited
    assert world.wrong_balances() == []
    told = await world.by_auth.GetHoldings(asked)
    assert (minor_of(told.balance), minor_of(told.pending)) == (0, 0)


async def test_a_wrong_amount_is_given_up_by_nobody(world: World) -> None:
    request = profile_pb.ForgetProfileRequest(saga_id=str(new_id()), user_id=str(new_id()))
    request.forfeit.units = -1
    with fails(InvalidArgument, "INVALID_FIELD", "forfeit"):
        await world.by_auth.ForgetProfile(request)
    with fails(InvalidArgument, "INVALID_FIELD", "user_id"):
        await world.by_auth.GetHoldings(profile_pb.GetHoldingsRequest())
