from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep_clients.errors import from_rpc_error

from services.kernel.errors import Forbidden, InvalidToken
from services.kernel.ids import new_id
from services.kernel.rpc.access import (
    IDENTITY,
    AccessTokenVerifier,
    ServiceTokens,
    require_own,
)
from services.kernel.rpc.call import Method, ServicePrincipal, UserPrincipal
from tests.kernel.probe import SERVICE, KnownKeys, World, bearer, describe, probing


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with probing() as world:
        yield world


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def signed_with_the_public_key(token: str, key: ec.EllipticCurvePrivateKey, kid: str) -> str:
    """Forge a token: HS256 with the public key's PEM as its secret (RFC 8725, 2.1)."""
    secret = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    body = f"{header}.{token.split('.')[1]}"
    return f"{body}.{b64(hmac.digest(secret, body.encode(), hashlib.sha256))}"


def without_signature(token: str, kid: str) -> str:
    header = b64(json.dumps({"alg": "none", "typ": "JWT", "kid": kid}).encode())
    return f"{header}.{token.split('.')[1]}."


def test_a_method_without_access_refuses_to_start() -> None:
    service = describe("bare", {"Forgotten": options_pb.MethodRule()})
    with pytest.raises(TypeError, match=r"lockstep\.bare\.v1\.Probe\.Forgotten declares no access"):
        Method.of(service.methods_by_name["Forgotten"])


def test_a_method_for_services_that_names_none_refuses_to_start() -> None:
    rule = options_pb.MethodRule(access=options_pb.ACCESS_SERVICE)
    service = describe("lonely", {"Lonely": rule})
    with pytest.raises(TypeError, match="names no callers"):
        Method.of(service.methods_by_name["Lonely"])


def test_a_method_knows_its_rule() -> None:
    method = Method.of(SERVICE.methods_by_name["Rule"])
    assert method.path == "/lockstep.probe.v1.Probe/Rule"
    assert method.callers == {"operator"}
    assert not method.takes_idempotency_key


async def test_anybody_may_call_a_public_method(w: World) -> None:
    assert await w.call("Open", "hello") == "hello"
    [call] = w.servicer.calls
    assert call.principal is None
    assert call.scope == "anonymous"


async def test_a_public_method_asks_no_token_and_reads_none(w: World) -> None:
    await w.call("Open", metadata=bearer("rubbish"))
    assert w.servicer.calls[0].principal is None


async def test_a_user_method_knows_its_user_by_auths_word_not_the_tokens(w: World) -> None:
    await w.call("Own", metadata=w.user("customer", role="admin"))
    [call] = w.servicer.calls
    assert call.user.role == "customer"
    assert not call.user.is_admin
    assert call.scope == f"user:{call.user.id}"


async def test_an_admin_method_is_for_administrators(w: World) -> None:
    await w.call("Rule", metadata=w.user("admin"))
    error = await w.refused("Rule", metadata=w.user("customer", role="admin"))
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")


async def test_the_callers_of_an_admin_method_need_no_user(w: World) -> None:
    await w.call("Rule", metadata=w.service("operator"))
    assert w.servicer.calls[0].principal == ServicePrincipal("operator")
    assert w.servicer.calls[0].scope == "service:operator"


async def test_another_service_still_needs_an_administrator(w: World) -> None:
    error = await w.refused("Rule", metadata=w.service("gateway"))
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    await w.call("Rule", metadata=w.service("gateway") | w.user("admin"))
    assert w.servicer.calls[0].user.is_admin


async def test_a_service_method_is_for_the_services_it_names(w: World) -> None:
    await w.call("Serve", metadata=w.service("auth"))
    assert w.servicer.calls[0].principal == ServicePrincipal("auth")


@pytest.mark.parametrize(
    "metadata",
    [
        lambda w: {},
        lambda w: w.service("profile"),
        lambda w: w.user("admin"),
        lambda w: w.user("admin") | w.service("gateway"),
    ],
    ids=["nobody", "another service", "an administrator", "an administrator through the gateway"],
)
async def test_a_service_method_is_for_nobody_else(
    w: World, metadata: Callable[[World], dict[str, str]]
) -> None:
    error = await w.refused("Serve", metadata=metadata(w))
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")
    assert w.servicer.calls == []


def now(seconds: float) -> int:
    """Return a moment for a claim; a minute is tolerated, and a call may take some seconds."""
    return int(time.time() + seconds)


def stranger() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def as_service(token: str) -> dict[str, str]:
    return {"x-lockstep-service": token}


BAD_SERVICES: dict[str, Callable[[World], dict[str, str]]] = {
    "another audience": lambda w: w.service("auth", aud="profile"),
    "no audience": lambda w: w.service("auth", aud=None),
    "expired": lambda w: w.service("auth", exp=now(-61)),
    "never expires": lambda w: w.service("auth", exp=None),
    "another issuer": lambda w: w.service("auth", iss="profile"),
    "another's key": lambda w: w.service("auth", key=w.service_keys["profile"]),
    "an unknown service": lambda w: w.service("mallory", key=stranger()),
    "alg none": lambda w: as_service(
        without_signature(w.service("auth")["x-lockstep-service"], "auth")
    ),
    "HS256 with the public key": lambda w: as_service(
        signed_with_the_public_key(
            w.service("auth")["x-lockstep-service"], w.service_keys["auth"], "auth"
        )
    ),
    "rubbish": lambda w: as_service("rubbish"),
    "three dots": lambda w: as_service("..."),
    "an access token": lambda w: as_service(w.token(aud="probe")),
    "deep JSON": lambda w: as_service(f"{b64(b'[' * 9000)}.e30.AAAA"),
    "good for too long": lambda w: w.service("auth", exp=now(140)),
    "an end that no clock has": lambda w: w.service("auth", exp=10**400),
    "an end that is no number": lambda w: w.service("auth", exp="soon"),
    "a beginning that is no number": lambda w: w.service("auth", iat="soon"),
}


@pytest.mark.parametrize("metadata", BAD_SERVICES.values(), ids=BAD_SERVICES)
@pytest.mark.parametrize("method", ["Serve", "Open"])
async def test_a_bad_service_token_is_refused_everywhere(
    w: World, method: str, metadata: Callable[[World], dict[str, str]]
) -> None:
    error = await w.refused(method, metadata=metadata(w))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
    assert w.servicer.calls == []


BAD_USERS: dict[str, Callable[[World], dict[str, str]]] = {
    "missing": lambda w: {},
    "empty": lambda w: {"authorization": ""},
    "basic": lambda w: {"authorization": "Basic YTpi"},
    "no token": lambda w: {"authorization": "Bearer "},
    "two tokens": lambda w: {"authorization": f"Bearer {w.token()} {w.token()}"},
    "rubbish": lambda w: bearer("rubbish"),
    "three dots": lambda w: bearer("..."),
    "a header that is no object": lambda w: bearer(f"{b64(b'[]')}.e30.AAAA"),
    "deep JSON": lambda w: bearer(f"{b64(b'[' * 3000)}.e30.AAAA"),
    "a kid that is no text": lambda w: bearer(
        f"{b64(json.dumps({'alg': 'ES256', 'kid': 7}).encode())}.e30.AAAA"
    ),
    "too long": lambda w: bearer("a" * 4097),
    "alg none": lambda w: bearer(without_signature(w.token(), "k1")),
    "HS256 with the public key": lambda w: bearer(
        signed_with_the_public_key(w.token(), w.token_key, "k1")
    ),
    "another key": lambda w: w.user(key=stranger()),
    "an unknown kid": lambda w: w.user(kid="k2"),
    "no kid": lambda w: w.user(kid=None),
    "another audience": lambda w: w.user(aud="elsewhere"),
    "no audience": lambda w: w.user(aud=None),
    "another issuer": lambda w: w.user(iss="elsewhere"),
    "expired": lambda w: w.user(exp=now(-62)),
    "never expires": lambda w: w.user(exp=None),
    "not yet valid": lambda w: w.user(nbf=now(75)),
    "issued in the future": lambda w: w.user(iat=now(75)),
    "no subject": lambda w: w.user(sub=None),
    "a subject that is no id": lambda w: w.user(sub="admin"),
    "no session": lambda w: bearer(w.token(sid=None)),
    "a session that is no id": lambda w: bearer(w.token(sid="1")),
    "a session that is no text": lambda w: bearer(w.token(sid=1)),
    "an end that no clock has": lambda w: w.user(exp=10**400),
    "an end that is infinite": lambda w: w.user(exp=float("inf")),
    "an end that is no number": lambda w: w.user(exp=float("nan")),
    "tampered": lambda w: bearer(tampered(w.user()["authorization"].removeprefix("Bearer "))),
}


def tampered(token: str) -> str:
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{header}.{b64(json.dumps(claims | {'sub': str(new_id())}).encode())}.{signature}"


@pytest.mark.parametrize("metadata", BAD_USERS.values(), ids=BAD_USERS)
async def test_a_bad_access_token_is_refused(
    w: World, metadata: Callable[[World], dict[str, str]]
) -> None:
    error = await w.refused("Own", metadata=metadata(w))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
    assert w.servicer.calls == []
    assert w.sessions.asked == []


@pytest.mark.parametrize(
    ("claim", "seconds"),
    [
        ("exp", -50),
        ("nbf", 50),
        ("iat", 50),
    ],
    ids=["just expired", "nearly valid", "issued by a fast clock"],
)
async def test_clocks_may_differ_by_a_minute(claim: str, seconds: int) -> None:
    times: dict[str, Any] = {claim: now(seconds)}
    async with probing() as w:
        await w.call("Own", metadata=w.user(**times))


@pytest.mark.parametrize("word", ["bearer", "BEARER", "bEARER"])
async def test_the_word_bearer_may_have_any_case(w: World, word: str) -> None:
    metadata = w.user()
    token = metadata["authorization"].removeprefix("Bearer ")
    await w.call("Own", metadata={"authorization": f"{word} {token}"})


async def test_a_token_of_another_users_session_is_refused(w: World) -> None:
    user_id = new_id()
    metadata = w.user(sub=str(user_id))
    [session_id] = w.sessions.roles
    w.sessions.owners[session_id] = user_id
    await w.call("Own", metadata=metadata)
    w.sessions.owners[session_id] = new_id()
    error = await w.refused("Own", metadata=metadata)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")


@pytest.mark.parametrize("name", sorted(IDENTITY))
async def test_an_identity_that_is_given_twice_is_refused_everywhere(w: World, name: str) -> None:
    message = StringValue(value="x").SerializeToString()
    for value in ("a", "b"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await w.raw("Open")(message, metadata=((name, "a"), (name, value)), timeout=5.0)
        error = from_rpc_error(caught.value)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert [v.field for v in error.violations] == [name]


async def test_an_ended_session_is_said_so(w: World) -> None:
    error = await w.refused("Own", metadata=bearer(w.token()))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SESSION_ENDED")


def advance_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    later = time.time() + seconds

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Later:
            return cls.fromtimestamp(later, tz)

    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr("jwt.api_jwt.datetime", Later)


async def test_a_token_that_was_seen_before_still_expires(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = w.user(exp=now(30))
    await w.call("Own", metadata=metadata)
    advance_clock(monkeypatch, 91)
    assert (await w.refused("Own", metadata=metadata)).reason == "INVALID_TOKEN"


async def test_a_token_that_was_seen_before_ends_with_its_key(w: World) -> None:
    metadata = w.user()
    await w.call("Own", metadata=metadata)
    del w.token_keys.keys["k1"]
    assert (await w.refused("Own", metadata=metadata)).reason == "INVALID_TOKEN"


async def test_a_service_token_that_was_seen_before_still_expires(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = w.service("auth")
    await w.call("Serve", metadata=metadata)
    advance_clock(monkeypatch, 121)
    assert (await w.refused("Serve", metadata=metadata)).reason == "INVALID_TOKEN"


async def test_tokens_are_remembered_within_a_bound(w: World) -> None:
    tokens = AccessTokenVerifier(w.token_keys)
    for number in range(3):
        claims = await tokens.verify(w.token(jti=str(number)))
        assert claims.expires_at > time.time()
    assert len(tokens._verified) == 3


async def test_sessions_are_asked_about_anew_where_it_matters(w: World) -> None:
    await w.call("Spend", metadata=w.user())
    await w.call("Rule", metadata=w.user("admin"))
    assert w.sessions.asked == [True, False]


async def test_a_clients_ip_is_believed_from_a_proxy_only(w: World) -> None:
    told = {"x-lockstep-client-address": "203.0.113.7"}
    await w.call("Open", metadata=told)
    await w.call("Open", metadata=told | w.service("profile"))
    await w.call("Open", metadata=told | w.service("gateway"))
    await w.refused("Open", metadata=told | w.service("mallory", key=stranger()))
    *liars, believed = (call.client_ip for call in w.servicer.calls)
    assert [str(liar).startswith("ipv4:127.0.0.1:") for liar in liars] == [True, True]
    assert believed == "203.0.113.7"


def test_somebody_elses_id_is_for_administrators() -> None:
    user = UserPrincipal(id=new_id(), session_id=new_id(), role="customer")
    require_own(user.id, user)
    with pytest.raises(Forbidden):
        require_own(new_id(), user)
    require_own(new_id(), replace(user, role="admin"))


@settings(max_examples=200)
@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_no_text_breaks_the_reading_of_a_service_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        ServiceTokens("probe", {}).verify(text)


@settings(max_examples=200)
@given(st.text() | st.from_regex(r"Bearer [A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
async def test_no_text_breaks_the_reading_of_an_access_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        await AccessTokenVerifier(KnownKeys({})).verify(text)
