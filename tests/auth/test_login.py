"""Login: which credentials open a session, and how little a refusal reveals."""

from __future__ import annotations

import asyncio

import bcrypt
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated

from tests.auth.world import PASSWORD, World

EMAIL = "ada@example.com"


async def test_the_right_password_opens_a_session(world: World) -> None:
    registered = await world.register(EMAIL)
    tokens = await world.login(EMAIL)
    assert tokens.user_id == registered.user.id
    assert (tokens.email, tokens.expires_in) == (EMAIL, 21600)
    user = await world.auth.GetUser(
        auth_pb.GetUserRequest(user_id="me"), metadata=world.of(tokens).proof
    )
    assert user.email == EMAIL


@pytest.mark.parametrize("typed", ["ADA@Example.COM", "  ada@example.com  "])
async def test_the_case_of_the_address_does_not_matter(world: World, typed: str) -> None:
    await world.register(EMAIL)
    assert (await world.login(typed)).email == EMAIL


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "Wrong-horse-7"),
        (EMAIL, PASSWORD + "x" * 100),
        (EMAIL, "\N{PILE OF POO}" * 40),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("\N{CYRILLIC SMALL LETTER A}da@example.com", PASSWORD),
        ("ada@example.com.", PASSWORD),
        ("ada@example.com\r\nBcc: eve@example.com", PASSWORD),
    ],
)
async def test_wrong_address_and_wrong_password_get_one_answer(
    world: World, email: str, password: str
) -> None:
    await world.register(EMAIL)
    with pytest.raises(Unauthenticated) as caught:
        await world.login(email, password)
    assert caught.value.reason == "INVALID_CREDENTIALS"
    assert caught.value.message == "The e-mail address or the password is wrong."


async def test_a_password_counts_however_a_keyboard_composes_it(world: World) -> None:
    composed, decomposed = "P\u00e4ssw0rt!x", "Pa\u0308ssw0rt!x"
    await world.register(EMAIL)
    member = world.of(await world.login(EMAIL))
    change = auth_pb.ChangePasswordRequest(current_password=PASSWORD, new_password=decomposed)
    await world.auth.ChangePassword(change, metadata=member.proof)
    for password in (composed, decomposed):
        await world.login(EMAIL, password)


async def test_a_hash_of_the_typed_form_still_counts_and_is_hashed_anew(world: World) -> None:
    composed, decomposed = "P\u00e4ssw0rt!x", "Pa\u0308ssw0rt!x"
    await world.register(EMAIL)
    old = bcrypt.hashpw(decomposed.encode(), bcrypt.gensalt(4)).decode()
    await world.sql("UPDATE users SET password_hash = %s", old)
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL, composed)
    await world.login(EMAIL, decomposed)
    await world.login(EMAIL, composed)


async def test_empty_fields_are_named_together(world: World) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.login(" ", "")
    assert [v.field for v in caught.value.violations] == ["email", "password"]


async def test_a_disabled_account_is_told_so_only_after_the_right_password(world: World) -> None:
    user = (await world.register(EMAIL)).user
    await world.sql("UPDATE users SET status = 'DISABLED' WHERE id = %s", user.id)
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL, "Wrong-horse-7")
    with pytest.raises(PermissionDenied) as caught:
        await world.login(EMAIL)
    assert caught.value.reason == "ACCOUNT_DISABLED"


@pytest.mark.parametrize("status", ["PENDING", "DELETING"])
async def test_users_that_are_not_there_yet_or_any_more_cannot_log_in(
    world: World, status: str
) -> None:
    user = (await world.register(EMAIL)).user
    await world.sql("UPDATE users SET status = %s WHERE id = %s", status, user.id)
    with pytest.raises(Unauthenticated) as caught:
        await world.login(EMAIL)
    assert caught.value.reason == "INVALID_CREDENTIALS"


async def test_a_hash_of_another_cost_is_renewed_at_login(world: World) -> None:
    user = (await world.register(EMAIL)).user
    # bcrypt of PASSWORD at cost 5
    import bcrypt

    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
    await world.sql("UPDATE users SET password_hash = %s WHERE id = %s", old, user.id)
    await world.login(EMAIL)
    [row] = await world.sql("SELECT password_hash FROM users WHERE id = %s", user.id)
    assert row.password_hash.startswith("$2b$04$")
    await world.login(EMAIL)


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_from_the_sixth_failure_the_place_waits(world: World, email: str) -> None:
    await world.register(EMAIL)
    await world.stop_clock()
    for _ in range(6):
        with pytest.raises(Unauthenticated):
            await world.login(email, "Wrong-horse-7")
    with pytest.raises(ResourceExhausted) as caught:
        await world.login(email)
    assert caught.value.reason == "TOO_MANY_REQUESTS"
    assert caught.value.retry_after_seconds == 2
    await _let_time_pass(world)
    with pytest.raises(Unauthenticated):
        await world.login(email, "Wrong-horse-7")
    with pytest.raises(ResourceExhausted) as caught:
        await world.login(email)
    assert caught.value.retry_after_seconds == 4


async def test_the_wait_grows_to_a_quarter_of_an_hour_at_most(world: World) -> None:
    await world.stop_clock()
    for _ in range(30):
        await _let_time_pass(world)
        with pytest.raises(Unauthenticated):
            await world.login(EMAIL, "Wrong-horse-7")
    with pytest.raises(ResourceExhausted) as caught:
        await world.login(EMAIL)
    assert caught.value.retry_after_seconds == 900


async def test_a_right_password_forgives_the_wrong_ones(world: World) -> None:
    await world.register(EMAIL)
    for _ in range(2):
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await world.login(EMAIL, "Wrong-horse-7")
        await world.login(EMAIL)


async def test_right_logins_at_the_same_time_all_succeed(world: World) -> None:
    await world.register(EMAIL)
    tokens = await asyncio.gather(*(world.login(EMAIL) for _ in range(16)))
    assert len({each.refresh_token for each in tokens}) == 16


async def test_of_guesses_at_the_same_time_no_more_than_the_free_ones_are_answered(
    world: World,
) -> None:
    await world.register(EMAIL)
    await world.stop_clock()
    guesses = ["Wrong-horse-7"] * 24
    answers = await asyncio.gather(
        *(world.login(EMAIL, guess) for guess in guesses), return_exceptions=True
    )
    assert sum(isinstance(answer, Unauthenticated) for answer in answers) == 6
    assert sum(isinstance(answer, ResourceExhausted) for answer in answers) == 18
    with pytest.raises(ResourceExhausted):
        await world.login(EMAIL)


async def _let_time_pass(world: World) -> None:
    await world.sql("UPDATE place_failures SET wait_until = saga_now()")
