"""A service for testing what surrounds every service: one method for each access.

Each method takes and returns a StringValue and does what the test tells it to.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodOptions
from google.protobuf.wrappers_pb2 import StringValue
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep_clients.errors import LockstepError, from_rpc_error

from services.kernel.ids import new_id
from services.kernel.rpc.access import Access, Session
from services.kernel.rpc.api_keys import SECRET_BYTES, ApiKey, PresentedKey
from services.kernel.rpc.call import Call
from services.kernel.rpc.server import Probe, Server

METHODS = {
    "Open": options_pb.MethodRule(access=options_pb.ACCESS_PUBLIC, idempotency_key=True),
    "Own": options_pb.MethodRule(access=options_pb.ACCESS_USER),
    "Rule": options_pb.MethodRule(access=options_pb.ACCESS_ADMIN, callers=["operator"]),
    "Spend": options_pb.MethodRule(access=options_pb.ACCESS_USER, fresh_session=True),
    "Personal": options_pb.MethodRule(access=options_pb.ACCESS_USER, person=True),
    "Serve": options_pb.MethodRule(access=options_pb.ACCESS_SERVICE, callers=["auth"]),
}

Behaviour = Callable[[StringValue, Call], Awaitable[StringValue]]


def describe(package: str, methods: dict[str, options_pb.MethodRule]) -> ServiceDescriptor:
    """Describe a service `Probe` in `lockstep.<package>.v1`, as protoc would."""
    name = f"lockstep.{package}.v1"
    file = FileDescriptorProto(
        name=f"lockstep/{package}/v1/probe.proto",
        package=name,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto", "lockstep/options/v1/options.proto"],
    )
    service = file.service.add(name="Probe")
    for method, rule in methods.items():
        options = MethodOptions()
        options.Extensions[options_pb.method].CopyFrom(rule)
        service.method.add(
            name=method,
            input_type=".google.protobuf.StringValue",
            output_type=".google.protobuf.StringValue",
            options=options,
        )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{name}.Probe")


SERVICE = describe("probe", METHODS)


async def echo(request: StringValue, call: Call) -> StringValue:
    """Answer with the request."""
    return request


@dataclass
class ProbeServicer:
    """Does what the test tells it to, and remembers its calls."""

    behaviour: Behaviour = echo
    calls: list[Call] = field(default_factory=list)

    async def Open(self, request: StringValue, call: Call) -> StringValue:
        self.calls.append(call)
        return await self.behaviour(request, call)

    Own = Rule = Spend = Personal = Serve = Open


@dataclass
class KnownSessions:
    """Sessions as Auth itself would know them."""

    roles: dict[UUID, str] = field(default_factory=dict)
    owners: dict[UUID, UUID] = field(default_factory=dict)
    asked: list[bool] = field(default_factory=list)

    def begin(self, role: str) -> UUID:
        """Begin a session."""
        session_id = new_id()
        self.roles[session_id] = role
        return session_id

    async def check(self, session_id: UUID, *, fresh: bool) -> Session | None:
        """See `access.SessionChecker`."""
        self.asked.append(fresh)
        role = self.roles.get(session_id)
        return None if role is None else Session(role, self.owners.get(session_id))


@dataclass
class KnownApiKeys:
    """API keys as Auth itself would know them."""

    keys: dict[str, ApiKey] = field(default_factory=dict)
    asked: list[tuple[bool, str | None]] = field(default_factory=list)

    def make(self, *scopes: str, role: str = "customer") -> str:
        """Make an API key."""
        presented = PresentedKey(new_id(), secrets.token_bytes(SECRET_BYTES))
        key = ApiKey(presented.id, new_id(), role, frozenset(scopes))
        self.keys[presented.written()] = key
        return presented.written()

    async def check(self, key: str, *, fresh: bool, client_ip: str | None) -> ApiKey | None:
        """See `api_keys.ApiKeyChecker`."""
        self.asked.append((fresh, client_ip))
        return self.keys.get(key)


@dataclass
class KnownKeys:
    """The public keys of access tokens."""

    keys: dict[str, ec.EllipticCurvePublicKey]

    async def find(self, key_id: str) -> ec.EllipticCurvePublicKey | None:
        """See `access.VerificationKeys`."""
        return self.keys.get(key_id)


@dataclass
class World:
    """A running probe, and the keys to its door."""

    servicer: ProbeServicer
    sessions: KnownSessions
    channel: grpc.aio.Channel
    token_key: ec.EllipticCurvePrivateKey
    service_keys: dict[str, ec.EllipticCurvePrivateKey]
    token_keys: KnownKeys
    api_keys: KnownApiKeys
    server: Server
    port: int

    def raw(self, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        """Return a method as it is on the wire."""
        return self.channel.unary_unary(f"/lockstep.probe.v1.Probe/{method}")

    async def call(
        self,
        method: str = "Open",
        text: str = "",
        *,
        metadata: dict[str, str] | None = None,
        seconds: float = 5.0,
        message: bytes | None = None,
    ) -> str:
        """Call a method.

        Raises:
            LockstepError: It failed.
        """
        rpc = self.raw(method)
        request = StringValue(value=text).SerializeToString() if message is None else message
        pairs = tuple((metadata or {}).items())
        try:
            reply = await rpc(request, metadata=pairs, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return StringValue.FromString(reply).value

    async def refused(self, method: str = "Open", **given: Any) -> LockstepError:
        """Call a method that has to fail, and return the error."""
        try:
            reply = await self.call(method, **given)
        except LockstepError as error:
            return error
        raise AssertionError(f"answered {reply!r}")

    def user(self, session_role: str = "customer", **changes: Any) -> dict[str, str]:
        """Return the metadata of a user with a session."""
        session_id = self.sessions.begin(session_role)
        return bearer(self.token(sid=str(session_id), **changes))

    def token(
        self, *, key: Any = None, algorithm: str = "ES256", kid: str | None = "k1", **changes: Any
    ) -> str:
        """Sign an access token; a claim that is None is left out."""
        now = int(time.time())
        claims = {
            "iss": "lockstep",
            "aud": "lockstep",
            "sub": str(new_id()),
            "sid": str(new_id()),
            "role": "admin",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        } | changes
        return _signed(claims, self.token_key if key is None else key, algorithm, kid)

    def service(
        self, name: str, *, key: Any = None, algorithm: str = "ES256", **changes: Any
    ) -> dict[str, str]:
        """Return the metadata of a service."""
        now = int(time.time())
        claims = {"iss": name, "sub": name, "aud": "probe", "iat": now, "exp": now + 60} | changes
        key = self.service_keys[name] if key is None else key
        return {"x-lockstep-service": _signed(claims, key, algorithm, name)}


def bearer(token: str) -> dict[str, str]:
    """Return the metadata that carries an access token."""
    return {"authorization": f"Bearer {token}"}


def _signed(claims: dict[str, Any], key: Any, algorithm: str, kid: str | None) -> str:
    kept = {name: value for name, value in claims.items() if value is not None}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(kept, key, algorithm=algorithm, headers=headers)


async def healthy() -> None:
    """Find that all is well."""


@contextlib.asynccontextmanager
async def probing(
    *,
    probe: Probe = healthy,
    checks_peers: bool = False,
    more: Sequence[tuple[ServiceDescriptor, Any]] = (),
    **options: Any,
) -> AsyncIterator[World]:
    """Run a probe, and connect to it.

    Args:
        probe: What its health follows.
        checks_peers: See `Access`.
        more: Further services of the server.
        options: Further arguments of the server.
    """
    token_key = ec.generate_private_key(ec.SECP256R1())
    names = ("auth", "profile", "gateway", "operator")
    service_keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in names}
    servicer, sessions, api_keys = ProbeServicer(), KnownSessions(), KnownApiKeys()
    token_keys = KnownKeys({"k1": token_key.public_key()})
    access = Access(
        service="probe",
        keys=token_keys,
        sessions=sessions,
        trusted={name: key.public_key() for name, key in service_keys.items()},
        proxies={"gateway"},
        api_keys=api_keys,
        checks_peers=checks_peers,
    )
    server = Server([(SERVICE, servicer), *more], access=access, probe=probe, **options)
    port = await server.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield World(
                servicer,
                sessions,
                channel,
                token_key,
                service_keys,
                token_keys,
                api_keys,
                server,
                port,
            )
    finally:
        await server.stop(0)
