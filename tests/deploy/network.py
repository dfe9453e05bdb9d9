"""Services, addresses and network policies against what the code calls and the protos admit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from services.cli.system import DATABASES, SETTINGS
from tests.deploy import code
from tests.deploy.contract import database_hosts
from tests.deploy.manifests import COMPONENT, RELEASE, Manifests, Object, label
from tests.deploy.processes import Started

TARGET: Final = re.compile(r"dns:///([a-z0-9-]+):(\d+)")
INSTANCE: Final = "app.kubernetes.io/instance"
POSTGRES_PORT: Final = 5432
DNS_PORT: Final = 53
USES: Final[Mapping[str, set[str]]] = {
    **{name: {name} for name in DATABASES},
    "migrate": set(DATABASES),
    "reconcile": set(DATABASES),
    code.OPERATOR: {"auth"},
}
"""The databases that each pod uses."""


def findings(manifests: Manifests, started: Started) -> Iterator[str]:
    """Tell what nobody could reach, and who could reach what is none of his business."""
    yield from _services(manifests)
    calling = [*started.settings.items(), *((code.RELAY, each) for each in started.relay)]
    for name, settings in calling:
        others = started.frames[name].targets if name in started.frames else None
        targets = others or {each: getattr(settings, f"{each}_address") for each in DATABASES}
        for other, target in targets.items():
            yield from (
                f"container {name}: {each}" for each in _target(manifests, started, other, target)
            )
    policies = list(manifests.kind("NetworkPolicy"))
    if policies and set(started.settings) == set(SETTINGS):
        yield from _policies(manifests, started)


def _services(manifests: Manifests) -> Iterator[str]:
    templates = [template for _, template in manifests.pods()]
    for each in manifests.kind("Service"):
        spec = each["spec"]
        chosen = [pod for pod in templates if matches(spec["selector"], pod)]
        if len(chosen) != 1:
            yield f"{label(each)}: its selector must choose the pods of one process"
            continue
        (container,) = chosen[0]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        for port in spec["ports"]:
            number = ports.get(port["targetPort"])
            if number is None:
                yield f"{label(each)}: the pods must have a port {port['targetPort']}"
            elif spec.get("clusterIP") == "None" and port["port"] != number:
                yield f"{label(each)}: it is headless, so its port must be {number}"


def _target(manifests: Manifests, started: Started, service: str, target: str) -> Iterator[str]:
    found = TARGET.fullmatch(target)
    if found is None:
        yield f"it must call {service} at dns:///name:port, and calls {target}"
        return
    host, port = found[1], int(found[2])
    called = manifests.named("Service", host)
    if called is None:
        yield f"it calls {service} at {host}: there must be such a Service"
        return
    if called["spec"].get("clusterIP") != "None":
        yield f"{host} must be headless, or calls do not spread over replicas"
    if called["spec"]["selector"].get(COMPONENT) != service:
        yield f"{host} must lead to {service}"
    listening = started.settings.get(service)
    if listening is not None and getattr(listening, f"{service}_port") != port:
        yield f"it calls {service} at the port {port}, where nothing listens"


def _policies(manifests: Manifests, started: Started) -> Iterator[str]:
    wanted = code.calls(started.frames)
    for name, settings in started.settings.items():
        policy = manifests.named("NetworkPolicy", f"{RELEASE}-{name}")
        if policy is None:
            yield f"there must be a NetworkPolicy of {name}"
            continue
        pod = {"metadata": {"labels": _labels(name)}}
        if not matches(policy["spec"]["podSelector"]["matchLabels"], pod):
            yield f"{label(policy)}: it must choose the pods of {name}"
        port = getattr(settings, f"{name}_port")
        rules = _rules(policy, "ingress", "from")
        if rules.pop(settings.metrics_port(name), None) is None:
            yield f"{label(policy)}: the management port must be open for Prometheus"
        admitted = rules.pop(port, None)
        if name == code.GATEWAY:
            if admitted is None:
                yield f"{label(policy)}: the port {port} must be open"
        elif admitted != wanted[name]:
            yield (
                f"{label(policy)}: {port} must be open for {sorted(wanted[name])}, "
                f"and is for {sorted(admitted or ())}"
            )
        if rules:
            yield f"{label(policy)}: {sorted(rules)} must not be open"
    yield from _of_relay(manifests, started)
    yield from _outwards(manifests, started, wanted)
    yield from _of_databases(manifests)
    yield from _refusing(manifests)


def _of_relay(manifests: Manifests, started: Started) -> Iterator[str]:
    """Nobody calls the relay, and a policy of its own tells its way to NATS."""
    for settings in started.relay:
        policy = manifests.named("NetworkPolicy", f"{RELEASE}-{code.RELAY}")
        to_nats = manifests.named("NetworkPolicy", f"{RELEASE}-{code.RELAY}-nats")
        if policy is None or to_nats is None:
            yield f"there must be NetworkPolicies of {code.RELAY}, and of its way to NATS"
            continue
        if set(_rules(policy, "ingress", "from")) != {settings.metrics_port(code.RELAY)}:
            yield f"{label(policy)}: the management port alone must be open"
        (rule,) = to_nats["spec"]["egress"]
        port = urlsplit(str(settings.nats_url)).port
        if rule["ports"] != [{"port": port}]:
            yield f"{label(to_nats)}: it must let out to NATS"
        if port in _rules(policy, "egress", "to"):
            yield f"{label(policy)}: {label(to_nats)} must tell the way to NATS"


def _outwards(
    manifests: Manifests, started: Started, wanted: Mapping[str, set[str]]
) -> Iterator[str]:
    """Whom a policy lets in, another must let out; nobody else gets out."""
    for name in (*started.settings, *USES, code.RELAY):
        policy = manifests.named("NetworkPolicy", f"{RELEASE}-{name}")
        if policy is None:
            continue  # told above, or a pod that is not installed
        opened = _rules(policy, "egress", "to")
        called = {each for each, callers in wanted.items() if name in callers}
        for service in DATABASES:
            port = getattr(started.settings[service], f"{service}_port")
            if (opened.get(port) == {service}) != (service in called):
                yield f"{label(policy)}: it must let out to {sorted(called)} alone"
        if (POSTGRES_PORT in opened) != (name in USES):
            yield f"{label(policy)}: it must let out to PostgreSQL who uses it, and nobody else"
        if DNS_PORT not in opened:
            yield f"{label(policy)}: it must let out to the name server"


def _of_databases(manifests: Manifests) -> Iterator[str]:
    """Each server of PostgreSQL, and each pooler, is open for those who use its databases."""
    servers: dict[str, set[str]] = {}
    for service, at in database_hosts(manifests).items():
        for host in {at.served, at.primary}:
            servers.setdefault(host.removesuffix("-rw"), set()).add(service)
    if not list(manifests.kind("Cluster")):
        return
    for server, services in servers.items():
        policy = manifests.named("NetworkPolicy", server)
        if policy is None:
            yield f"there must be a NetworkPolicy of the server {server}"
            continue
        users = {name for name, used in USES.items() if used & services}
        admitted = _rules(policy, "ingress", "from").get(POSTGRES_PORT, set())
        ours = {each for each in admitted if not each.startswith("cnpg")}
        if ours - {"*"} != users:
            yield f"{label(policy)}: it must admit {sorted(users)}, and admits {sorted(ours)}"


def _refusing(manifests: Manifests) -> Iterator[str]:
    refusing = manifests.named("NetworkPolicy", f"{RELEASE}-refuse")
    spec = {} if refusing is None else refusing["spec"]
    if set(spec.get("policyTypes", ())) != {"Ingress", "Egress"} or {"ingress", "egress"} & set(
        spec
    ):
        yield f"the NetworkPolicy {RELEASE}-refuse must refuse what no other allows"


def _rules(policy: Object, direction: str, side: str) -> dict[int, set[str]]:
    """Return the ports of a policy and the components beyond each; `*` stands for all others."""
    found: dict[int, set[str]] = {}
    for rule in policy["spec"].get(direction) or ():
        for port in rule.get("ports", ()):
            peers = found.setdefault(port["port"], set())
            for peer in rule.get(side) or [{}]:
                peers.add(_component(peer))
    return found


def _component(peer: Mapping[str, Any]) -> str:
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    if labels.get(INSTANCE) == RELEASE and COMPONENT in labels:
        return str(labels[COMPONENT])
    return next((name for name in labels if name.startswith("cnpg.io/")), "*")


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "lockstep", INSTANCE: RELEASE, COMPONENT: name}


def matches(selector: Mapping[str, str], pod: Mapping[str, Any]) -> bool:
    """Return whether a selector chooses a pod."""
    return bool(selector) and selector.items() <= pod["metadata"]["labels"].items()
