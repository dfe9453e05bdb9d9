"""Spans: one tree from the gateway into the steps of a saga, and a link after a crash."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients import LockstepError, connect
from lockstep_gateway.binding import descriptors

from services.gateway import lockstep
from services.gateway.__main__ import running
from services.gateway.lockstep import GatewaySettings
from services.gateway.management import managed
from services.kernel.telemetry.metrics import Telemetry, TelemetryError
from tests.commerce.world import shop_world
from tests.faulty import started
from tests.gateway.http import Client
from tests.gateway.world import echoing
from tests.kernel.probe import probing
from tests.system import PASSWORD, System, student, system
from tests.telemetry.collector import Collector, collecting
from tests.telemetry.test_gateway import gateway as library_gateway

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OPEN = "lockstep.probe.v1.Probe/Open"
REGISTER = "lockstep.auth.v1.AuthService/Register"
CREATE = "lockstep.profile.v1.ProfileService/CreateProfile"
PLACE = "lockstep.commerce.v1.OrderService/PlaceOrder"
DEBIT = "lockstep.profile.v1.WalletService/DebitWallet"
TIMEOUT = 20.0


def place(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "tracestate": "a=1"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting(monkeypatch) as found:
        yield found


@contextlib.asynccontextmanager
async def gateway(
    keys: Path, *, auth: int = 1, profile: int = 1, commerce: int = 1
) -> AsyncIterator[Client]:
    """Run a gateway in front of the services that listen on these ports."""
    settings = GatewaySettings(
        keys=keys,
        auth_address=f"127.0.0.1:{auth}",
        profile_address=f"127.0.0.1:{profile}",
        commerce_address=f"127.0.0.1:{commerce}",
        gateway_metrics_port=0,
        stop_grace_seconds=1,
    )
    registry = descriptors.load(lockstep.own_descriptors())
    names = [each.type_name for each in descriptors.services(registry)]
    upstreams = lockstep.own_upstreams(settings, names)
    async with (
        managed(settings) as management,
        running(settings, registry, upstreams, port=0, is_own=True, management=management) as port,
    ):
        yield Client(port)


@pytest.fixture
async def world(
    collector: Collector, auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> AsyncIterator[System]:
    async with system(auth_url, profile_url, keys, tmp_path) as made:
        yield made


async def test_a_registration_is_one_tree(world: System, collector: Collector, keys: Path) -> None:
    # No id, which is a number in hexadecimal digits, can hold this name by chance.
    name = "lovelace"
    body = {
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "fullName": f"Ada {name}",
        "course": "A",
    }
    async with gateway(keys, auth=world.auth_port, profile=world.profile_port) as client:
        answer = await client.post("/v1/auth/register", body, **place())
        assert answer.status == 201, answer.body
        await collector.wait_for("POST /v1/auth/register", REGISTER, CREATE, "auth.T2")
    spans = collector.spans
    ours = [each for each in spans if each.trace == TRACE]
    assert {each.service for each in ours} == {"gateway", "auth", "profile"}
    ids = {each.id for each in ours}
    assert [each.name for each in ours if each.parent not in ids] == ["POST /v1/auth/register"]
    assert [each.parent for each in ours if each.service == "gateway"] == [SPAN]
    [created] = collector.named(CREATE)
    root = ["POST /v1/auth/register", REGISTER]
    assert collector.path(created) == [*root, "saga registration", "A", CREATE]
    [decided] = collector.named("auth.T2")
    assert collector.path(decided) == [*root, "saga registration", "auth.T2"]
    [begun] = collector.named("auth.T1")
    assert collector.path(begun) == [*root, "auth.T1"]
    values = str([each.attributes for each in spans]).lower()
    assert not any(text in values for text in (name, PASSWORD.lower()))


async def test_an_order_is_one_tree(
    collector: Collector, commerce_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    async with (
        shop_world(commerce_url, profile_url, keys, tmp_path) as shop,
        gateway(keys, commerce=shop.port) as client,
    ):
        buyer = await shop.buyer()
        await shop.add(buyer, await shop.product())
        [(_, token)] = buyer.metadata
        answer = await client.post("/v1/orders", {}, authorization=token, **place())
        assert answer.status == 201, answer.body
        await collector.wait_for("POST /v1/orders", PLACE, DEBIT, "commerce.T2")
    ours = [each for each in collector.spans if each.trace == TRACE]
    assert {each.service for each in ours} == {"gateway", "commerce", "profile"}
    ids = {each.id for each in ours}
    assert [each.name for each in ours if each.parent not in ids] == ["POST /v1/orders"]
    root = ["POST /v1/orders", PLACE]
    saga = [*root, "saga checkout"]
    for name, path in {
        "commerce.T1": root,
        DEBIT: [*saga, "A"],
        "commerce.T2": saga,
    }.items():
        [span] = [each for each in ours if each.name == name]
        assert collector.path(span) == [*path, name]


@pytest.mark.processes
async def test_the_saga_of_a_killed_coordinator_is_linked_to_its_request(
    world: System, collector: Collector, tmp_path: Path
) -> None:
    settings = world.auth_settings
    async with (
        started("auth", settings, tmp_path / "log", edge="auth.T1.commit.acked") as killed,
        connect(f"127.0.0.1:{killed.port}") as channel,
    ):
        auth = auth_grpc.AuthServiceStub(channel)
        with pytest.raises(LockstepError):
            await auth.Register(student(), timeout=TIMEOUT, metadata=tuple(place().items()))
        await killed.gone()
    await collector.wait_for("saga registration", CREATE)
    sagas = collector.named("saga registration")  # a busy machine may take it up twice
    assert {(each.parent, each.links) for each in sagas} == {("", (TRACE,))}
    traces = {each.trace for each in collector.named(CREATE)}
    assert traces & {each.trace for each in sagas}
    assert TRACE not in traces
    [row] = await world.query("auth", "SELECT traceparent FROM sagas")
    assert row[0].startswith(f"00-{TRACE}-")


async def test_only_a_service_or_a_trusted_proxy_forces_a_trace(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    telemetry = Telemetry("probe")
    async with probing(tracers=telemetry.tracers) as probe:
        await probe.call(metadata=place())
        await probe.refused(metadata=place() | {"x-lockstep-service": "made up"})
        await probe.call(metadata=place() | probe.service("gateway"))
        await probe.call(metadata=place("00") | probe.service("gateway"))
        places = [call.metadata["traceparent"] for call in probe.servicer.calls]
    telemetry.close()
    assert [each.parent for each in collector.named(OPEN)] == [SPAN]
    assert [each[-2:] for each in places] == ["00", "01", "00"]
    assert {each[3:35] for each in places} == {TRACE}


@pytest.mark.parametrize(
    ("proxies", "flags"), [((), "00"), (("192.0.2.0/24",), "00"), (("127.0.0.0/8",), "01")]
)
async def test_the_gateway_lets_trusted_proxies_alone_force_a_trace(
    proxies: tuple[str, ...],
    flags: str,
    collector: Collector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    settings: dict[str, Any] = {"gateway_trusted_proxies": proxies}
    async with (
        echoing() as upstreams,
        library_gateway(tmp_path, upstreams, **settings) as (client, _),
    ):
        await client.get("/v1/books/2", **place())
        metadata = upstreams.metadata
    assert str(metadata["traceparent"])[:36] == f"00-{TRACE}-"
    assert str(metadata["traceparent"])[-2:] == flags
    assert SPAN not in str(metadata["traceparent"])
    assert metadata["tracestate"] == "a=1"


async def test_a_stranger_cannot_switch_tracing_off(collector: Collector) -> None:
    telemetry = Telemetry("probe")
    async with probing(tracers=telemetry.tracers) as probe:
        await probe.call(metadata=place("00"))
        [call] = probe.servicer.calls
    telemetry.close()
    assert call.metadata["tracestate"] == "a=1"
    assert [each.trace for each in collector.named(OPEN)] == [TRACE]


async def test_a_span_names_failures_of_the_service_alone(collector: Collector) -> None:
    telemetry = Telemetry("probe")
    async with probing(tracers=telemetry.tracers) as probe:
        await probe.refused("Own")
    telemetry.close()
    [span] = collector.spans
    assert "UNAUTHENTICATED" in span.attributes["rpc.status_code"]
    assert not span.failed


@pytest.mark.parametrize(
    "variables",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}],
)
def test_without_a_collector_nobody_makes_spans(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Telemetry("auth").tracers is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")],
)
def test_a_wrong_variable_is_told_in_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(TelemetryError, match=value) as caught:
        Telemetry("auth")
    assert "\n" not in str(caught.value)
