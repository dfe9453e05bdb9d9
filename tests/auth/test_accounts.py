"""Accounts: administrators and owners list, disable, enable and erase them."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    LockstepError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)

from services.auth.domain.holdings import Amount
from services.auth.sagas.account_deletion import ACCOUNT_DELETION
from tests.auth.world import PASSWORD, Member, World
from tests.fakes.early_answers import told_early
from tests.fakes.participants import FakeOrders, FakeProfile
from tests.saga_rows import written_again
from tests.waiting import until

EMAIL = "ada@example.com"
ADMIN = "root@example.com"
ME = auth_pb.GetUserRequest(user_id="me")


async def disable(world: World, admin: Member, user_id: str) -> auth_pb.User:
    request = auth_pb.DisableUserRequest(user_id=user_id)
    return await world.auth.DisableUser(request, metadata=admin.proof)


async def enable(world: World, admin: Member, user_id: str) -> auth_pb.User:
    request = auth_pb.EnableUserRequest(user_id=user_id)
    return await world.auth.EnableUser(request, metadata=admin.proof)


async def delete(world: World, member: Member, user_id: str = "me") -> None:
    request = auth_pb.DeleteUserRequest(user_id=user_id)
    await world.auth.DeleteUser(request, metadata=member.proof)


async def test_users_are_listed_newest_first_page_by_page(world: World) -> None:
    admin = await world.admin(ADMIN)
    made = [(await world.register(f"user{n}@example.com")).user.id for n in range(5)]
    await world.sql("UPDATE users SET status = 'PENDING' WHERE email = 'user2@example.com'")
    found: list[str] = []
    request = auth_pb.ListUsersRequest(page_size=2)
    while True:
        page = await world.auth.ListUsers(request, metadata=admin.proof)
        found += [user.id for user in page.users]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == [made[4], made[3], made[1], made[0], admin.id]


async def test_wrong_pages_are_refused(world: World) -> None:
    admin = await world.admin(ADMIN)
    for request in (
        auth_pb.ListUsersRequest(page_size=-1),
        auth_pb.ListUsersRequest(page_token="x"),
    ):
        with pytest.raises(InvalidArgument):
            await world.auth.ListUsers(request, metadata=admin.proof)


async def test_only_administrators_administrate(world: World) -> None:
    member = await world.member(EMAIL)
    other = (await world.register("bob@example.com")).user
    for attempt in (
        world.auth.ListUsers(auth_pb.ListUsersRequest(), metadata=member.proof),
        disable(world, member, other.id),
        enable(world, member, other.id),
        delete(world, member, other.id),
    ):
        with pytest.raises(PermissionDenied) as caught:
            await attempt
        assert caught.value.reason == "FORBIDDEN"


async def test_who_is_nobody_is_not_found(world: World) -> None:
    admin = await world.admin(ADMIN)
    pending = (await world.register(EMAIL)).user
    await world.sql("UPDATE users SET status = 'PENDING' WHERE id = %s", pending.id)
    for user_id in (str(uuid4()), pending.id):
        for attempt in (
            disable(world, admin, user_id),
            enable(world, admin, user_id),
            delete(world, admin, user_id),
        ):
            with pytest.raises(NotFound) as caught:
                await attempt
            assert caught.value.reason == "USER_NOT_FOUND"
    for attempt in (
        disable(world, admin, "x"),
        enable(world, admin, "x"),
        delete(world, admin, "x"),
    ):
        with pytest.raises(InvalidArgument):
            await attempt


async def test_a_disabled_account_is_out_at_once_and_its_profile_suspended(
    world: World, profile: FakeProfile
) -> None:
    admin, member = await world.admin(ADMIN), await world.member(EMAIL)
    for _ in range(2):
        assert (await disable(world, admin, member.id)).disabled
    assert profile.profiles[member.id].status == "suspended"
    with pytest.raises(Unauthenticated) as ended:
        await world.auth.GetUser(ME, metadata=member.proof)
    assert ended.value.reason == "SESSION_ENDED"
    with pytest.raises(PermissionDenied) as caught:
        await world.login(EMAIL)
    assert caught.value.reason == "ACCOUNT_DISABLED"


@pytest.mark.parametrize("is_verified", [True, False])
async def test_an_enabled_account_gets_back_what_it_had(
    world: World, profile: FakeProfile, is_verified: bool
) -> None:
    admin = await world.admin(ADMIN)
    made = await world.register(EMAIL)
    if is_verified:
        await world.auth.VerifyEmail(
            auth_pb.VerifyEmailRequest(
                flow_id=made.verification_flow_id, email=EMAIL, otp=await world.sink.code(EMAIL)
            )
        )
    await disable(world, admin, made.user.id)
    for _ in range(2):
        assert not (await enable(world, admin, made.user.id)).disabled
    assert profile.profiles[made.user.id].status == ("active" if is_verified else "pending")
    await world.login(EMAIL)


async def test_a_message_that_was_overtaken_changes_nothing(
    world: World, profile: FakeProfile
) -> None:
    admin, member = await world.admin(ADMIN), await world.member(EMAIL)
    profile.is_down = True
    await disable(world, admin, member.id)
    await enable(world, admin, member.id)
    profile.is_down = False
    await world.settled()
    assert profile.profiles[member.id].status == "pending"


async def test_the_last_administrator_stays(world: World) -> None:
    first, second = await world.admin(ADMIN), await world.admin("root2@example.com")
    await disable(world, first, second.id)
    for attempt in (
        disable(world, first, first.id),
        delete(world, first),
    ):
        with pytest.raises(FailedPrecondition) as caught:
            await attempt
        assert caught.value.reason == "LAST_ADMINISTRATOR"
    await enable(world, first, second.id)
    await delete(world, first)


async def test_two_administrators_cannot_remove_each_other_at_the_same_time(world: World) -> None:
    for number in range(4):
        first = await world.admin(f"a{number}@example.com")
        second = await world.admin(f"b{number}@example.com")
        answers = await asyncio.gather(
            disable(world, first, second.id),
            disable(world, second, first.id),
            return_exceptions=True,
        )
        refusals = [answer for answer in answers if isinstance(answer, LockstepError)]
        assert {refusal.reason for refusal in refusals} <= {
            "LAST_ADMINISTRATOR",
            "SESSION_ENDED",
            "FORBIDDEN",
        }
        [row] = await world.sql(
            "SELECT count(*) AS number FROM users JOIN roles ON roles.id = role_id "
            "WHERE name = 'admin' AND status = 'ACTIVE'"
        )
        assert row.number == 1
        await world.sql("UPDATE users SET status = 'DISABLED'")


async def test_an_erased_account_is_gone_everywhere_and_its_address_free(
    world: World, profile: FakeProfile, orders: FakeOrders
) -> None:
    member = await world.member(EMAIL)
    await delete(world, member)
    assert orders.forgotten == profile.forgotten == [member.id]
    assert profile.profiles == {}
    with pytest.raises(Unauthenticated) as caught:
        await world.auth.GetUser(ME, metadata=member.proof)
    assert caught.value.reason == "SESSION_ENDED"
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL)
    assert (await world.register(EMAIL)).user.id != member.id


async def test_nothing_personal_is_left_of_an_erased_account(world: World) -> None:
    request = auth_pb.RegisterRequest(
        email=EMAIL,
        password="Correct-horse-7",
        full_name="Augusta Lovelace",
        phone_number="+442079460000",
        address="12 St James's Square",
    )
    await world.auth.Register(request, metadata=(("idempotency-key", "one"),))
    await world.sink.wait_for(EMAIL)
    await world.auth.RequestPasswordReset(auth_pb.RequestPasswordResetRequest(email=EMAIL))
    member = world.of(await world.login(EMAIL))
    await delete(world, member)
    await world.sink.wait_for(EMAIL, count=2)
    left = []
    for (table,) in await world.sql(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
    ):
        left += await world.sql(f"SELECT t::text AS line FROM {table} t")
    dump = "\n".join(row.line for row in left)
    assert member.id in dump  # the audit log
    for personal in (EMAIL, "Augusta", "Lovelace", "442079460000", "James", "127.0.0.1"):
        assert personal not in dump


async def test_an_order_in_flight_keeps_the_account_as_it_was(
    world: World, profile: FakeProfile, orders: FakeOrders
) -> None:
    admin, member = await world.admin(ADMIN), await world.member(EMAIL)
    orders.in_flight.add(member.id)
    with pytest.raises(Aborted) as caught:
        await delete(world, member)
    assert caught.value.reason == "CHECKOUT_IN_PROGRESS"
    await world.auth.GetUser(ME, metadata=member.proof)
    await world.login(EMAIL)
    assert profile.forgotten == []
    await disable(world, admin, member.id)
    with pytest.raises(Aborted):
        await delete(world, admin, member.id)
    with pytest.raises(PermissionDenied):
        await world.login(EMAIL)
    orders.in_flight.clear()
    await delete(world, admin, member.id)


async def test_an_account_with_money_is_erased_only_when_its_owner_gives_that_up(
    world: World, profile: FakeProfile
) -> None:
    admin, member = await world.admin(ADMIN), await world.member(EMAIL)
    for holdings, told in (((12, 0), ("12.00", "0.00")), ((0, 3), ("0.00", "3.00"))):
        profile.holdings[member.id] = holdings
        for who, user_id in ((member, "me"), (admin, member.id)):
            with pytest.raises(FailedPrecondition) as caught:
                await delete(world, who, user_id)
            assert caught.value.reason == "BALANCE_LEFT"
            metadata = caught.value.metadata
            assert (metadata["balance"], metadata["pending"]) == told
            assert metadata["currency"] == "USD"
    assert (await world.auth.GetUser(ME, metadata=member.proof)).id == member.id
    assert await world.sql("SELECT 1 FROM sagas WHERE kind = 'account_deletion'") == []
    request = auth_pb.DeleteUserRequest(user_id="me", forfeit_balance=True)
    profile.holdings[member.id] = (12, 3)
    await world.auth.DeleteUser(request, metadata=member.proof)
    assert profile.forfeited == [12]


@pytest.mark.parametrize(
    ("nanos", "text"), [(0, "7.00"), (500_000_000, "7.50"), (1, "7.000000001")]
)
def test_an_amount_is_told_with_all_its_decimals(nanos: int, text: str) -> None:
    assert Amount("USD", 7, nanos).text == text
    assert Amount("JPY", 7, 0).text == "7"


def test_a_deletion_of_before_is_read_and_a_new_one_is_left_alone_there() -> None:
    assert list(ACCOUNT_DELETION.versions) == [1, 2]
    old = {"status": "ACTIVE"}
    assert written_again(ACCOUNT_DELETION, payload=old, result={}) == (old, {})
    new = old | {"forfeit": {"currency": "USD", "units": 12, "nanos": 0}}
    assert written_again(ACCOUNT_DELETION, payload=new, result={}) == (new, {})


async def test_while_commerce_is_down_nobody_knows_and_then_the_account_goes(
    world: World, orders: FakeOrders, profile: FakeProfile
) -> None:
    member = await world.member(EMAIL)
    orders.is_down = True
    request = auth_pb.DeleteUserRequest(user_id="me")
    with told_early() as seconds, pytest.raises(DeadlineExceeded):
        await world.auth.DeleteUser(request, metadata=member.proof, timeout=seconds)
    await until(lambda: orders.refused)
    await world.auth.GetUser(ME, metadata=member.proof)
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL)
    orders.is_down = False
    await world.settled()
    assert set(profile.forgotten) == {member.id}  # a driver may repeat it
    assert await world.sql("SELECT 1 FROM users") == []


async def test_after_the_pivot_there_is_only_forward(
    world: World, orders: FakeOrders, profile: FakeProfile
) -> None:
    member = await world.member(EMAIL)
    profile.is_down = True
    request = auth_pb.DeleteUserRequest(user_id="me")
    with told_early() as seconds, pytest.raises(DeadlineExceeded):
        await world.auth.DeleteUser(request, metadata=member.proof, timeout=seconds)
    await until(lambda: profile.refused)
    assert orders.forgotten
    with pytest.raises(Unauthenticated) as caught:
        await world.auth.GetUser(ME, metadata=member.proof)
    assert caught.value.reason == "SESSION_ENDED"
    profile.is_down = False
    await world.settled()
    assert await world.sql("SELECT 1 FROM users") == []


async def test_nothing_of_an_erased_user_is_left_in_ended_sagas_and_keys(world: World) -> None:
    key = (("idempotency-key", "one"),)
    request = auth_pb.RegisterRequest(
        email=EMAIL, password=PASSWORD, full_name="Ada Lovelace", course="Analysis"
    )
    registered = await world.auth.Register(request, metadata=key)
    member = world.of(await world.login(EMAIL))
    await delete(world, member)
    for row in await world.sql(
        "SELECT sagas::text AS text FROM sagas WHERE kind <> 'account_deletion'"
    ):
        for personal in (registered.user.id, EMAIL, "Ada"):
            assert personal not in row.text
    assert await world.sql("SELECT 1 FROM idempotency") == []


async def test_erasing_twice_at_the_same_time_erases_once(
    world: World, profile: FakeProfile
) -> None:
    admin, member = await world.admin(ADMIN), await world.member(EMAIL)
    answers = await asyncio.gather(
        *(delete(world, admin, member.id) for _ in range(8)), return_exceptions=True
    )
    for answer in answers:
        assert answer is None or (
            isinstance(answer, LockstepError) and answer.reason == "USER_NOT_FOUND"
        )
    assert None in answers
    [row] = await world.sql("SELECT count(*) AS number FROM sagas WHERE kind = 'account_deletion'")
    assert row.number == 1


async def test_an_account_that_is_being_erased_is_neither_disabled_nor_enabled(
    world: World,
) -> None:
    admin, member = await world.admin(ADMIN), await world.member(EMAIL)
    await world.sql("UPDATE users SET status = 'DELETING' WHERE id = %s", member.id)
    for attempt in (disable(world, admin, member.id), enable(world, admin, member.id)):
        with pytest.raises(FailedPrecondition) as caught:
            await attempt
        assert caught.value.reason == "ILLEGAL_STATE"


async def test_no_login_survives_a_deletion_that_runs_at_the_same_time(world: World) -> None:
    for number in range(3):
        email = f"user{number}@example.com"
        member = await world.member(email)
        answers = await asyncio.gather(
            delete(world, member),
            *(world.login(email) for _ in range(6)),
            return_exceptions=True,
        )
        assert answers[0] is None
        for answer in answers[1:]:
            if isinstance(answer, auth_pb.LoginResponse):
                with pytest.raises(Unauthenticated):
                    await world.auth.GetUser(ME, metadata=world.of(answer).proof)
        assert await world.sql("SELECT 1 FROM sessions") == []
