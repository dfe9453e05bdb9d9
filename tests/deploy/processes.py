"""Each container against the code: what it runs, and whether it could start and be probed there."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from typer.main import get_command

from services.cli.main import app
from services.cli.system import DATABASES, SETTINGS, System, known_variables
from services.common.files import FileProblem
from services.common.keys import KeyRing, SigningKeys
from services.common.service import Frame
from services.common.settings import LOOPBACK, CommonSettings, SettingsError, load
from services.common.tls import tls_of
from services.relay.access import NatsAccess
from tests.deploy import code, machine
from tests.deploy.contract import secrets_of
from tests.deploy.manifests import Manifests, Object
from tests.deploy.tools import ROOT

LEAVING_SECONDS: Final = 10
"""What a process may take to end, after its delay and its grace."""
COMMANDS: Final = {"migrate", "reconcile"}


@dataclass(frozen=True, slots=True)
class Started:
    """What the containers of a release would be: the settings and the frames of the processes."""

    settings: dict[str, CommonSettings] = field(default_factory=dict)
    frames: dict[str, Frame] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    relay: list[CommonSettings] = field(default_factory=list)


def start(manifests: Manifests) -> Started:
    """Read the settings and the keys of every container, as its process would."""
    started = Started()
    secrets = secrets_of(manifests)
    for component, spec, container in manifests.containers():
        place = f"container {component}"
        with tempfile.TemporaryDirectory() as folder:
            found = [
                *machine.mount(Path(folder), spec, container, secrets),
                *_environment(container),
                *_run(component, spec, container, Path(folder), started),
                *_image(container),
                *_rights(spec, container),
            ]
        started.findings.extend(f"{place}: {each}" for each in found)
    wanted = {*SETTINGS, *COMMANDS}
    there = {component for component, _ in manifests.pods()}
    started.findings.extend(f"there must be a pod of {each}" for each in sorted(wanted - there))
    return started


def _environment(container: Object) -> Iterator[str]:
    known = known_variables()
    for each in container.get("env", ()):
        if each["name"] not in known and not machine.FOREIGN.fullmatch(each["name"]):
            yield f"{each['name']} must be a setting"
        if not isinstance(each.get("value"), str):
            yield f"{each['name']} must have a text as its value"


def _run(
    component: str, spec: Object, container: Object, root: Path, started: Started
) -> Iterator[str]:
    """Go as far as the process does before it needs a network."""
    command = container["command"]
    with machine.as_process(machine.environment(container), root):
        try:
            if component in SETTINGS:
                settings = load(SETTINGS[component])
                yield from _process(component, command, settings, root)
                started.settings[component] = settings
                if component in DATABASES:
                    started.frames[component] = code.frame_of(component, settings)
                yield from _probed(container, settings, component)
                yield from _leaves(spec, container, settings)
            elif component == code.RELAY:
                relay = load(CommonSettings)
                yield from _process(component, command, relay, root)
                NatsAccess.of(relay)
                started.relay.append(relay)
                yield from _probed(container, relay, component)
            else:
                yield from _command(component, command, root)
        except (SettingsError, FileProblem) as error:
            yield from (line.replace(str(root), "") for line in str(error).splitlines())


def _process(name: str, command: list[str], settings: CommonSettings, root: Path) -> Iterator[str]:
    if command != ["python", "-m", f"services.{name}"]:
        yield f"the command must be python -m services.{name}"
    KeyRing.load(settings.keys, name)
    if name == "auth":
        SigningKeys.load(settings.keys)
    yield from _other_keys(settings.keys, name)
    tls_of(settings, name)
    for service in set(DATABASES) & {name}:
        yield from _database(str(getattr(settings, f"{service}_database_url")), service, root)
        if reads := getattr(settings, f"{service}_read_database_url", None):
            yield from _database(str(reads), service, root)
    for host in (settings.host, settings.metrics_host):
        if host in LOOPBACK:
            yield f"it must listen on more than {host}"


def _other_keys(folder: Path, name: str) -> Iterator[str]:
    for each in sorted(folder.iterdir()):
        if each.name not in {"trusted.json", name}:
            yield f"it must not get the keys of {each.name}"


def _database(url: str, service: str, root: Path) -> Iterator[str]:
    parts = urlsplit(url)
    if parts.path != f"/{DATABASES[service]}":
        yield f"the URL of {service} must lead to {DATABASES[service]}"
    for path in parse_qs(parts.query).get("sslrootcert", ()):
        if not (root / path.lstrip("/")).is_file():
            yield f"{path} must be mounted, because the URL of {service} names it"


def _command(component: str, command: list[str], root: Path) -> Iterator[str]:
    if component == code.OPERATOR:
        settings = load(CommonSettings)
        KeyRing.load(settings.keys, component)
        yield from _other_keys(settings.keys, component)
        tls_of(settings, component)
        return
    known = COMMANDS & {str(name) for name in getattr(get_command(app), "commands", ())}
    if command[:2] != ["lockstep", component] or component not in known:
        yield f"the command must be lockstep {component}, one of {sorted(known)}"
    system = System()
    for service in DATABASES:
        if system.uses_embedded(service):
            yield f"it must be told the database of {service}"
        yield from _database(system.database_url(service), service, root)
        if component == "migrate":
            url = system.migrate_url(service)
            yield from _database(url, service, root)
            if urlsplit(url).username != f"{service}_owner":
                yield f"it must migrate {service} as the owner of its tables"


def _probed(container: Object, settings: CommonSettings, name: str) -> Iterator[str]:
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    listening = {"management": settings.metrics_port(name)}
    if name != code.RELAY:  # it serves nobody
        kind = "http" if name == code.GATEWAY else "rpc"
        listening[kind] = getattr(settings, f"{name}_port")
    if ports != listening:
        yield f"its ports must be {listening}, and are {ports}"
    for probe, path in (
        ("startupProbe", "/livez"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ):
        asked = container.get(probe, {}).get("httpGet", {})
        number = ports.get(asked.get("port"), asked.get("port"))
        if (asked.get("path"), number) != (path, listening["management"]):
            yield f"its {probe} must ask {path} of the management port, and asks {asked}"


def _leaves(spec: Object, container: Object, settings: CommonSettings) -> Iterator[str]:
    """Tell what is called when it has begun to leave, or killed while it stops in order."""
    probe = container.get("readinessProbe", {})
    seen = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
    if seen >= settings.stop_delay_seconds:
        yield (
            f"its readiness must be seen within LOCKSTEP_STOP_DELAY_SECONDS "
            f"({settings.stop_delay_seconds:g} s), and takes {seen} s"
        )
    needed = settings.stop_delay_seconds + settings.stop_grace_seconds + LEAVING_SECONDS
    given = spec.get("terminationGracePeriodSeconds", 30)
    if given < needed:
        yield f"it needs {needed:g} s to stop, and gets {given} s"


def _image(container: Object) -> Iterator[str]:
    image = str(container["image"]).partition("@")[0]
    if image.rpartition(":")[2] != version():
        yield f"its image must have the tag {version()}, and is {image}"


@cache
def version() -> str:
    """Return the version of this code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def _rights(spec: Object, container: Object) -> Iterator[str]:
    """Hold a pod to the level `restricted` of Kubernetes' pod security, and the image's user."""
    pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
    uid = machine.image_user()
    if (pod.get("runAsNonRoot"), pod.get("runAsUser")) != (True, uid):
        yield f"it must run as the user {uid} of the image"
    if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "it must have the default seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False or not own.get("readOnlyRootFilesystem"):
        yield "it must neither gain rights nor write to its image"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield "it must drop all capabilities"
    if spec.get("automountServiceAccountToken") is not False or spec.get(
        "enableServiceLinks", True
    ):
        yield "it must get neither a token of the cluster nor variables of Services"
    resources = container.get("resources", {})
    if not resources.get("requests") or "memory" not in resources.get("limits", {}):
        yield "it must request resources, and limit its memory"
