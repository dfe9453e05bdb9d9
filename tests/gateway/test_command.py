"""The command in front of foreign services: server reflection, files, settings, changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio as reflection
from lockstep_gateway.command.arguments import EPILOG, _parser
from lockstep_gateway.command.settings import CommandSettings, ConfigError, fields, load
from lockstep_gateway.running import running

from tests.gateway.http import Answer, Client
from tests.gateway.world import compile_protos
from tests.ports import free_port
from tests.waiting import until_found

NEW, OLD = "grpc.reflection.v1", "grpc.reflection.v1alpha"

PROTO = """
syntax = "proto3";
package %(package)s;
import "google/api/annotations.proto";
service Library {
  rpc Get(Book) returns (Book) { option (google.api.http) = {get: "/%(package)s/{name}"}; }
  %(more)s
}
message Book { string name = 1; }
"""


def compiled(tmp_path: Path, package: str, *, file: str = "service.proto", more: str = "") -> bytes:
    folder = tmp_path / package
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(PROTO % {"package": package, "more": more})
    return compile_protos(folder, folder / "set.binpb", file)


class Foreign:
    """A server of the services in some descriptors; it answers with the request."""

    def __init__(self, described: bytes, *, versions: Sequence[str] = (NEW, OLD)) -> None:
        self.port = 0
        self.versions = versions
        self.delay = asyncio.Event()
        self.delay.set()
        self.describe(described)

    def describe(self, described: bytes) -> None:
        pool = DescriptorPool()
        files = FileDescriptorSet.FromString(described).file
        for each in files:
            pool.Add(each)
        self.names = [f"{file.package}.{each.name}" for file in files for each in file.service]
        self._reflection = reflection.ReflectionServicer(
            [*self.names, OLD + ".ServerReflection"], pool=pool
        )

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        service, _, _ = str(details.method).removeprefix("/").partition("/")
        if service in [f"{each}.ServerReflection" for each in self.versions]:
            return grpc.stream_stream_rpc_method_handler(
                self._reflection.ServerReflectionInfo,
                request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
                response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
            )
        return grpc.unary_unary_rpc_method_handler(self._echo) if service in self.names else None

    async def _echo(self, request: bytes, _context: Any) -> bytes:
        await self.delay.wait()
        return request


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, foreign: Foreign) -> None:
        self._foreign = foreign

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._foreign.service(handler_call_details)


@contextlib.asynccontextmanager
async def serving(foreign: Foreign, *, port: int = 0) -> AsyncIterator[Foreign]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([_Handler(foreign)])
    foreign.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield foreign
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def gateway(*upstreams: str, **settings: Any) -> AsyncIterator[Client]:
    given = {"upstream": upstreams, "port": 0, "metrics_port": 0, "stop_grace_seconds": 1}
    async with running(load(given | settings, None)) as port:
        yield Client(port)


async def until(client: Client, path: str, holds: Callable[[Answer], bool]) -> Answer:
    return await until_found(lambda: client.get(path), holds, seconds=30)


@pytest.mark.parametrize("versions", [(NEW, OLD), (NEW,), (OLD,)], ids=["both", "v1", "v1alpha"])
async def test_an_upstream_alone_tells_all_services(
    tmp_path: Path, versions: Sequence[str]
) -> None:
    async with (
        serving(Foreign(compiled(tmp_path, "a"), versions=versions)) as foreign,
        gateway(f"127.0.0.1:{foreign.port}") as client,
    ):
        assert (await client.get("/a/dune")).json == {"name": "dune"}
        assert (await client.get("/readyz")).status == 200
        described = (await client.get("/openapi.json")).json
        assert list(described["paths"]) == ["/a/{name}"]


async def test_several_upstreams_may_have_files_of_one_name(tmp_path: Path) -> None:
    async with (
        serving(Foreign(compiled(tmp_path, "a"))) as one,
        serving(Foreign(compiled(tmp_path, "b"))) as other,
        gateway(f"127.0.0.1:{one.port}", f"b.Library=127.0.0.1:{other.port}") as client,
    ):
        assert (await client.get("/a/dune")).status == 200
        assert (await client.get("/b/dune")).status == 200


async def test_an_upstream_that_is_not_there_yet_is_asked_again(tmp_path: Path) -> None:
    port = free_port()
    async with (
        serving(Foreign(compiled(tmp_path, "a"))) as one,
        gateway(f"127.0.0.1:{one.port}", f"127.0.0.1:{port}") as client,
    ):
        assert (await client.get("/a/dune")).status == 200
        ready = await client.get("/readyz")
        assert ready.status == 503
        assert ready.json["message"] == f"Not ready: 127.0.0.1:{port}: it cannot be reached."
        assert (await client.get("/b/dune")).status == 404
        async with serving(Foreign(compiled(tmp_path, "b")), port=port):
            await until(client, "/readyz", lambda it: it.status == 200)
            assert (await client.get("/b/dune")).status == 200


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"package": "a", "file": "other.proto"}, r"it has a\.Library, as 127"),
        ({"package": "b", "versions": ()}, "no server reflection: turn on"),
    ],
)
async def test_ready_tells_why_an_upstream_is_not_served(
    tmp_path: Path, second: dict[str, Any], reason: str
) -> None:
    versions = second.pop("versions", (OLD,))
    async with (
        serving(Foreign(compiled(tmp_path, "a"))) as one,
        serving(Foreign(compiled(tmp_path, **second), versions=versions)) as other,
        gateway(f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}") as client,
    ):
        ready = await client.get("/readyz")
        assert ready.status == 503
        assert re.search(reason, ready.json["message"]), ready.json
        assert (await client.get("/a/dune")).status == 200


MORE = 'rpc Other(Book) returns (Book) { option (google.api.http) = {get: "/other/{name}"}; }'


async def test_a_hangup_changes_what_is_served_and_no_request_fails(tmp_path: Path) -> None:
    async with (
        serving(Foreign(compiled(tmp_path, "a"))) as foreign,
        gateway(f"127.0.0.1:{foreign.port}") as client,
    ):
        assert (await client.get("/other/dune")).status == 404
        foreign.delay.clear()
        slow = asyncio.create_task(client.get("/a/slow"))
        foreign.describe(compiled(tmp_path, "a", more=MORE))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(client, "/openapi.json", partial(has_paths, 2))
        assert not slow.done()
        foreign.delay.set()
        assert (await slow).json == {"name": "slow"}
        assert (await client.get("/other/dune")).status == 200


def has_paths(number: int, answer: Answer) -> bool:
    return len(answer.json["paths"]) == number


async def test_no_request_fails_while_descriptors_change_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "api.binpb"
    path.write_bytes(compiled(tmp_path, "a"))
    sets = [compiled(tmp_path, "a", more=more) for more in (MORE, "")]
    async with (
        serving(Foreign(compiled(tmp_path, "a"))) as foreign,
        gateway(f"127.0.0.1:{foreign.port}", descriptors=path) as client,
    ):
        statuses = set[int]()

        async def call() -> None:
            while True:
                statuses.add((await client.get("/a/dune")).status)

        callers = [asyncio.create_task(call()) for _ in range(4)]
        for described in sets * 3:
            path.write_bytes(described)
            os.kill(os.getpid(), signal.SIGHUP)
            paths = 2 if described is sets[0] else 1
            await until(client, "/openapi.json", partial(has_paths, paths))
        for each in callers:
            each.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        assert statuses == {200}


async def test_descriptors_that_break_leave_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "api.binpb"
    path.write_bytes(compiled(tmp_path, "a"))
    async with (
        serving(Foreign(compiled(tmp_path, "a"))) as foreign,
        gateway(f"127.0.0.1:{foreign.port}", descriptors=path) as client,
    ):
        path.write_bytes(b"nonsense")
        os.kill(os.getpid(), signal.SIGHUP)
        path.write_bytes(compiled(tmp_path, "a", more=MORE))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(client, "/openapi.json", partial(has_paths, 2))
        assert (await client.get("/a/dune")).status == 200


async def test_metrics_have_a_port_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    async with (
        serving(Foreign(compiled(tmp_path, "a"))) as foreign,
        gateway(f"127.0.0.1:{foreign.port}", metrics_port=port) as client,
    ):
        await client.get("/a/dune")
        told = await Client(port).get("/metrics")
        assert b'http_route="/a/{name}"' in told.body


def test_an_argument_wins_over_a_variable_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('upstream = ["a:1", "b:2"]\nport = 1\nrequests = 2\nbody_bytes = 3000\n')
    monkeypatch.setenv("GATEWAY_REQUESTS", "3")
    monkeypatch.setenv("GATEWAY_BODY_BYTES", "4000")
    settings = load({"body_bytes": "5000"}, path)
    assert settings.gateway_upstream == ("a:1", "b:2")
    assert (settings.gateway_port, settings.gateway_requests) == (1, 3)
    assert settings.gateway_body_bytes == 5000
    monkeypatch.setenv("GATEWAY_UPSTREAM", "c:3,d:4 e:5")
    assert load({}, path).gateway_upstream == ("c:3,d:4", "e:5")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prot = 1", "prot must be a name that --help lists"),
        ("port = 'x'", "GATEWAY_PORT is 'x', but"),
        ("port =", "must be TOML"),
        ("tls_cert = 'x'", "must be set together with GATEWAY_TLS_CERT"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load({}, path)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_help_names_every_setting() -> None:
    text = "".join(_parser().format_help().split())  # Lines end at hyphens, too.
    assert EPILOG.replace(" ", "") in text
    for name, field in fields().items():
        assert f"--{name.replace('_', '-')}" in text
        description = CommandSettings.model_fields[field].description
        assert description is not None
        assert description.replace(" ", "") in text


def test_no_setting_of_the_command_speaks_of_lockstep() -> None:
    assert "lockstep" not in _parser().format_help().replace("lockstep-gateway", "").lower()
