"""A whole Lockstep once more, with mutual TLS: all tests over REST, and what TLS adds.

They cross each channel: gateway to each service, Auth to Profile and Commerce, Commerce to Auth
and Profile, Profile to Auth, and the command to each. A certificate has metrics, so the alerts
and the dashboard are held against this stack, too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import test_rest
from tests.e2e.stack import Stack, running_stack
from tests.e2e.test_documented_lines import CERTIFICATES, PAGES, commands, run
from tests.e2e.test_rest import admin, http, new_email, register
from tests.ports import free_port
from tests.telemetry.expressions import EXPRESSIONS, UP, named_in
from tests.telemetry.test_management import ask
from tests.waiting import wait_until

pytestmark = pytest.mark.processes
SERVICES = ("auth", "profile", "commerce", "gateway")
NO_NATS = "nats://127.0.0.1:1"
METRICS_SECONDS = 90  # a survey of the database comes every 15 s
# No process takes up a saga of an unknown kind.
UNKNOWN_SAGA = """
INSERT INTO sagas (id, kind, state, payload, next_run_at)
VALUES (gen_random_uuid(), 'probe', 'RUNNING', '{}', now())
"""

__all__ = ["admin", "http"]
globals().update({name: test for name, test in vars(test_rest).items() if name.startswith("test_")})


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Run `lockstep up` with mutual TLS; it makes the certificates by itself."""
    ports = {f"LOCKSTEP_{name}_METRICS_PORT": str(free_port()) for name in ("RELAY", "RECONCILE")}
    with running_stack(LOCKSTEP_TLS="mutual", LOCKSTEP_NATS_URL=NO_NATS, **ports) as stack:
        stack.command("psql", "auth", "-qc", UNKNOWN_SAGA)
        yield stack


@pytest.mark.parametrize("service", SERVICES)
def test_the_command_finds_each_service_serving(stack: Stack, service: str) -> None:
    assert stack.command("health", service) == f"{service} is serving\n"


def test_the_documented_lines_about_certificates_work(stack: Stack) -> None:
    lines = [line for page in PAGES for line in commands(page) if CERTIFICATES.search(line)]
    assert any(line.startswith("grpcurl") for line in lines)
    assert any("certs renew" in line for line in lines)
    run(lines, stack)
    assert stack.command("health", "auth") == "auth is serving\n"


def labels_of_metrics(stack: Stack) -> dict[str, set[str]]:
    """Return the labels of each metric that a process tells; "" stands for no label."""
    ports = [port for name, port in stack.environment.items() if name.endswith("_METRICS_PORT")]
    found: dict[str, set[str]] = {}
    for port in ports:
        for family in text_string_to_metric_families(ask(int(port), "/metrics")[1]):
            for sample in family.samples:
                found.setdefault(sample.name, {""}).update(sample.labels)
    return found


def test_alerts_and_dashboard_name_what_the_processes_tell(
    stack: Stack, http: httpx.Client
) -> None:
    with stack.stopped("profile"):  # some labels come with the first failure only
        answer = register(http, email=new_email(), fullName="A B", course="x")
        assert answer.status_code == 503
    argv = [sys.executable, "-m", "services.cli", "reconcile", "--every", "60"]
    wanted = {named for each in EXPRESSIONS for named in named_in(each) if named[0] != UP}

    def missing() -> set[tuple[str, str]]:
        told = labels_of_metrics(stack)
        return {(name, label) for name, label in wanted if label not in told.get(name, ())}

    with subprocess.Popen(argv, env=stack.environment, stdout=subprocess.PIPE) as comparing:
        try:
            assert comparing.stdout is not None
            comparing.stdout.readline()
            wait_until(lambda: not missing(), seconds=METRICS_SECONDS, told=missing)
        finally:
            comparing.terminate()
