"""The metrics of every service: each part has one, and none has a label without a bound."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.auth import __main__ as auth_main
from services.auth.settings import AuthSettings
from services.commerce import __main__ as commerce_main
from services.commerce.settings import CommerceSettings
from services.common.service import Running
from services.kernel.rpc.call import Call
from services.kernel.telemetry.metrics import Telemetry, TelemetryError
from services.profile import __main__ as profile_main
from services.profile.settings import ProfileSettings
from tests.conftest import Databases
from tests.kernel.probe import probing

NOBODY = "127.0.0.1:1"
LISTEN_ON = "127.0.0.1:0"

POOLS = (
    "db_client_connection_count",
    "db_client_connection_max",
    "db_client_connection_pending_requests",
    "db_client_connection_timeouts_total",
)
EVERYBODY = (
    *POOLS,
    "lockstep_serving",
    "lockstep_callers",
    "lockstep_event_loop_lag_seconds",
    "lockstep_janitor_last_success_age_seconds",
    "process_resident_memory_bytes",
)
COORDINATOR = ("lockstep_saga_claim_age_seconds",)
SURVEYED = ("lockstep_outbox_waiting", "lockstep_outbox_oldest_age_seconds")
AUTH = ("lockstep_hash_queue", *SURVEYED)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with contextlib.AsyncExitStack() as entered:
        yield entered


async def start(service: str, databases: Databases, keys: Path, stack: AsyncExitStack) -> Running:
    """Run a service that reaches no other."""
    url = databases.fresh(stack.enter_context(ExitStack()), service)
    common: dict[str, Any] = {"env": "test", "keys": keys, "stop_grace_seconds": 0}
    targets = {f"{name}_address": NOBODY for name in ("auth", "profile", "commerce")}
    common |= {f"{service}_database_url": url} | targets
    match service:
        case "auth":
            settings = AuthSettings(bcrypt_cost=4, smtp_url="smtp://127.0.0.1:1", **common)
            return await stack.enter_async_context(auth_main.running(settings, listen_on=LISTEN_ON))
        case "profile":
            return await stack.enter_async_context(
                profile_main.running(ProfileSettings(**common), listen_on=LISTEN_ON)
            )
        case _:
            return await stack.enter_async_context(
                commerce_main.running(CommerceSettings(**common), listen_on=LISTEN_ON)
            )


def read(telemetry: Telemetry) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the values of every metric, with their labels."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(generate_latest(telemetry.registry).decode()):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if not k.startswith("otel_scope")}
            found.setdefault(sample.name, []).append((labels, sample.value))
    return found


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        ("auth", (*EVERYBODY, *COORDINATOR, *AUTH)),
        ("profile", EVERYBODY),
        ("commerce", (*EVERYBODY, *COORDINATOR)),
    ],
)
async def test_every_part_of_a_service_has_its_metrics(
    service: str, wanted: tuple[str, ...], databases: Databases, keys: Path, stack: AsyncExitStack
) -> None:
    running = await start(service, databases, keys, stack)
    for worker in running.composition.workers:
        if ask := getattr(worker, "ask", None):
            await ask()
    found = read(running.telemetry)
    assert set(wanted) - found.keys() == set()
    pools = {labels["db_client_connection_pool_name"] for labels, _ in found[POOLS[0]]}
    assert {"requests"} <= pools <= {"requests", "background", "public", "leases"}


async def test_a_call_is_measured_with_its_method_and_its_code(
    databases: Databases, keys: Path, stack: AsyncExitStack
) -> None:
    running = await start("auth", databases, keys, stack)
    target = f"127.0.0.1:{running.port}"
    async with grpc.aio.insecure_channel(target) as channel:
        auth = auth_grpc.AuthServiceStub(channel)
        await auth.GetJwks(auth_pb.GetJwksRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await auth.Login(auth_pb.LoginRequest(email="x", password="y"))
    counts = {
        (labels["rpc_method"].rpartition("/")[2], labels["rpc_status_code"]): value
        for labels, value in read(running.telemetry)["rpc_server_call_duration_seconds_count"]
    }
    assert counts == {("GetJwks", "OK"): 1, ("Login", "UNAUTHENTICATED"): 1}


async def broken(request: StringValue, call: Call) -> StringValue:
    raise RuntimeError


async def test_only_failures_of_the_server_have_an_error_type() -> None:
    telemetry = Telemetry("probe")
    async with probing(meter=telemetry.meter) as world:
        await world.refused("Own")
        world.servicer.behaviour = broken
        await world.refused("Open")
    types = {
        labels["rpc_status_code"]: labels.get("error_type", "")
        for labels, _ in read(telemetry)["rpc_server_call_duration_seconds_count"]
    }
    assert types == {"UNAUTHENTICATED": "", "INTERNAL": "INTERNAL"}


async def test_no_label_holds_an_id_or_an_address(
    databases: Databases, keys: Path, stack: AsyncExitStack
) -> None:
    running = await start("auth", databases, keys, stack)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        auth = auth_grpc.AuthServiceStub(channel)
        for number in range(20):
            request = auth_pb.LoginRequest(email=f"u{number}@example.com", password="Wrong-42-x")
            with pytest.raises(grpc.aio.AioRpcError):
                await auth.Login(request)
    found = read(running.telemetry)
    values = {
        text for samples in found.values() for labels, _ in samples for text in labels.values()
    }
    values -= {running.telemetry.instance}
    assert [text for text in values if re.search(r"@|[0-9a-f]{8}-[0-9a-f]{4}-", text)] == []
    assert len(found["rpc_server_call_duration_seconds_count"]) == 1


def test_the_exporter_must_be_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "statsd")
    with pytest.raises(TelemetryError) as caught:
        Telemetry("auth")
    assert str(caught.value) == (
        "OTEL_METRICS_EXPORTER is 'statsd', but must be prometheus, otlp or none"
    )


def test_without_an_exporter_only_the_process_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    telemetry = Telemetry("auth")
    telemetry.meter.create_counter("some").add(1)
    found = read(telemetry)
    assert "process_cpu_seconds_total" in found
    assert "some_total" not in found
