"""A stand-in for Auth, with the RPCs that Profile calls, and with real tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import jwt
from jwt.algorithms import ECAlgorithm
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

from services.common.keys import SigningKeys
from services.kernel.ids import new_id
from services.kernel.rpc.server import OPTIONS


class FakeAuth(auth_grpc.AuthServiceServicer):
    """Answers CheckSession and GetJwks, and signs access tokens."""

    def __init__(self, keys: Path) -> None:
        self._keys = SigningKeys.load(keys)
        self.roles: dict[str, str] = {}
        self.port = 0

    def token(self, user_id: UUID, *, role: str = "customer", **claims: Any) -> str:
        """Log a user in and return the access token."""
        session_id = str(new_id())
        self.roles[session_id] = role
        now = int(time.time())
        body = {
            "iss": "lockstep",
            "aud": "lockstep",
            "sub": str(user_id),
            "sid": session_id,
            "iat": now,
            "exp": now + 3600,
        }
        kid, key = self._keys.signing
        return jwt.encode(body | claims, key, algorithm="ES256", headers={"kid": kid})

    async def CheckSession(
        self, request: auth_pb.CheckSessionRequest, context: object
    ) -> auth_pb.CheckSessionResponse:
        role = self.roles.get(request.sid, "")
        return auth_pb.CheckSessionResponse(active=bool(role), role=role)

    async def GetJwks(
        self, request: auth_pb.GetJwksRequest, context: object
    ) -> auth_pb.GetJwksResponse:
        keys = []
        for kid, key in self._keys.verifying.items():
            jwk = ECAlgorithm.to_jwk(key, as_dict=True)
            keys.append(auth_pb.Jwk(kid=kid, kty="EC", crv=jwk["crv"], x=jwk["x"], y=jwk["y"]))
        return auth_pb.GetJwksResponse(keys=keys)


@asynccontextmanager
async def fake_auth(keys: Path) -> AsyncIterator[FakeAuth]:
    """Serve a FakeAuth on a port of its own."""
    auth = FakeAuth(keys)  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
    server = grpc.aio.server(options=OPTIONS)
    auth_grpc.add_AuthServiceServicer_to_server(auth, server)
    auth.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield auth
    finally:
        await server.stop(0)
