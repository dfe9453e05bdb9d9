"""Lockout that is no weapon: strangers spend a limit, and the owner gets in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients import LockstepError, ResourceExhausted, Unauthenticated

from tests.auth.test_operating import lockstep
from tests.auth.world import PASSWORD, Member, World, calling_as

EMAIL, NOBODY = "ada@example.com", "nobody@example.com"
WRONG, NEW_PASSWORD = "Wrong-horse-7", "Better-horse-8"
HOME, CAFE, LAIR = "192.0.2.1", "198.51.100.7", "203.0.113.66"
COUNTERS = ("place_failures", "account_failures", "known_places", "code_limits")


@dataclass
class At:
    """Somebody at a place, as the gateway reports it."""

    auth: auth_grpc.AuthServiceAsyncStub
    client_ip: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-lockstep-client-address", self.client_ip),)

    async def login(self, password: str = PASSWORD, email: str = EMAIL) -> auth_pb.LoginResponse:
        request = auth_pb.LoginRequest(email=email, password=password)
        return await self.auth.Login(request, metadata=self.metadata)

    async def ask_for_reset(self, email: str = EMAIL) -> str:
        request = auth_pb.RequestPasswordResetRequest(email=email)
        return (await self.auth.RequestPasswordReset(request, metadata=self.metadata)).flow_id

    async def reset(self, flow_id: str, otp: str, email: str = EMAIL) -> None:
        request = auth_pb.ResetPasswordRequest(
            flow_id=flow_id, email=email, otp=otp, new_password=NEW_PASSWORD
        )
        await self.auth.ResetPassword(request, metadata=self.metadata)

    async def sign_up(self, email: str) -> str:
        request = auth_pb.SendOtpRequest(email=email, password=PASSWORD, full_name="A B")
        return (await self.auth.SendOtp(request, metadata=self.metadata)).flow_id

    async def change_password(self, member: Member, current: str) -> None:
        request = auth_pb.ChangePasswordRequest(current_password=current, new_password=NEW_PASSWORD)
        await self.auth.ChangePassword(request, metadata=(*self.metadata, *member.proof))


@pytest.fixture
async def gateway(world: World) -> AsyncIterator[auth_grpc.AuthServiceAsyncStub]:
    async with calling_as(world, "gateway") as auth:
        yield auth


@pytest.fixture
async def home(world: World, gateway: auth_grpc.AuthServiceAsyncStub) -> At:
    """The owner of an account, where the owner has logged in before."""
    await world.register(EMAIL)
    owner = At(gateway, HOME)
    await owner.login()
    return owner


@pytest.fixture
async def still(world: World, home: At) -> None:
    """The clock of the database stands still, so that no wait ends by itself."""
    await world.stop_clock()


@pytest.fixture
def lair(gateway: auth_grpc.AuthServiceAsyncStub) -> At:
    return At(gateway, LAIR)


async def reason_of(call: Awaitable[object]) -> str:
    try:
        await call
    except LockstepError as error:
        return error.reason
    return "OK"


async def exhaust_place(somebody: At, email: str = EMAIL) -> None:
    for _ in range(6):
        assert await reason_of(somebody.login(WRONG, email)) == "INVALID_CREDENTIALS"
    assert await reason_of(somebody.login(WRONG, email)) == "TOO_MANY_REQUESTS"


async def exhaust_account(world: World, lair: At, email: str = EMAIL) -> None:
    """Let the next wrong password be the hundredth of the day, and send it."""
    assert await reason_of(lair.login(WRONG, email)) == "INVALID_CREDENTIALS"
    await world.sql("UPDATE account_failures SET failures = 99")
    assert await reason_of(lair.login(WRONG, email)) == "INVALID_CREDENTIALS"


async def sends_are_over(world: World) -> None:
    """Let a minute pass since the last code that was sent."""
    await world.sql(
        "UPDATE code_limits SET send_times = "
        "(SELECT array_agg(t - interval '61 s') FROM unnest(send_times) AS t)"
    )


@pytest.mark.usefixtures("still")
async def test_wrong_passwords_hold_up_the_place_that_they_come_from_alone(
    home: At, lair: At, gateway: auth_grpc.AuthServiceAsyncStub
) -> None:
    await exhaust_place(lair)

    assert await reason_of(lair.login()) == "TOO_MANY_REQUESTS"
    await home.login()
    await At(gateway, CAFE).login()
    # What the owner does elsewhere does not help the stranger.
    assert await reason_of(lair.login()) == "TOO_MANY_REQUESTS"


@pytest.mark.usefixtures("still")
async def test_an_ipv6_site_is_one_place(home: At, gateway: auth_grpc.AuthServiceAsyncStub) -> None:
    for number in range(6):
        assert await reason_of(At(gateway, f"2001:db8::{number}").login(WRONG)) != "OK"

    assert await reason_of(At(gateway, "2001:db8::ffff").login()) == "TOO_MANY_REQUESTS"
    await At(gateway, "2001:db8:0:1::1").login()


@pytest.mark.usefixtures("still")
async def test_an_ipv4_in_the_clothes_of_ipv6_is_the_same_place_and_no_others(
    home: At, gateway: auth_grpc.AuthServiceAsyncStub
) -> None:
    await exhaust_place(At(gateway, f"::ffff:{LAIR}"))

    assert await reason_of(At(gateway, LAIR).login()) == "TOO_MANY_REQUESTS"
    await At(gateway, f"::ffff:{CAFE}").login()


@pytest.mark.usefixtures("still")
async def test_each_wrong_password_doubles_the_wait_and_quiet_time_shortens_it(
    world: World, home: At, lair: At
) -> None:
    await exhaust_place(lair)
    waits = []
    for _ in range(11):
        await world.sql("UPDATE place_failures SET wait_until = saga_now()")
        assert await reason_of(lair.login(WRONG)) == "INVALID_CREDENTIALS"
        [row] = await world.sql(
            "SELECT extract(epoch FROM wait_until - update_time) AS wait FROM place_failures"
        )
        waits.append(round(row.wait))
    assert waits == [4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]

    await world.sql(
        "UPDATE place_failures SET wait_until = saga_now(), "
        "update_time = update_time - interval '151 minutes'"
    )
    assert await reason_of(lair.login(WRONG)) == "INVALID_CREDENTIALS"
    [row] = await world.sql("SELECT failures FROM place_failures")
    assert row.failures == 17 - 10 + 1


async def test_a_right_password_clears_the_counter_of_its_place(world: World, home: At) -> None:
    for _ in range(5):
        assert await reason_of(home.login(WRONG)) == "INVALID_CREDENTIALS"
    await home.login()
    assert await world.sql("SELECT 1 FROM place_failures") == []


async def test_many_strangers_share_one_try_a_minute_and_the_owner_gets_in(
    world: World, home: At, lair: At, gateway: auth_grpc.AuthServiceAsyncStub
) -> None:
    await exhaust_account(world, lair)

    strangers = [At(gateway, f"203.0.113.{number}") for number in range(1, 9)]
    reasons = await asyncio.gather(*(reason_of(each.login(WRONG)) for each in strangers))
    assert sorted(reasons) == ["INVALID_CREDENTIALS", *["TOO_MANY_REQUESTS"] * 7]
    with pytest.raises(ResourceExhausted) as caught:
        await strangers[0].login()  # the right one, too
    assert caught.value.retry_after_seconds is not None
    assert 1 <= caught.value.retry_after_seconds <= 60

    await home.login()
    mail = await world.sink.wait_for(EMAIL, count=2)
    assert "keeps trying" in mail["subject"]

    await world.sql("UPDATE account_failures SET next_try_time = saga_now()")
    await At(gateway, CAFE).login()  # the owner on a journey: now the cafe is known
    await At(gateway, CAFE).login()


async def test_a_day_later_the_count_begins_anew(world: World, home: At, lair: At) -> None:
    await exhaust_account(world, lair)
    await world.sql("UPDATE account_failures SET begin_time = begin_time - interval '25 h'")
    for _ in range(2):
        assert await reason_of(lair.login(WRONG)) == "INVALID_CREDENTIALS"
    [row] = await world.sql("SELECT failures FROM account_failures")
    assert row.failures == 2


@pytest.mark.usefixtures("still")
async def test_without_an_account_all_is_alike(
    world: World, home: At, lair: At, gateway: auth_grpc.AuthServiceAsyncStub
) -> None:
    for email in (EMAIL, NOBODY):
        await exhaust_place(At(gateway, CAFE), email)
        await exhaust_account(world, lair, email)
        strangers = [At(gateway, f"203.0.113.{number}") for number in (1, 2)]
        first = await reason_of(strangers[0].login(WRONG, email))
        second = await reason_of(strangers[1].login(WRONG, email))
        assert (first, second) == ("INVALID_CREDENTIALS", "TOO_MANY_REQUESTS")
        await world.sql("DELETE FROM place_failures")
        await world.sql("DELETE FROM account_failures")


async def test_strangers_cannot_hold_up_a_session(world: World, home: At, lair: At) -> None:
    member = world.of(await home.login())
    await exhaust_place(lair)
    await exhaust_account(world, At(lair.auth, CAFE))

    await lair.change_password(member, PASSWORD)  # even at the stranger's place


async def test_the_tenth_wrong_password_in_a_row_ends_the_session(world: World, home: At) -> None:
    member, other = world.of(await home.login()), world.of(await home.login())
    for _ in range(9):
        assert await reason_of(home.change_password(member, WRONG)) == "INVALID_CREDENTIALS"
    # A right one in between, though the change itself is refused: the address is the same.
    same = auth_pb.ChangeEmailRequest(new_email=EMAIL, password=PASSWORD)
    refused = await reason_of(home.auth.ChangeEmail(same, metadata=member.proof))
    assert refused == "INVALID_FIELD"
    for _ in range(9):
        assert await reason_of(home.change_password(member, WRONG)) == "INVALID_CREDENTIALS"

    assert await reason_of(home.change_password(member, WRONG)) == "SESSION_ENDED"
    assert await reason_of(home.change_password(member, PASSWORD)) == "SESSION_ENDED"
    await home.change_password(other, PASSWORD)


async def test_of_many_wrong_passwords_at_once_a_session_takes_ten(world: World, home: At) -> None:
    member = world.of(await home.login())
    tries = (reason_of(home.change_password(member, WRONG)) for _ in range(15))
    reasons = await asyncio.gather(*tries)
    assert sorted(reasons)[:9] == ["INVALID_CREDENTIALS"] * 9
    assert set(sorted(reasons)[9:]) <= {"SESSION_ENDED"}


async def test_codes_of_strangers_neither_replace_nor_block_those_of_the_owner(
    world: World, home: At, lair: At
) -> None:
    strange_flow = await lair.ask_for_reset()
    flow = await home.ask_for_reset()  # at once: the minute between codes is the stranger's
    code = await world.sink.code(EMAIL, count=3)
    await sends_are_over(world)
    await lair.ask_for_reset()
    for _ in range(5):
        assert await reason_of(lair.reset(strange_flow, "000000")) == "OTP_INVALID"

    await home.reset(flow, code)
    await home.login(NEW_PASSWORD)


async def test_a_place_has_two_open_flows_and_five_codes_an_hour(
    world: World, home: At, lair: At
) -> None:
    assert await reason_of(lair.ask_for_reset()) == "OK"
    assert await reason_of(lair.ask_for_reset()) == "TOO_MANY_REQUESTS"
    await sends_are_over(world)
    assert await reason_of(lair.ask_for_reset()) == "OK"
    await sends_are_over(world)
    assert await reason_of(lair.ask_for_reset()) == "TOO_MANY_REQUESTS"
    for _ in range(3):
        await world.sql("UPDATE codes SET expire_time = saga_now()")
        assert await reason_of(lair.ask_for_reset()) == "OK"
        await sends_are_over(world)
    await world.sql("UPDATE codes SET expire_time = saga_now()")
    assert await reason_of(lair.ask_for_reset()) == "TOO_MANY_REQUESTS"
    assert await reason_of(home.ask_for_reset()) == "OK"


@pytest.mark.parametrize("email", [EMAIL, NOBODY])
async def test_all_places_together_have_twenty_and_the_known_ones_are_spared(
    world: World, home: At, gateway: auth_grpc.AuthServiceAsyncStub, email: str
) -> None:
    strangers = [At(gateway, f"203.0.113.{number}") for number in range(1, 22)]
    for stranger in strangers[:20]:
        assert await reason_of(stranger.ask_for_reset(email)) == "OK"

    # Both limits are met: twenty codes an hour, and twenty open flows.
    assert await reason_of(strangers[20].ask_for_reset(email)) == "TOO_MANY_REQUESTS"
    await world.sql("UPDATE code_limits SET send_times = '{}'")
    assert await reason_of(strangers[20].ask_for_reset(email)) == "TOO_MANY_REQUESTS"
    if email == EMAIL:
        flow = await home.ask_for_reset()
        code = await world.sink.code(EMAIL, count=22)
        await home.reset(flow, code)


async def test_a_hundred_wrong_codes_a_day_spare_the_known_places(
    world: World, home: At, lair: At
) -> None:
    flow, strange_flow = await home.ask_for_reset(), await lair.ask_for_reset()
    await world.sink.wait_for(EMAIL, count=3)
    code = await world.sink.code(EMAIL, count=2)
    await world.sql("UPDATE code_limits SET failure_times = array_fill(saga_now(), ARRAY[99])")
    assert await reason_of(lair.reset(strange_flow, "000000")) == "OTP_INVALID"

    assert await reason_of(lair.reset(strange_flow, "000000")) == "TOO_MANY_REQUESTS"
    assert await reason_of(lair.reset(flow, code)) == "TOO_MANY_REQUESTS"
    mail = await world.sink.wait_for(EMAIL, count=4)
    assert "keeps trying" in mail["subject"]
    assert await reason_of(home.reset(flow, "000000")) == "OTP_INVALID"
    await home.reset(flow, code)


async def test_strangers_do_not_hold_up_a_sign_up(world: World, home: At, lair: At) -> None:
    newcomer = "new@example.com"
    strange_flow = await lair.sign_up(newcomer)
    flow = await home.sign_up(newcomer)
    code = await world.sink.code(newcomer, count=2)
    for _ in range(5):
        wrong = auth_pb.VerifyOtpRequest(flow_id=strange_flow, email=newcomer, otp="000000")
        assert await reason_of(lair.auth.VerifyOtp(wrong, metadata=lair.metadata)) == "OTP_INVALID"

    right = auth_pb.VerifyOtpRequest(flow_id=flow, email=newcomer, otp=code)
    answer = await home.auth.VerifyOtp(right, metadata=home.metadata)
    assert answer.user.email == newcomer


async def test_a_place_is_known_for_ninety_days(world: World, home: At, lair: At) -> None:
    await exhaust_account(world, lair)
    await At(lair.auth, CAFE).login()  # takes the try of this minute
    await world.sql("UPDATE known_places SET seen_time = seen_time - interval '91 days'")
    assert await reason_of(home.login()) == "TOO_MANY_REQUESTS"


async def test_an_administrator_unlocks_an_account(world: World, home: At, lair: At) -> None:
    admin = await world.admin("root@example.com")
    member = world.of(await home.login())
    await exhaust_place(lair)
    await exhaust_account(world, At(lair.auth, CAFE))
    request = auth_pb.UnlockUserRequest(user_id=member.id)
    assert await reason_of(world.auth.UnlockUser(request, metadata=member.proof)) == "FORBIDDEN"

    user = await world.auth.UnlockUser(request, metadata=admin.proof)

    assert user.email == EMAIL
    await lair.login()
    [row] = await world.sql(
        "SELECT actor, detail FROM audit_log WHERE event = 'authz_admin' AND user_id = %s",
        member.id,
    )
    assert (row.actor, row.detail) == (admin.id, {"cleared": "counters"})


async def test_the_command_unlocks_an_account(world: World, home: At, lair: At) -> None:
    await exhaust_place(lair)
    await lair.ask_for_reset()

    code, output = await lockstep(world, "admin", "unlock", "--email", EMAIL)

    assert code == 0, output
    assert f"unlocked {EMAIL}" in output
    await lair.login()
    await lair.ask_for_reset()
    [row] = await world.sql("SELECT actor FROM audit_log WHERE event = 'authz_admin'")
    assert row.actor == "operator"
    code, output = await lockstep(world, "admin", "unlock", "--email", NOBODY)
    assert (code, output) == (1, f"there is no account of {NOBODY}")


async def test_with_an_account_all_that_was_counted_for_it_goes(
    world: World, home: At, lair: At
) -> None:
    member = world.of(await home.login())
    await exhaust_place(lair)
    await lair.ask_for_reset()
    for table in COUNTERS:
        assert await world.sql(f"SELECT 1 FROM {table}"), table

    await world.auth.DeleteUser(auth_pb.DeleteUserRequest(user_id="me"), metadata=member.proof)
    await world.settled()

    for table in COUNTERS:
        assert await world.sql(f"SELECT 1 FROM {table}") == [], table


async def test_no_table_tells_an_ip_or_an_address(world: World, home: At, lair: At) -> None:
    await exhaust_place(lair)
    await home.ask_for_reset()
    for table in COUNTERS:
        for row in await world.sql(f"SELECT t::text AS line FROM {table} t"):
            for secret in (EMAIL, HOME, LAIR, EMAIL.encode().hex(), LAIR.encode().hex()):
                assert secret not in row.line


@pytest.mark.usefixtures("still")
async def test_who_names_no_place_is_at_the_place_of_the_connection(world: World, home: At) -> None:
    for _ in range(6):
        with pytest.raises(Unauthenticated):
            await world.login(EMAIL, WRONG)
    with pytest.raises(ResourceExhausted):
        await world.login(EMAIL)
    await home.login()
