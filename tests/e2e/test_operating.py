"""A Lockstep that runs is looked at, restarted and stopped by commands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from services.cli.control import socket_of
from tests.e2e.load import under_load
from tests.e2e.stack import Stack, running_stack

pytestmark = pytest.mark.processes

SERVICES = ("auth", "profile", "commerce", "gateway")
SECONDS = 60


@pytest.fixture(scope="module")
def pair() -> Iterator[Stack]:
    """Run a Lockstep with two processes of each service.

    On a busy machine it takes longer until everybody knows that a process leaves.
    """
    with running_stack(
        LOCKSTEP_WORKERS="2", LOCKSTEP_STOP_DELAY_SECONDS="2", LOCKSTEP_ADDRESS_LIMITS="off"
    ) as stack:
        yield stack


def gateways(stack: Stack) -> list[str]:
    first = int(stack.environment["LOCKSTEP_GATEWAY_PORT"])
    return [f"http://127.0.0.1:{first + 100 * worker}" for worker in range(2)]


def status(stack: Stack) -> tuple[int, list[dict[str, Any]], str]:
    done = stack.run("status", "--json")
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def processes(stack: Stack) -> dict[str, dict[str, Any]]:
    return {each["process"]: each for each in status(stack)[1] if each["kind"] == "process"}


def test_status_tells_every_process_and_what_else_may_be_wrong(pair: Stack) -> None:
    code, rows, errors = status(pair)

    assert (code, errors) == (0, "")
    found = {each["process"]: each for each in rows if each["kind"] == "process"}
    serving = {f"{name}{worker}" for name in SERVICES for worker in ("", "-1")}
    assert set(found) == {*serving, "postgres", "mail", "page"}
    assert {found[name]["state"] for name in serving} == {"SERVING"}
    for name, each in found.items():
        assert psutil.Process(each["pid"]).is_running(), name
        assert each["memory"] > 1_000_000
        assert each["uptime"] < 600
        assert each["restarts"] == 0
    kinds = [(each["kind"], each["subject"]) for each in rows if each["kind"] != "process"]
    assert kinds == [
        ("schema", "auth"),
        ("sagas", "auth"),
        ("outbox", "auth"),
        ("schema", "profile"),
        ("schema", "commerce"),
        ("sagas", "commerce"),
        ("disk", str(pair.home)),
    ]


def test_a_table_for_people_ends_with_the_addresses(pair: Stack) -> None:
    output = pair.command("status")
    assert f"shop\t{gateways(pair)[0]}/\n" in output
    assert f"logs\t{pair.home / 'logs'}\n" in output


def test_status_names_what_is_wrong(pair: Stack) -> None:
    with pair.stopped("profile-1"):
        code, rows, errors = status(pair)
    assert code == 1
    states = {each["process"]: each["state"] for each in rows if each["kind"] == "process"}
    assert states["profile-1"] == "NOT_SERVING"
    assert states["profile"] == "SERVING"
    assert errors == "lockstep: profile-1 is NOT_SERVING\n"


def test_a_restart_replaces_the_processes_of_a_service_alone(pair: Stack) -> None:
    before = processes(pair)
    output = pair.command("restart", "profile")
    after = processes(pair)
    assert "profile was restarted and is SERVING\nprofile-1 was restarted" in output
    changed = {name for name in before if before[name]["pid"] != after[name]["pid"]}
    assert changed == {"profile", "profile-1"}
    assert {each["restarts"] for each in after.values()} == {0}  # nothing has crashed


def test_what_cannot_be_restarted_is_refused_in_one_line(pair: Stack) -> None:
    done = pair.run("restart", "mail")
    assert (done.returncode, done.stderr) == (
        1,
        "lockstep: there is no service mail: use auth, profile, commerce, gateway\n",
    )


def test_a_rolling_restart_under_load_fails_no_request(pair: Stack) -> None:
    before = processes(pair)
    with under_load(gateways(pair)) as load:
        output = pair.command("restart", "--rolling")
    after = processes(pair)

    assert load.failures == []
    assert len(load.registered) > 10
    assert output.count("was restarted and is SERVING") == 8
    for name in SERVICES:
        for worker in ("", "-1"):
            assert before[name + worker]["pid"] != after[name + worker]["pid"]
    assert before["postgres"]["pid"] == after["postgres"]["pid"]


def test_only_its_user_reaches_the_socket(pair: Stack) -> None:
    path = socket_of(pair.home)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(str(path)) < 100


def test_stop_ends_everything_in_order_and_waits_for_it(pair: Stack) -> None:
    running = [psutil.Process(each["pid"]) for each in processes(pair).values()]
    assert pair.command("stop") == "stopped\n"
    assert not any(process.is_running() for process in running)
    assert pair.command("stop") == f"nothing runs with the data folder {pair.home}\n"
    restart = pair.run("restart")
    assert restart.returncode == 1
    assert restart.stderr.startswith("lockstep: no `lockstep up` runs with the data folder ")


def test_without_up_the_addresses_are_asked(pair: Stack) -> None:
    begin = time.monotonic()
    code, rows, errors = status(pair)
    assert code == 1
    assert time.monotonic() - begin < SECONDS
    found = [each for each in rows if each["kind"] == "process"]
    assert [each["process"] for each in found] == [
        *("auth", "auth", "profile", "profile", "commerce", "commerce"),
        "gateway",
    ]
    assert {each["state"] for each in found} == {"NOT_SERVING"}
    assert "lockstep: schema of auth: the embedded PostgreSQL does not run\n" in errors
