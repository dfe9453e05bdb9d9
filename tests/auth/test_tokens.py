"""Access tokens: good ones, and every kind of bad ones."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import LockstepError, Unauthenticated

from services.common import key_files
from services.common.keys import SigningKeys
from tests.auth.world import World

EMAIL = "ada@example.com"
ME = auth_pb.GetUserRequest(user_id="me")


async def claims_of(world: World) -> dict[str, Any]:
    member = await world.member(EMAIL)
    decoded: dict[str, Any] = jwt.decode(member.token, options={"verify_signature": False})
    return decoded


async def call_with(world: World, authorization: str | None) -> LockstepError | None:
    metadata = () if authorization is None else (("authorization", authorization),)
    try:
        await world.auth.GetUser(ME, metadata=metadata)
    except LockstepError as error:
        return error
    return None


def sign(world: World, claims: dict[str, Any], **header: Any) -> str:
    kid, key = SigningKeys.load(world.keys).signing
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid, **header})


async def test_a_token_says_who_and_for_how_long(world: World) -> None:
    before = int(time.time())
    member = await world.member(EMAIL)
    header = jwt.get_unverified_header(member.token)
    claims = jwt.decode(member.token, options={"verify_signature": False})
    assert (header["alg"], header["kid"]) == ("ES256", SigningKeys.load(world.keys).signing[0])
    assert (claims["iss"], claims["aud"], claims["role"]) == ("lockstep", "lockstep", "student")
    assert claims["sub"] == member.id
    assert UUID(claims["sid"]) != UUID(claims["jti"])
    assert before <= claims["iat"] == claims["nbf"] <= time.time()
    assert claims["exp"] == claims["iat"] + 21600


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer abc", "Bearer a.b.c"],
)
async def test_a_missing_or_malformed_token_is_refused(
    world: World, authorization: str | None
) -> None:
    error = await call_with(world, authorization)
    assert isinstance(error, Unauthenticated)
    assert error.reason == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"aud": "profile"},
        {"exp": 61},
        {"exp": None},
        {"iat": None},
        {"aud": None},
        {"iss": None},
        {"sub": None},
        {"sid": None},
        {"sid": "x"},
        {"sub": "x"},
        {"nbf": -75},
        {"iat": -75},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_refused(
    world: World, change: dict[str, str | int | None]
) -> None:
    """Numbers are seconds in the past; those in the future are negative.

    A minute is tolerated, and the call itself may take some seconds.
    """
    claims = await claims_of(world)
    for name, value in change.items():
        if value is None:
            del claims[name]
        else:
            claims[name] = int(time.time()) - value if isinstance(value, int) else value
    error = await call_with(world, f"Bearer {sign(world, claims)}")
    assert isinstance(error, Unauthenticated)
    assert error.reason == "INVALID_TOKEN"


@pytest.mark.parametrize("change", [{"exp": 45}, {"nbf": -45}, {"iat": -45}], ids=str)
async def test_a_minute_of_skew_is_tolerated(world: World, change: dict[str, int]) -> None:
    claims = await claims_of(world)
    claims |= {name: int(time.time()) - value for name, value in change.items()}
    assert await call_with(world, f"Bearer {sign(world, claims)}") is None


async def test_a_token_is_not_remembered_beyond_its_life(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = await claims_of(world)
    token = sign(world, claims)
    assert await call_with(world, f"Bearer {token}") is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 21600 + 61)
    error = await call_with(world, f"Bearer {token}")
    monkeypatch.undo()
    assert isinstance(error, Unauthenticated)
    assert error.reason == "INVALID_TOKEN"


async def test_the_algorithm_is_ours_to_choose(world: World) -> None:
    claims = await claims_of(world)
    kid, key = SigningKeys.load(world.keys).signing
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": kid})
    confused = _hs256(claims, public, kid)
    other_curve = jwt.encode(
        claims, ec.generate_private_key(ec.SECP384R1()), algorithm="ES384", headers={"kid": kid}
    )
    for token in (unsigned, unsigned + "AAAA", confused, other_curve):
        error = await call_with(world, f"Bearer {token}")
        assert isinstance(error, Unauthenticated)
        assert error.reason == "INVALID_TOKEN"


async def test_only_keys_of_ours_verify(world: World) -> None:
    claims = await claims_of(world)
    stranger = ec.generate_private_key(ec.SECP256R1())
    kid, _ = SigningKeys.load(world.keys).signing
    headers: list[dict[str, str]] = [{"kid": kid}, {"kid": "unknown"}, {}]
    for header in headers:
        token = jwt.encode(claims, stranger, algorithm="ES256", headers=header)
        error = await call_with(world, f"Bearer {token}")
        assert isinstance(error, Unauthenticated)
        assert error.reason == "INVALID_TOKEN"


async def test_a_changed_token_is_refused(world: World) -> None:
    member = await world.member(EMAIL)
    head, body, signature = member.token.split(".")
    swapped = ("A" if body[10] != "A" else "B").join((body[:10], body[11:]))
    for token in (f"{head}.{swapped}.{signature}", f"{head}.{body}.", f"{head}.{body}"):
        assert isinstance(await call_with(world, f"Bearer {token}"), Unauthenticated)


async def test_a_good_token_of_no_session_is_over(world: World) -> None:
    claims = await claims_of(world) | {"sid": str(uuid4())}
    error = await call_with(world, f"Bearer {sign(world, claims)}")
    assert isinstance(error, Unauthenticated)
    assert error.reason == "SESSION_ENDED"


async def test_the_role_in_a_token_permits_nothing(world: World) -> None:
    claims = await claims_of(world) | {"role": "admin"}
    with pytest.raises(LockstepError) as caught:
        await world.auth.ListUsers(
            auth_pb.ListUsersRequest(),
            metadata=(("authorization", f"Bearer {sign(world, claims)}"),),
        )
    assert caught.value.reason == "FORBIDDEN"


async def test_any_verifier_can_use_the_key_set(world: World) -> None:
    member = await world.member(EMAIL)
    answer = await world.auth.GetJwks(auth_pb.GetJwksRequest())
    keys = jwt.PyJWKSet(
        [
            {name: getattr(key, name) for name in ("kty", "crv", "x", "y", "kid", "use", "alg")}
            for key in answer.keys
        ]
    )
    kid = jwt.get_unverified_header(member.token)["kid"]
    claims = jwt.decode(
        member.token, keys[kid].key, algorithms=["ES256"], audience="lockstep", issuer="lockstep"
    )
    assert claims["sub"] == member.id


async def test_a_rotation_logs_nobody_out_and_a_retirement_does(world: World) -> None:
    old = await world.member(EMAIL)
    old_kid = jwt.get_unverified_header(old.token)["kid"]
    new_kid = await asyncio.to_thread(key_files.rotate_token_key, world.keys)
    new = world.of(await world.login(EMAIL))
    assert jwt.get_unverified_header(new.token)["kid"] == new_kid
    answer = await world.auth.GetJwks(auth_pb.GetJwksRequest())
    assert [key.kid for key in answer.keys] == [new_kid, old_kid]
    for member in (old, new):
        await world.auth.GetUser(ME, metadata=member.proof)
    await asyncio.to_thread(key_files.retire_token_key, world.keys, old_kid)
    error = await call_with(world, f"Bearer {old.token}")
    assert isinstance(error, Unauthenticated)
    assert error.reason == "INVALID_TOKEN"
    await world.auth.GetUser(ME, metadata=new.proof)


async def test_a_rotated_secret_ends_no_session(world: World) -> None:
    member = await world.member(EMAIL)
    await asyncio.to_thread(key_files.rotate_secret, world.keys, "auth", "refresh")
    request = auth_pb.RefreshTokenRequest(refresh_token=member.refresh_token)
    renewed = await world.auth.RefreshToken(request)
    await asyncio.to_thread(key_files.drop_old_secret, world.keys, "auth", "refresh")
    request = auth_pb.RefreshTokenRequest(refresh_token=renewed.refresh_token)
    await world.auth.RefreshToken(request)


def _hs256(claims: dict[str, Any], secret: bytes, kid: str) -> str:
    """Sign with the public key as an HMAC secret, which PyJWT itself refuses."""
    import base64
    import hashlib
    import hmac
    import json

    def part(value: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT", "kid": kid}) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A copy of the keys, which the test may rotate."""
    key_files.initialise(tmp_path / "keys")
    return tmp_path / "keys"
