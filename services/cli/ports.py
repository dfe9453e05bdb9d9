"""The ports of all processes: each must be free, and no two settings may name the same one."""

import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from services.cli.errors import CommandError
from services.cli.system import SETTINGS, System, is_installed
from services.common.settings import CommonSettings, variable, worker_ports

LOOPBACK: Final = "127.0.0.1"
ALL_HOSTS: Final = ("0.0.0.0", "::", "[::]")  # noqa: S104 - nothing is bound


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port on which a process is going to listen.

    Attributes:
        setting: The setting that names it, or from which it follows.
        host_setting: The setting that names the host.
    """

    host: str
    number: int
    setting: str
    host_setting: str

    def meets(self, other: "WantedPort") -> bool:
        """Return whether no two processes can have both."""
        hosts = {self.host, other.host}
        is_same_host = len(hosts) == 1 or not hosts.isdisjoint(ALL_HOSTS)
        return self.number == other.number and is_same_host


def first_ports(settings: CommonSettings, name: str) -> dict[str, int]:
    """Return the ports of a service's first worker by the names of their settings."""
    return {
        f"{name}_port": getattr(settings, f"{name}_port"),
        f"{name}_metrics_port": settings.metrics_port(name),
    }


def wanted_ports(system: System) -> Iterator[WantedPort]:
    """Yield the port of each process of `lockstep up`."""
    if system.has_mail_sink:
        number = int(system.values["LOCKSTEP_MAIL_PORT"])
        yield WantedPort(LOOPBACK, number, "LOCKSTEP_MAIL_PORT", "LOCKSTEP_MAIL_PORT")
    if system.page_port:
        yield WantedPort(LOOPBACK, system.page_port, "LOCKSTEP_PAGE_PORT", "LOCKSTEP_PAGE_PORT")
    common = system.settings["auth"]
    if system.has_relay and common.relay_metrics_port:
        setting = variable("relay_metrics_port")
        host_setting = variable("metrics_host")
        yield WantedPort(common.metrics_host, common.relay_metrics_port, setting, host_setting)
    for name in filter(is_installed, SETTINGS):
        settings = system.settings[name]
        for field, first in first_ports(settings, name).items():
            host = "metrics_host" if "metrics" in field else "host"
            for number in worker_ports(first, settings.workers) if first else ():
                yield WantedPort(getattr(settings, host), number, variable(field), variable(host))


def refuse_useless(ports: Sequence[WantedPort]) -> None:
    """Refuse ports of which two are the same, or on which nothing can listen.

    Raises:
        CommandError: Each such port has a line with its setting.
    """
    problems = [
        f"{a.setting} and {b.setting} both lead to port {a.number}: change one of them"
        for a, b in combinations(ports, 2)
        if a.meets(b)
    ]
    problems += [text for port in ports if (text := trouble_of(port)) is not None]
    if problems:
        raise CommandError("\n".join(dict.fromkeys(problems)))


def trouble_of(port: WantedPort) -> str | None:
    """Say why nothing can listen on a port; None: something can."""
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family) as listener:
        # A server can take a port in TIME_WAIT, and so can this check.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((port.host.strip("[]"), port.number))
        except OSError as error:
            return _explained(port, error)
    return None


def _explained(port: WantedPort, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port.number} is taken: stop the process that listens there, "
                f"or change {port.setting}"
            )
        case errno.EACCES | errno.EPERM:
            return f"this user may not listen on port {port.number}: change {port.setting}"
        case errno.EADDRNOTAVAIL:
            return f"{port.host} must be an address of this machine: change {port.host_setting}"
    if isinstance(error, socket.gaierror):
        return f"{port.host} must be a host that can be found: change {port.host_setting}"
    return f"port {port.number} at {port.host} cannot be used: {error.strerror or error}"
