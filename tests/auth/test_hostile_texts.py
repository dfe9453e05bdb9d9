"""Hostile texts in every string field of every RPC, from every caller: never INTERNAL."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import psycopg
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep_clients import LockstepError, ServiceIdentity, bearer, connect
from lockstep_clients.methods import methods

from services.common.keys import SERVICES, KeyRing
from tests.auth.together import All

NIL = "00000000-0000-0000-0000-000000000000"
TEXTS = (
    "\0",
    "a\0b",
    "\ud800",  # written by hand below: it has no form in UTF-8
    "a\ud800@example.com",
    "\uffff\ufdd0\U0010ffff",
    "\u2028\u2029\u202e\u2060\u3164\ufeff",
    "\r\nBcc: eve@example.com",
    "'; DROP TABLE users; -- \\x00 %s $1 {0} ${x}",
    "\N{PILE OF POO}" * 3000,
    "x" * 70_000,
    "a" * 65 + "@example.com",
    "a@xn--a.com",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}@\N{ARABIC LETTER LAM}1.com",
    "a@[::1]",
    "\N{FULLWIDTH DIGIT ZERO}" * 8 + NIL[8:],
    "9" * 400,
    "-1e400",
    "A" * 75,
    "=" * 4,
    "null",
    "../..",
)
# Values that let a request come past the checks of its other fields.
GOOD = {
    "email": "ada@example.com",
    "new_email": "ada@example.org",
    "password": "Correct-horse-7",
    "current_password": "Correct-horse-7",
    "new_password": "Another-horse-8",
    "otp": "123456",
    "code": "123456",
    "full_name": "Ada Lovelace",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "phone_number": "+442079460000",
    "course": "Analysis",
    "currency_code": "EUR",
    "name": "Thing",
}
# These alone are refused at once by a stream; the others may begin one that has no end.
REFUSED_TEXTS = TEXTS[:4]
# A right value of these would end what the other calls need.
LEFT_OUT = {"DeleteUser", "Logout", "DisableUser", "ChangePassword"}


@dataclass(frozen=True)
class Caller:
    """Somebody who calls: the metadata, and the channels."""

    channels: dict[str, grpc.aio.Channel]
    metadata: tuple[tuple[str, str], ...] | None = None


def test_every_rpc_is_called() -> None:
    assert len({method.full_name for method in rpcs()}) == len(methods())


def rpcs() -> list[MethodDescriptor]:
    services = {method.service for method in methods().values()}
    found = [descriptor_pool.Default().FindServiceByName(name) for name in sorted(services)]
    return [method for service in found for method in service.methods]


def places(descriptor: Any, depth: int = 0) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Return the way to each string field of a message."""
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (field,)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < 3:
            for way in places(field.message_type, depth + 1):
                yield (field, *way)


def request_of(method: MethodDescriptor) -> Message:
    """Return a request whose fields are right where a right value is known."""
    request: Any = GetMessageClass(method.input_type)()
    for field in request.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            if field.name.endswith("_id") or field.name == "sid":
                setattr(request, field.name, NIL)
            elif method.name not in LEFT_OUT:
                setattr(request, field.name, GOOD.get(field.name, ""))
    return cast(Message, request)


def hostile(method: MethodDescriptor, way: tuple[FieldDescriptor, ...], text: str) -> bytes:
    """Encode a request with a text in one field."""
    request: Any = request_of(method)
    if request.DESCRIPTOR is way[0].containing_type and len(way) == 1:
        request.ClearField(way[0].name)
    encoded = text.encode(errors="surrogatepass")
    for field in reversed(way):
        encoded = _tag(field.number) + _varint(len(encoded)) + encoded
    return bytes(request.SerializeToString() + encoded)


def _tag(number: int) -> bytes:
    return _varint(number << 3 | 2)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


@contextlib.asynccontextmanager
async def callers(lockstep: All, keys: Path) -> AsyncIterator[dict[str, Caller]]:
    """Return nobody, a user, an administrator, and every service."""
    world = lockstep.world
    member = await world.member("bob@example.com")
    admin = await world.admin("root@example.com")
    async with contextlib.AsyncExitStack() as stack:

        async def opened(identity: ServiceIdentity | None = None) -> dict[str, grpc.aio.Channel]:
            return {
                name: await stack.enter_async_context(
                    connect(target, identity=identity, audience=name)
                )
                for name, target in lockstep.targets.items()
            }

        plain = await opened()
        services = {
            name: Caller(await opened(ServiceIdentity(name, KeyRing.load(keys, name).private_key)))
            for name in SERVICES
        }
        yield {
            "nobody": Caller(plain),
            "user": Caller(plain, bearer(member.token)),
            "admin": Caller(plain, bearer(admin.token)),
            **services,
        }


def admitted(method: MethodDescriptor, everybody: dict[str, Caller]) -> list[Caller]:
    """Return the callers whose requests are read; the others are refused before."""
    rule = method.GetOptions().Extensions[options_pb.method]
    names = {
        options_pb.ACCESS_PUBLIC: ["nobody"],
        options_pb.ACCESS_USER: ["user", "admin"],
        options_pb.ACCESS_ADMIN: ["admin"],
        options_pb.ACCESS_SERVICE: [],
    }[rule.access]
    # Further services, such as the relay, have no keys here, and the operator calls the same.
    return [everybody[name] for name in (*names, *rule.callers) if name in everybody]


def served_by(method: MethodDescriptor) -> list[str]:
    package = method.containing_service.full_name.split(".")[1]
    return ["auth", "commerce"] if package == "saga" else [package]


async def outcome(
    caller: Caller, server: str, method: MethodDescriptor, encoded: bytes
) -> tuple[grpc.StatusCode, set[str]]:
    """Call a method; return the code, and the fields that the answer names."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    channel: Any = caller.channels[server]  # bytes in, bytes out
    try:
        if method.server_streaming:
            await channel.unary_stream(path)(encoded, metadata=caller.metadata, timeout=20.0).read()
        else:
            await channel.unary_unary(path)(encoded, metadata=caller.metadata, timeout=20.0)
    except LockstepError as error:
        return error.code, {each.field for each in error.violations}
    return grpc.StatusCode.OK, set()


async def refused(method: MethodDescriptor, everybody: dict[str, Caller]) -> list[str]:
    """Call a method as all whom it does not admit; return the calls that make it fail."""
    failed = []
    ways = list(places(method.input_type))
    encoded = hostile(method, ways[0], TEXTS[0]) if ways else b""
    let_in = admitted(method, everybody)
    for name, caller in everybody.items():
        if caller in let_in:
            continue
        for server in served_by(method):
            code, _ = await outcome(caller, server, method, encoded)
            if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
                failed.append(f"{method.name} as {name}: {code}")
    return failed


@pytest.mark.parametrize(
    "service", sorted({method.service.split(".")[1] for method in methods().values()})
)
async def test_no_text_makes_a_service_fail(lockstep: All, keys: Path, service: str) -> None:
    failed, calls = [], 0
    connecting = psycopg.AsyncConnection.connect(lockstep.world.url, autocommit=True)
    async with callers(lockstep, keys) as everybody, await connecting as database:
        for method in rpcs():
            if method.containing_service.full_name.split(".")[1] != service:
                continue
            failed += await refused(method, everybody)
            for way in places(method.input_type):
                path = ".".join(field.name for field in way)
                for text in REFUSED_TEXTS if method.server_streaming else TEXTS:
                    # Ten wrong passwords would end the session.
                    await database.execute("UPDATE sessions SET wrong_passwords = 0")
                    encoded = hostile(method, way, text)
                    for caller in admitted(method, everybody):
                        for server in served_by(method):
                            code, named = await outcome(caller, server, method, encoded)
                            calls += 1
                            if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
                                failed.append(f"{method.name}.{path} {text[:20]!r}: {code}")
                            if "\0" in text or "\ud800" in text:
                                assert code is grpc.StatusCode.INVALID_ARGUMENT, (path, text)
                                assert len(named) == 1, named
                                assert path.split(".")[-1] in named.pop()
    assert failed == []
    assert calls > 100
