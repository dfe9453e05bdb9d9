"""The metrics of every service: each part has one, and none has a label without a bound."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.auth import __main__ as auth_main
from services.auth.domain.outbox import OutboxWorker
from services.auth.domain.usual_cost import UsualCost
from services.auth.domain.webhook_sender import WebhookSender
from services.auth.readers.event_reader import EventReader
from services.auth.settings import AuthSettings
from services.commerce import __main__ as commerce_main
from services.commerce.domain.word_collector import WordCollector
from services.commerce.settings import CommerceSettings
from services.common import service as frame
from services.common.databases import Pools
from services.common.parts import Worker
from services.common.service import Running
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database
from services.kernel.db.standby import Marks
from services.kernel.db.survey import Survey
from services.kernel.events.sequencer import Sequencer
from services.kernel.rpc.call import Call
from services.kernel.rpc.metering import RECORD_SECONDS
from services.kernel.sagas.engine import SagaEngine
from services.kernel.tasks import Loop, PeriodicTask, Watchdog
from services.kernel.telemetry.loop_lag import LoopLag
from services.kernel.telemetry.metrics import Telemetry, TelemetryError
from services.profile import __main__ as profile_main
from services.profile.settings import ProfileSettings
from tests.conftest import Databases
from tests.kernel.probe import probing

NOBODY = "127.0.0.1:1"
LISTEN_ON = "127.0.0.1:0"

# What each kind of worker tells. A new kind must be here.
OF_WORKER: dict[type, tuple[str, ...]] = {
    SagaEngine: ("lockstep_saga_claim_age_seconds",),
    OutboxWorker: (
        "lockstep_outbox_sent_total",
        "lockstep_outbox_postponed_total",
        "lockstep_outbox_expired_total",
    ),
    WebhookSender: ("lockstep_webhook_attempts_total",),
    EventReader: ("lockstep_event_reader_missed_total", "lockstep_event_reader_behind_seconds"),
    Cleaner: (
        "lockstep_janitor_rounds_total",
        "lockstep_janitor_rows_total",
        "lockstep_janitor_last_success_age_seconds",
    ),
    Sequencer: ("lockstep_events_sequenced_total",),
    LoopLag: ("lockstep_event_loop_lag_seconds",),
    Marks: ("lockstep_standby_reads_total",),
    Watchdog: ("lockstep_loop_restarts_total",),
    Survey: (),  # those of its rows
    UsualCost: (),  # that of every periodic task
    WordCollector: (),
}
OF_SURVEY = {
    "sagas": (
        "lockstep_saga_unfinished",
        "lockstep_saga_due",
        "lockstep_saga_due_age_seconds",
        "lockstep_saga_parked",
    ),
    "mail": ("lockstep_outbox_waiting", "lockstep_outbox_oldest_age_seconds"),
    "events": ("lockstep_events_waiting", "lockstep_events_oldest_age_seconds"),
    "webhooks": (
        "lockstep_webhooks_enabled",
        "lockstep_webhooks_disabled",
        "lockstep_webhooks_failing_age_seconds",
    ),
    "deliveries": ("lockstep_webhooks_waiting",),
}
OF_POOL = (
    "db_client_connection_count",
    "db_client_connection_max",
    "db_client_connection_pending_requests",
    "db_client_connection_timeouts_total",
)
OF_PROCESS = ("lockstep_serving", "lockstep_callers", "process_resident_memory_bytes")
# No process takes up a saga of an unknown kind.
UNKNOWN_SAGA = """
INSERT INTO sagas (id, kind, state, payload, next_run_at)
VALUES (gen_random_uuid(), 'probe', 'RUNNING', '{}', now())
"""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with contextlib.AsyncExitStack() as entered:
        yield entered


async def start(service: str, databases: Databases, keys: Path, stack: AsyncExitStack) -> Running:
    """Run a service that reaches no other."""
    url = databases.fresh(stack.enter_context(ExitStack()), service)
    if service != "profile":  # which coordinates none
        with psycopg.connect(url) as connection:
            connection.execute(UNKNOWN_SAGA)
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
                commerce_main.running(
                    CommerceSettings(commerce_read_database_url=url, **common), listen_on=LISTEN_ON
                )
            )


def read(telemetry: Telemetry) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the values of every metric, with their labels."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(generate_latest(telemetry.registry).decode()):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if not k.startswith("otel_scope")}
            found.setdefault(sample.name, []).append((labels, sample.value))
    return found


async def read_calls(telemetry: Telemetry, number: int) -> list[tuple[dict[str, str], float]]:
    """Return how many calls were measured, with their labels, once that many are recorded."""
    async with asyncio.timeout(10):
        while True:
            found = read(telemetry).get("rpc_server_call_duration_seconds_count", [])
            if sum(value for _, value in found) >= number:
                return found
            await asyncio.sleep(RECORD_SECONDS)


@dataclass
class Parts:
    """The parts of a service, as it has put them together at its start."""

    workers: list[Worker] = field(default_factory=list)
    pools: dict[str, Database] = field(default_factory=dict)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    found, start_all, make_pools = Parts(), frame._start, frame._pools

    def note_workers(stack: AsyncExitStack, *workers: Worker) -> None:
        found.workers += workers
        start_all(stack, *workers)

    def note_pools(*arguments: Any) -> Pools:
        made = make_pools(*arguments)
        found.pools.update(made.by_name())
        return made

    monkeypatch.setattr(frame, "_start", note_workers)
    monkeypatch.setattr(frame, "_pools", note_pools)
    return found


@pytest.mark.parametrize("service", ["auth", "profile", "commerce"])
async def test_every_part_of_a_service_has_its_metrics(
    service: str, databases: Databases, keys: Path, stack: AsyncExitStack, parts: Parts
) -> None:
    running = await start(service, databases, keys, stack)
    wanted = [*OF_PROCESS, *OF_POOL]
    for worker in parts.workers:
        wanted += OF_WORKER[type(worker)]
        if isinstance(worker, Survey):
            wanted += OF_SURVEY[worker.name.removeprefix("survey of ")]
            await worker.ask()
    if service == "auth":
        wanted += ["lockstep_hash_queue", "lockstep_hash_refused_total"]
    found = read(running.telemetry)
    assert set(wanted) - found.keys() == set()

    def named(metric: str, label: str) -> set[str]:
        return {labels[label] for labels, _ in found[metric]}

    assert named(OF_POOL[0], "db_client_connection_pool_name") == parts.pools.keys()
    loops = {each.pulse.name for each in parts.workers if isinstance(each, Loop)}
    if running.composition.engine is not None:
        loops.add(running.composition.engine.recovery.pulse.name)
    assert named("lockstep_loop_restarts_total", "lockstep_loop_name") == loops
    tasks = {each.name for each in parts.workers if isinstance(each, PeriodicTask)}
    assert named("lockstep_task_last_success_age_seconds", "lockstep_task_name") == tasks
    rows = named("lockstep_janitor_rows_total", "lockstep_janitor_sort")
    assert rows > {each.name for each in running.composition.cleanups}


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
        for labels, value in await read_calls(running.telemetry, 2)
    }
    assert counts == {("GetJwks", "OK"): 1, ("Login", "UNAUTHENTICATED"): 1}


async def broken(request: StringValue, call: Call) -> StringValue:
    raise RuntimeError


async def test_a_server_that_stops_has_recorded_every_call() -> None:
    telemetry = Telemetry("probe")
    async with probing(meter=telemetry.meter) as world:
        await world.refused("Own")
    [(_, count)] = read(telemetry)["rpc_server_call_duration_seconds_count"]
    assert count == 1


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
    calls = await read_calls(running.telemetry, 20)
    found = read(running.telemetry)
    values = {
        text for samples in found.values() for labels, _ in samples for text in labels.values()
    }
    values -= {running.telemetry.instance}
    assert [text for text in values if re.search(r"@|[0-9a-f]{8}-[0-9a-f]{4}-", text)] == []
    assert len(calls) == 1


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
