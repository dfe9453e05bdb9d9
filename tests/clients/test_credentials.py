from __future__ import annotations

from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from lockstep.auth.v1.auth_service_pb2 import LoginRequest
from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from lockstep.commerce.v1.catalog_service_pb2 import GetProductRequest
from lockstep.commerce.v1.catalog_service_pb2_grpc import CatalogServiceStub
from lockstep.profile.v1.wallet_service_pb2 import DebitWalletRequest
from lockstep.profile.v1.wallet_service_pb2_grpc import WalletServiceStub
from lockstep.saga.v1.saga_service_pb2 import ListSagasRequest
from lockstep.saga.v1.saga_service_pb2_grpc import SagaServiceStub
from lockstep_clients import ServiceIdentity, bearer, connect

from tests.clients.fake_server import FakeServer

NOW = 1_800_000_000.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def claims(token: str | bytes, key: EllipticCurvePrivateKey) -> dict[str, Any]:
    return jwt.decode(
        token,
        key.public_key(),
        algorithms=["ES256"],
        options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
    )


def test_a_service_token_says_who_calls_whom_for_a_minute(key: EllipticCurvePrivateKey) -> None:
    token = ServiceIdentity("auth", key, clock=Clock()).token("profile")
    assert claims(token, key) == {
        "iss": "auth",
        "sub": "auth",
        "aud": "profile",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "auth", "typ": "JWT"}


@pytest.mark.parametrize(("age_seconds", "is_kept"), [(0, True), (40, True), (41, False)])
def test_a_token_is_kept_until_less_than_twenty_seconds_remain(
    key: EllipticCurvePrivateKey, age_seconds: float, is_kept: bool
) -> None:
    clock = Clock()
    identity = ServiceIdentity("auth", key, clock=clock)
    first = identity.token("profile")
    clock.now += age_seconds
    assert (identity.token("profile") == first) is is_kept


def test_each_callee_gets_a_token_of_its_own(key: EllipticCurvePrivateKey) -> None:
    identity = ServiceIdentity("auth", key)
    assert claims(identity.token("profile"), key)["aud"] == "profile"
    assert claims(identity.token("commerce"), key)["aud"] == "commerce"


async def test_the_audience_follows_from_the_method(
    server: FakeServer, key: EllipticCurvePrivateKey
) -> None:
    async with connect(server.address, identity=ServiceIdentity("commerce", key)) as channel:
        await AuthServiceStub(channel).Login(LoginRequest())
        await WalletServiceStub(channel).DebitWallet(DebitWalletRequest())
        await CatalogServiceStub(channel).GetProduct(GetProductRequest())
    tokens = [call.metadata["x-lockstep-service"] for call in server.calls]
    assert [claims(token, key)["aud"] for token in tokens] == ["auth", "profile", "commerce"]


async def test_a_method_of_several_services_needs_an_audience(
    server: FakeServer, key: EllipticCurvePrivateKey
) -> None:
    identity = ServiceIdentity("operator", key)
    async with connect(server.address, identity=identity) as channel:
        with pytest.raises(ValueError, match="audience"):
            await SagaServiceStub(channel).ListSagas(ListSagasRequest())
    async with connect(server.address, identity=identity, audience="commerce") as channel:
        await SagaServiceStub(channel).ListSagas(ListSagasRequest())
    (call,) = server.calls
    assert claims(call.metadata["x-lockstep-service"], key)["aud"] == "commerce"


async def test_a_foreign_method_needs_an_audience(
    server: FakeServer, key: EllipticCurvePrivateKey
) -> None:
    async with connect(server.address, identity=ServiceIdentity("auth", key)) as channel:
        path = "/acme.library.v1.LibraryService/GetBook"
        get_book: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        with pytest.raises(ValueError, match="audience"):
            await get_book(b"")
    assert server.calls == []


async def test_a_user_is_proven_by_metadata(server: FakeServer) -> None:
    async with connect(server.address) as channel:
        await AuthServiceStub(channel).Login(LoginRequest(), metadata=bearer("abc"))
    (call,) = server.calls
    assert call.metadata["authorization"] == "Bearer abc"
    assert "x-lockstep-service" not in call.metadata


async def test_what_a_caller_passes_is_not_changed(
    server: FakeServer, key: EllipticCurvePrivateKey
) -> None:
    metadata = grpc.aio.Metadata(*bearer("abc"))
    async with connect(server.address, identity=ServiceIdentity("gateway", key)) as channel:
        await AuthServiceStub(channel).Login(LoginRequest(), metadata=metadata)
    assert list(metadata) == list(bearer("abc"))
