"""API keys: how they are written, and how a service treats their callers."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockstep_clients import LockstepError

from services.kernel.rpc.api_keys import SECRET_BYTES, PresentedKey, read_api_key
from services.kernel.rpc.call import UserPrincipal
from tests.kernel.probe import World, bearer, probing

SERVICE = "lockstep.probe.v1.Probe"
SECRETS = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)
FORM = re.compile(r"lk_[0-9A-Za-z]{22}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with probing() as world:
        yield world


@given(st.uuids(), SECRETS)
def test_what_is_written_can_be_read(key_id: uuid.UUID, secret: bytes) -> None:
    key = PresentedKey(key_id, secret)
    assert FORM.fullmatch(key.written())
    assert read_api_key(key.written()) == key


@given(SECRETS, st.integers(3, 75), st.sampled_from("0Az_ "))
def test_a_slip_is_found(secret: bytes, place: int, letter: str) -> None:
    text = PresentedKey(uuid.UUID(int=7), secret).written()
    slip = text[:place] + letter + text[place + 1 :]
    assert slip == text or read_api_key(slip) is None
    assert read_api_key(text[:place]) is None


@given(st.text() | st.from_regex(r"lk_[0-9A-Za-z]*_[0-9A-Za-z]*_[0-9A-Za-z]*"))
def test_no_text_breaks_the_reading(text: str) -> None:
    assert read_api_key(text) is None


def test_the_secret_is_not_shown() -> None:
    assert "secret" not in repr(PresentedKey(uuid.uuid4(), b"s" * SECRET_BYTES))


@pytest.mark.parametrize("scope", [SERVICE, f"{SERVICE}.Own"])
async def test_a_key_acts_as_its_owner_within_its_scopes(w: World, scope: str) -> None:
    text = w.api_keys.make(scope)
    key = w.api_keys.keys[text]
    await w.call("Own", metadata=bearer(text))
    assert w.servicer.calls[0].principal == UserPrincipal(
        id=key.user_id, session_id=key.id, role="customer", api_key_id=key.id
    )


@pytest.mark.parametrize(
    ("method", "scope", "role"),
    [
        ("Own", f"{SERVICE}.Spend", "customer"),
        ("Own", "lockstep.probe.v1", "customer"),
        ("Own", "lockstep.probe.v1.Pro", "customer"),
        ("Personal", SERVICE, "admin"),  # only a person may call it
        ("Rule", SERVICE, "customer"),  # the owner may not
        ("Serve", SERVICE, "admin"),  # only services may
    ],
)
async def test_a_key_is_never_more_than_its_scopes_and_its_owner(
    w: World, method: str, scope: str, role: str
) -> None:
    error = await w.refused(method, metadata=bearer(w.api_keys.make(scope, role=role)))
    assert error.reason == "FORBIDDEN"
    assert w.servicer.calls == []


async def test_a_key_of_an_administrator_may_what_the_owner_may(w: World) -> None:
    await w.call("Rule", metadata=bearer(w.api_keys.make(SERVICE, role="admin")))
    assert len(w.servicer.calls) == 1


async def test_a_key_that_has_ended_is_refused(w: World) -> None:
    text = w.api_keys.make(SERVICE)
    w.api_keys.keys.clear()
    error = await w.refused("Own", metadata=bearer(text))
    assert error.reason == "INVALID_TOKEN"


async def test_a_misspelled_key_is_refused_without_a_question(w: World) -> None:
    text = w.api_keys.make(SERVICE)
    for slip in (text[:-1], text.swapcase().replace("LK_", "lk_"), "lk_", f"{text}x"):
        assert isinstance(error := await w.refused("Own", metadata=bearer(slip)), LockstepError)
        assert error.reason == "INVALID_TOKEN"
    assert w.api_keys.asked == []


async def test_a_key_is_asked_about_anew_where_it_matters(w: World) -> None:
    metadata = bearer(w.api_keys.make(SERVICE)) | w.service("gateway")
    metadata |= {"x-lockstep-client-address": "203.0.113.7"}
    await w.call("Own", metadata=metadata)
    await w.call("Spend", metadata=metadata)
    assert w.api_keys.asked == [(False, "203.0.113.7"), (True, "203.0.113.7")]
