"""Ports: a port that two settings name, and one that cannot be had, are refused at once."""

from __future__ import annotations

import os
import socket
from itertools import pairwise

import pytest

from services.cli.errors import CommandError
from services.cli.ports import WantedPort, refuse_useless, trouble_of, wanted_ports
from services.cli.system import System
from tests.ports import free_port, settings_of_ports


def wanted(number: int, name: str = "AUTH_PORT", host: str = "127.0.0.1") -> WantedPort:
    return WantedPort(host, number, f"LOCKSTEP_{name}", "LOCKSTEP_HOST")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give every process a free port."""
    ports = settings_of_ports()
    for name, value in ports.items():
        monkeypatch.setenv(name, value)
    return ports


def test_any_two_settings_with_one_port_are_refused_with_both_names(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for one, other in pairwise(settings):
        monkeypatch.setenv(other, settings[one])
        with pytest.raises(CommandError) as refused:
            refuse_useless(list(wanted_ports(System())))
        (line,) = str(refused.value).splitlines()
        assert {one, other} <= set(line.split())
        assert f"both lead to port {settings[one]}: change one of them" in line
        monkeypatch.setenv(other, settings[other])
    refuse_useless(list(wanted_ports(System())))


def test_the_port_of_a_second_worker_counts(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_WORKERS", "2")
    monkeypatch.setenv("LOCKSTEP_MAIL_PORT", str(int(settings["LOCKSTEP_AUTH_PORT"]) + 100))
    with pytest.raises(CommandError, match="LOCKSTEP_MAIL_PORT and LOCKSTEP_AUTH_PORT both lead"):
        refuse_useless(list(wanted_ports(System())))


def test_hosts_that_differ_may_share_a_port() -> None:
    port = free_port()
    assert not wanted(port).meets(wanted(port, "PROFILE_PORT", "127.0.0.2"))
    assert wanted(port).meets(wanted(port, "PROFILE_PORT", "0.0.0.0"))


def test_each_reason_has_its_own_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        assert trouble_of(wanted(port)) == (
            f"port {port} is taken: stop the process that listens there, "
            "or change LOCKSTEP_AUTH_PORT"
        )
    foreign = trouble_of(wanted(free_port(), host="203.0.113.7"))
    assert foreign == "203.0.113.7 must be an address of this machine: change LOCKSTEP_HOST"
    unknown = trouble_of(wanted(free_port(), host="nowhere.invalid"))
    assert unknown == "nowhere.invalid must be a host that can be found: change LOCKSTEP_HOST"
    assert trouble_of(wanted(free_port())) is None


@pytest.mark.skipif(os.getuid() == 0, reason="root may listen on every port")
def test_a_port_of_root_is_told_apart_from_a_taken_one() -> None:
    refusal = trouble_of(wanted(1))
    assert refusal in {None, "this user may not listen on port 1: change LOCKSTEP_AUTH_PORT"}
