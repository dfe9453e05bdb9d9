"""The programs of a running Lockstep, and the order in which they start."""

import asyncio
import functools
import os
import signal
from pathlib import Path
from typing import Final

import services
from services.cli.control import ControlServer
from services.cli.errors import CommandError
from services.cli.health import is_serving
from services.cli.lines import as_it_is, as_json
from services.cli.operator import OPERATOR
from services.cli.orders import Orders
from services.cli.ports import LOOPBACK, first_ports, refuse_useless, wanted_ports
from services.cli.postgres import environment
from services.cli.program import Program, python, stop_leftovers
from services.cli.screen import Screen
from services.cli.supervisor import Stopped, Supervisor
from services.cli.system import DATABASES, RELAY, SETTINGS, System, is_installed
from services.common import cert_files, key_files
from services.common.files import ensure_writable, make_folder
from services.common.keys import SERVICES, KeyRing
from services.common.settings import (
    FILE,
    CommonSettings,
    as_environment,
    has_file,
    masked,
    peer_host,
    variable,
    worker_ports,
)
from services.common.tls import OFF, tls_of
from services.gateway.lockstep import GatewaySettings

FOLDERS: Final = ("run", "logs", "mail", "own-keys")
STOP_MARGIN_SECONDS: Final = 5.0
URLS: Final = {name for cls in SETTINGS.values() for name in cls.model_fields if has_file(name)}
MIGRATION_SECONDS_MAX: Final = 300.0


def prepare(system: System, screen: Screen) -> None:
    """Prepare ports, keys and the cluster before any program runs.

    Raises:
        CommandError: The programs could not run.
    """
    for line in system.unknown_variables():
        screen.line("lockstep", line)
    for folder in FOLDERS:
        make_folder(system.home / folder)
        ensure_writable(system.home / folder)
    for name in stop_leftovers(system.home, grace_seconds(system)):
        screen.line(name, "was left over by an earlier run: stopped")
    refuse_useless(list(wanted_ports(system)))
    settings = system.settings["auth"]
    known = (*SERVICES, RELAY) if system.has_relay else SERVICES
    key_files.initialise(settings.keys, known)
    if settings.tls != OFF and not settings.tls_cert:
        cert_files.initialise(settings.certs, services=known)
    for name in filter(is_installed, SETTINGS):
        KeyRing.load(system.settings[name].keys, name)
        tls_of(system.settings[name], name)
    if system.is_embedded:
        system.postgres.prepare()


async def run(system: System, screen: Screen) -> None:
    """Start all programs, show their endpoints, and stop them after Ctrl-C or SIGTERM."""
    grace = grace_seconds(system)
    wrap = as_json if system.has_json_logs else as_it_is
    async with Supervisor(
        home=system.home, echo=screen.lines, grace_seconds=grace, wrap=wrap
    ) as supervisor:
        orders = Orders(supervisor, _endpoints(system))
        async with ControlServer(system.home, orders.handlers()):
            try:
                await _start(system, supervisor)
            except Stopped:
                return
            orders.has_started = True
            screen.endpoints(_endpoints(system), gateway_url(system))
            await supervisor.wait_stopped()
        screen.line("lockstep", "stopping; Ctrl-C again stops at once")


async def _start(system: System, supervisor: Supervisor) -> None:
    if system.is_embedded:
        supervisor.start(postgres(system))
        await supervisor.wait_ready()
    if system.has_mail_sink:
        supervisor.start(mail_sink(system))
    if system.page_port:
        supervisor.start(local_page(system))
    await supervisor.unless_stopped(_migrate(system))
    programs = [
        worker for name in DATABASES if is_installed(name) for worker in workers(system, name)
    ]
    supervisor.start(*programs)
    if is_installed("gateway"):
        supervisor.start(*workers(system, "gateway"))
    if system.has_relay:
        supervisor.start(relay(system))
    await supervisor.wait_ready()


def postgres(system: System) -> Program:
    """Describe the embedded PostgreSQL."""
    return Program(
        name="postgres",
        argv=system.postgres.command(),
        probe=functools.partial(asyncio.to_thread, system.postgres.is_ready),
        environment=environment(),
        stop_signal=signal.SIGINT,
        kill_signal=signal.SIGQUIT,
        is_attached=True,
    )


def mail_sink(system: System) -> Program:
    """Describe the SMTP server that catches mail."""
    port = int(system.values["LOCKSTEP_MAIL_PORT"])
    folder = str(system.home / "mail")
    return Program(
        name="mail",
        argv=python("services.cli.mailsink", "--folder", folder, "--port", str(port)),
        probe=functools.partial(_accepts, LOOPBACK, port),
        environment=_environment(),
    )


def local_page(system: System) -> Program:
    """Describe the page that shows all of this."""
    given = ["--home", str(system.home), "--port", str(system.page_port)]
    given += ["--gateway", gateway_url(system)]
    given += ["--log-format", "json" if system.has_json_logs else "console"]
    given += ["--shop"] * _has_shop(system) + ["--sink"] * system.has_mail_sink
    return Program(
        name="page",
        argv=python("services.cli.page", *given),
        probe=functools.partial(_accepts, LOOPBACK, system.page_port),
        environment=_environment(),
    )


def workers(system: System, name: str) -> list[Program]:
    """Describe the processes of a service; each listens on a port of its own."""
    settings = system.settings[name]
    host = peer_host(settings.host)
    scheme = f"{settings.scheme}://" if isinstance(settings, GatewaySettings) else ""
    ports = worker_ports(getattr(settings, f"{name}_port"), settings.workers)
    tls = tls_of(settings, OPERATOR) if name in DATABASES else None
    own_keys = key_files.view(settings.keys, name, at=system.home / "own-keys" / name)
    return [
        Program(
            name=f"{name}-{number}" if number else name,
            argv=python(f"services.{name}"),
            probe=functools.partial(is_serving, f"{scheme}{host}:{port}", tls=tls, name=name),
            service=name,
            endpoint=f"{scheme}{host}:{port}",
            management=_management(settings, name, number),
            environment=_environment()
            | (_site() if name == "gateway" else {})
            | as_environment(settings)
            | {variable("keys"): str(own_keys)}
            | _ports_of(settings, name, number),
        )
        for number, port in enumerate(ports)
    ]


def relay(system: System) -> Program:
    """Describe the relay of events to NATS. It runs also while NATS is down."""
    settings = system.settings["auth"]
    host, port = peer_host(settings.metrics_host), settings.relay_metrics_port
    own_keys = key_files.view(settings.keys, RELAY, at=system.home / "own-keys" / RELAY)
    return Program(
        name=RELAY,
        argv=python(f"services.{RELAY}"),
        probe=functools.partial(_accepts, host, port) if port else _is_started,
        management=_management(settings, RELAY, 0),
        environment=_environment() | system.values | {variable("keys"): str(own_keys)},
    )


def _management(settings: CommonSettings, name: str, number: int) -> str:
    """Return where a worker's management port is, or nothing if it is switched off."""
    first = settings.metrics_port(name)
    port = worker_ports(first, settings.workers)[number]
    return f"{peer_host(settings.metrics_host)}:{port}" if first else ""


def _ports_of(settings: CommonSettings, name: str, number: int) -> dict[str, str]:
    """Return the ports of a worker, as settings."""
    return {
        variable(setting): str(worker_ports(first, settings.workers)[number] if first else 0)
        for setting, first in first_ports(settings, name).items()
    }


def _site() -> dict[str, str]:
    """Return the setting by which the gateway serves a checkout's browser client."""
    folder = Path(services.__file__).parents[1] / "clients" / "web"
    return {variable("gateway_static"): str(folder)} if folder.is_dir() else {}


def _has_shop(system: System) -> bool:
    return bool(_site() or system.values.get("LOCKSTEP_GATEWAY_STATIC"))


def grace_seconds(system: System) -> float:
    """Return the time that a program has to stop."""
    settings = system.settings["auth"]
    return settings.stop_delay_seconds + settings.stop_grace_seconds + STOP_MARGIN_SECONDS


def gateway_url(system: System) -> str:
    """Return the gateway's URL for this machine."""
    settings = system.settings["gateway"]
    assert isinstance(settings, GatewaySettings)
    return f"{settings.scheme}://{peer_host(settings.host)}:{settings.gateway_port}"


async def _migrate(system: System) -> None:
    """Migrate in a process of its own, so that Alembic does not stay in memory."""
    if system.is_embedded:  # otherwise the server's log would complain of missing databases
        await asyncio.to_thread(system.make_databases)
    if await asyncio.to_thread(system.is_migrated):
        return
    process = await asyncio.create_subprocess_exec(
        *python("services.cli", "migrate"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(MIGRATION_SECONDS_MAX):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
        raise CommandError(lines[-1].removeprefix("lockstep: "))


async def _is_started() -> bool:
    """Take a program without a port for ready."""
    return True


async def _accepts(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _environment() -> dict[str, str]:
    """Return the environment of a program without the files of URLs: it is given the URLs."""
    files = {f"{variable(name)}{FILE}" for name in URLS}
    own = {name: value for name, value in os.environ.items() if name not in files}
    return own | {"PYTHONUNBUFFERED": "1"}


def _endpoints(system: System) -> list[tuple[str, str]]:
    url = gateway_url(system)
    rows = [("shop", f"{url}/")] if _has_shop(system) else []
    rows += [("REST gateway", url), ("API description", f"{url}/docs")]
    if system.page_port:
        rows.append(("local page", f"http://localhost:{system.page_port}/"))
    for name in filter(is_installed, DATABASES):
        rows.append((f"{name} (gRPC)", system.values[variable(f"{name}_address")]))
        rows.append((f"{name} database", masked(system.database_url(name))))
    if system.has_mail_sink:
        rows.append(("mail", f"{system.home / 'mail'} (lockstep mail list)"))
    rows.append(("logs", str(system.home / "logs")))
    return rows
