"""deploy/envoy in front of two gateways: what it must keep, refuse, and survive."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from google.api import annotations_pb2
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep_clients.methods import descriptors

from services.common.settings import CommonSettings
from services.kernel.rpc.access import AUDIENCE, ISSUER
from tests.deploy import edge as edges
from tests.deploy.edge import CLIENT, Edge, Gateway, Readers
from tests.deploy.machine import image_environment
from tests.e2e.stack import Stack, running_stack
from tests.gateway.envoy import envoy_running
from tests.gateway.http import Answer, Client
from tests.ports import free_ports
from tests.waiting import wait_until

HTTP: Final[Any] = annotations_pb2.http  # its stub is not generic
EMAIL: Final = "edge@example.com"
PASSWORD: Final = "Edge-Horse-42"

pytestmark = pytest.mark.processes


def config() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((edges.FILES / "envoy.yaml").read_text())
    return found


def filters() -> dict[str, Any]:
    (chain,) = config()["static_resources"]["listeners"][0]["filter_chains"]
    http = chain["filters"][0]["typed_config"]
    return {each["name"].rpartition(".")[2]: each["typed_config"] for each in http["http_filters"]}


def paths(*access: options_pb.Access.ValueType) -> set[str]:
    """Return the paths over REST of the methods with these access rules."""
    found = set()
    for file in descriptors().file:
        for method in (method for each in file.service for method in each.method):
            if method.options.Extensions[options_pb.method].access in access:
                rule = method.options.Extensions[HTTP]
                for binding in (rule, *rule.additional_bindings):
                    found.add(str(getattr(binding, binding.WhichOneof("pattern") or "get")))
    return found - {""}


def test_envoy_takes_the_file_and_refuses_a_mistake(tmp_path: Path) -> None:
    text = edges.configuration(tmp_path, port=8443, admin=9901, gateways=[("127.0.0.1", 8080)])
    file = edges.write(tmp_path, text)
    ran = edges.validated(file)
    assert ran.returncode == 0, ran.stderr
    assert "deprecated" not in ran.stderr.lower()
    for right, wrong in (
        ("retry_on:", "retry_for:"),
        ("cluster: gateway\n", "cluster: gatewai\n"),
        (f"{tmp_path}/sds.yaml", f"{tmp_path}/secrets.yaml"),
    ):
        assert right in text
        file.write_text(text.replace(right, wrong))
        assert edges.validated(file).returncode != 0, wrong


def test_the_file_fits_the_code() -> None:
    (cluster,) = config()["static_resources"]["clusters"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    port = endpoint["endpoint"]["address"]["socket_address"]["port_value"]
    assert port == CommonSettings.model_fields["gateway_port"].default
    (health,) = cluster["health_checks"]
    seen = int(health["interval"][:-1]) * health["unhealthy_threshold"] + int(
        health["timeout"][:-1]
    )
    assert seen < int(image_environment()["LOCKSTEP_STOP_DELAY_SECONDS"])
    provider = filters()["jwt_authn"]["providers"]["lockstep"]
    assert (provider["issuer"], provider["audiences"]) == (ISSUER, [AUDIENCE])
    jwks = httpx.URL(provider["remote_jwks"]["http_uri"]["uri"]).path
    assert jwks in paths(options_pb.ACCESS_PUBLIC)


def test_tokens_are_asked_for_where_every_method_needs_a_user() -> None:
    rules = filters()["jwt_authn"]["rules"]
    checked = tuple(rule["match"]["prefix"] for rule in rules if "requires" in rule)
    public = {each for each in paths(options_pb.ACCESS_PUBLIC) if each.startswith(checked)}
    assert public == set()
    elsewhere = ("/v1/auth", "/v1/products", "/v1/brands", "/v1/categories")
    for_users = paths(options_pb.ACCESS_USER, options_pb.ACCESS_ADMIN)
    assert {each for each in for_users if not each.startswith((*checked, *elsewhere))} == set()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


def test_errors_of_envoys_own_transcoder_have_a_body(stack: Stack, tmp_path: Path) -> None:
    """Without google.rpc in the descriptors it would be empty."""
    port = int(stack.environment["LOCKSTEP_AUTH_PORT"])
    file = tmp_path / "lockstep.binpb"
    file.write_bytes(descriptors().SerializeToString())

    async def ask() -> Answer:
        service = "lockstep.auth.v1.AuthService"
        async with envoy_running(tmp_path, file, [service], port) as (listening, _):
            async with asyncio.timeout(20):  # Envoy may connect to the service after its start
                while True:
                    answer = await Client(listening).post("/v1/auth/login", {"email": "nobody"})
                    if answer.status != 503:
                        return answer

    answer = asyncio.run(ask())
    assert (answer.status, answer.reason) == (400, "INVALID_FIELD")


@pytest.fixture(scope="module")
def ports() -> list[int]:
    return free_ports(2)


@pytest.fixture(scope="module")
def first(
    stack: Stack, ports: list[int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway to which nothing happens."""
    log = tmp_path_factory.mktemp("gateway") / "log"
    with edges.gateway(stack, log, ports[0]) as gateway:
        yield gateway


@pytest.fixture
def second(stack: Stack, ports: list[int], first: Gateway, tmp_path: Path) -> Iterator[Gateway]:
    with edges.gateway(stack, tmp_path / "log", ports[1]) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def edge(
    first: Gateway, ports: list[int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    places = [("127.0.0.1", each) for each in ports]
    with edges.edge(tmp_path_factory.mktemp("envoy"), places) as edge:
        yield edge


@pytest.fixture(scope="module")
def token(stack: Stack, edge: Edge) -> str:
    stack.command("admin", "create", "--email", EMAIL, "--password-stdin", text=PASSWORD)
    with edge.client() as client:
        answer = client.post(
            "/v1/auth/login",
            json={"email": EMAIL, "password": PASSWORD},
            headers={"X-Forwarded-For": "203.0.113.7"},
        )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_it_serves_by_tls_and_tells_of_http3(edge: Edge, http2: bool, version: str) -> None:
    with edge.client(http2=http2) as client:
        answer = client.get("/v1/categories")
    assert (answer.status_code, answer.http_version) == (200, version)
    assert answer.headers["alt-svc"].startswith("h3=")
    assert "max-age" in answer.headers["strict-transport-security"]


def test_the_address_of_the_client_survives_and_its_own_claim_does_not(
    edge: Edge, token: str
) -> None:
    with edge.client() as client:
        found = client.get("/v1/users/me/sessions", headers={"Authorization": f"Bearer {token}"})
    assert found.status_code == 200, found.text
    assert {each["address"] for each in found.json()["sessions"]} == {CLIENT}


def test_a_token_is_checked_at_the_edge(edge: Edge, token: str) -> None:
    head, _, tail = token.rpartition(".")
    forged = f"{head}.{tail[:-4]}AAAA"
    with edge.client() as client:

        def status(authorization: str | None) -> tuple[int, bool]:
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = client.get("/v1/users/me", headers=headers)
            return answer.status_code, "json" in answer.headers.get("content-type", "")

        assert status(f"Bearer {token}") == (200, True)
        assert status(None) == (401, False)
        assert status(f"Bearer {forged}") == (401, False)
        # Auth itself looks at an API key.
        assert status("Bearer lk_nonsense") == (401, True)


def test_too_large_headers_are_refused(edge: Edge) -> None:
    with edge.client(http2=False) as client:
        assert client.get("/v1/categories", headers={"X": "x" * 40_000}).status_code == 431


def test_a_renewed_certificate_is_taken_up(edge: Edge) -> None:
    before = edge.serial()
    edge.renew()
    wait_until(lambda: edge.serial() != before, seconds=edges.SECONDS_MAX)
    assert edge.is_open()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM])
def test_a_gateway_that_freezes_dies_or_leaves_costs_no_read(
    stack: Stack, edge: Edge, second: Gateway, number: signal.Signals
) -> None:
    readers = Readers(edge)
    with readers.reading():
        wait_until(lambda: second.requests > 0, seconds=edges.SECONDS_MAX)
        second.signal(number)
        readers.go_on(20)
        if number == signal.SIGTERM:
            assert second.process.wait(edges.SECONDS_MAX) == 0
            readers.go_on(20)
    assert set(readers.answers) == {"200"}
