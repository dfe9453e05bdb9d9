"""What surrounds the processes: scaling, certificates, databases and monitoring."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from services.cli.system import DATABASES, SETTINGS
from services.common.settings import CommonSettings
from tests.deploy import code
from tests.deploy.contract import Secrets, secrets_of
from tests.deploy.manifests import RELEASE, Manifests, Object, label
from tests.deploy.network import matches
from tests.deploy.processes import Started
from tests.telemetry.test_rules import METRICS

JOB: Final = "lockstep.dev/job"
RESERVED_CONNECTIONS: Final = 20
"""Connections for `migrate`, `reconcile`, backups, replication and people."""
USAGES: Final = {"digital signature", "server auth", "client auth"}


def findings(deploy: Path, manifests: Manifests, started: Started) -> Iterator[str]:
    """Tell what would be missing, wrong or too small."""
    yield from _scaling(deploy, manifests)
    yield from _certificates(manifests, started)
    yield from _databases(manifests)
    yield from _connections(manifests, started)
    yield from _poolers(manifests, started.settings)
    yield from _monitoring(deploy, manifests)


def _scaling(deploy: Path, manifests: Manifests) -> Iterator[str]:
    adapter = yaml.safe_load((deploy / "kubernetes" / "prometheus-adapter.yaml").read_text())
    counted = {rule["name"]["as"]: rule["seriesQuery"] for rule in adapter["rules"]["custom"]}
    for name, series in counted.items():
        if series.partition("{")[0] not in METRICS:
            yield f"prometheus-adapter.yaml: {name} must follow from a metric that exists"
    for each in manifests.kind("HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        if manifests.named(target["kind"], target["name"]) is None:
            yield f"{label(each)}: there must be a {target['kind']} {target['name']}"
        for metric in each["spec"]["metrics"]:
            name = metric.get("pods", {}).get("metric", {}).get("name")
            if name is not None and name not in counted:
                yield f"{label(each)}: prometheus-adapter.yaml must make the metric {name}"
    yield from _selectors(manifests)


def _selectors(manifests: Manifests) -> Iterator[str]:
    templates = [template for _, template in manifests.pods()]
    for each in manifests.kind("PodDisruptionBudget"):
        selector = each["spec"]["selector"]["matchLabels"]
        if sum(matches(selector, pod) for pod in templates) != 1:
            yield f"{label(each)}: it must choose the pods of one process"
    for each in manifests.kind("Deployment"):
        if not matches(each["spec"]["selector"]["matchLabels"], each["spec"]["template"]):
            yield f"{label(each)}: its selector must choose its own pods"


def _certificates(manifests: Manifests, started: Started) -> Iterator[str]:
    """Each process shows a certificate with its own name, for both sides of a connection."""
    using = {name for name, settings in started.settings.items() if settings.tls != "off"}
    using |= {code.RELAY for settings in started.relay if settings.tls != "off"}
    for name in sorted(using):
        secret = f"{RELEASE}-{name}-tls"
        found = [
            each for each in manifests.kind("Certificate") if each["spec"]["secretName"] == secret
        ]
        if len(found) != 1:
            yield f"one Certificate must fill the Secret {secret}"
            continue
        (certificate,) = found
        spec = certificate["spec"]
        if spec.get("dnsNames") != [name] or not set(spec.get("usages", ())) >= USAGES:
            yield f"{label(certificate)}: it must have the name {name}, and serve both sides"
        issuer = spec["issuerRef"]
        if issuer["kind"] == "Issuer" and manifests.named("Issuer", issuer["name"]) is None:
            yield f"{label(certificate)}: there must be an Issuer {issuer['name']}"


def _databases(manifests: Manifests) -> Iterator[str]:
    clusters = {each["metadata"]["name"]: each["spec"] for each in manifests.kind("Cluster")}
    if not clusters:
        return
    names = sorted(each["spec"]["name"] for each in manifests.kind("Database"))
    if names != sorted(DATABASES.values()):
        yield f"the databases must be {sorted(DATABASES.values())}, and are {names}"
    secrets = secrets_of(manifests)
    for service, each in _by_service(manifests).items():
        spec = each["spec"]
        cluster = clusters.get(spec["cluster"]["name"])
        if cluster is None:
            yield f"{label(each)}: there must be a Cluster {spec['cluster']['name']}"
            continue
        locale = spec.get("encoding"), spec.get("localeProvider"), spec.get("builtinLocale")
        if locale != ("UTF8", "builtin", "C.UTF-8"):
            yield f"{label(each)}: it must have the encoding UTF8 and the builtin locale C.UTF-8"
        if spec["owner"] != f"{service}_owner":
            yield f"{label(each)}: it must belong to {service}_owner"
        yield from (f"{label(each)}: {text}" for text in _roles(cluster, service, secrets))
    for name, spec in clusters.items():
        durability = spec["postgresql"].get("synchronous", {}).get("dataDurability")
        if spec["instances"] > 1 and durability != "required":
            yield f"Cluster {name}: its replication must be synchronous"


def _by_service(manifests: Manifests) -> dict[str, Object]:
    """Return the database of each service that has one."""
    found = {each["spec"]["name"]: each for each in manifests.kind("Database")}
    return {service: found[name] for service, name in DATABASES.items() if name in found}


def _roles(cluster: Object, service: str, secrets: Secrets) -> Iterator[str]:
    """Each role has its password, and reaches its own database alone, by TLS."""
    roles = {each["name"]: each for each in cluster.get("managed", {}).get("roles", ())}
    rules = [line.split() for line in cluster["postgresql"].get("pg_hba", ())]
    for role in (service, f"{service}_owner"):
        secret = roles.get(role, {}).get("passwordSecret", {}).get("name")
        if secrets.get(secret, {}).get("username") != role.encode():
            yield f"a Secret must hold the password of the role {role}"
        mine = [rule for rule in rules if role in rule[2].split(",")]
        wanted = [("hostssl", f"{service}db", "scram-sha-256"), ("host", "all", "reject")]
        if [(rule[0], rule[1], rule[-1]) for rule in mine] != wanted:
            yield f"pg_hba must let {role} into {service}db alone, and by TLS"


def _connections(manifests: Manifests, started: Started) -> Iterator[str]:
    """All replicas together must find enough connections, also while a roll-out adds one."""
    if set(started.frames) != set(DATABASES):
        return
    needed = Counter[str]()
    for service, each in _by_service(manifests).items():
        processes = _most_replicas(manifests, service) + 1
        each_process = code.connections(started.frames[service], started.settings[service])
        needed[each["spec"]["cluster"]["name"]] += processes * each_process
    for cluster in manifests.kind("Cluster"):
        name, postgresql = cluster["metadata"]["name"], cluster["spec"]["postgresql"]
        allowed = int(postgresql["parameters"]["max_connections"]) - RESERVED_CONNECTIONS
        poolers = [
            each for each in manifests.kind("Pooler") if each["spec"]["cluster"]["name"] == name
        ]
        if not poolers and needed[name] > allowed:
            yield (
                f"{label(cluster)}: {needed[name]} connections must fit into {allowed}, "
                "or need a Pooler"
            )
        for each in poolers:
            yield from _pooled(manifests, each, needed[name], allowed)


def _pooled(manifests: Manifests, pooler: Object, most: int, allowed: int) -> Iterator[str]:
    spec, parameters = pooler["spec"], pooler["spec"]["pgbouncer"]["parameters"]
    databases = sum(
        each["spec"]["cluster"] == spec["cluster"] for each in manifests.kind("Database")
    )
    made = spec["instances"] * databases * int(parameters["default_pool_size"])
    if made > allowed:
        yield f"{label(pooler)}: {made} connections to PostgreSQL must fit into {allowed}"
    if most > spec["instances"] * int(parameters["max_client_conn"]):
        yield f"{label(pooler)}: it must take {most} connections of the processes"
    if spec["pgbouncer"]["poolMode"] != "transaction":
        yield f"{label(pooler)}: its mode must be transaction"


def _most_replicas(manifests: Manifests, name: str) -> int:
    scaler = manifests.named("HorizontalPodAutoscaler", f"{RELEASE}-{name}")
    if scaler is not None:
        return int(scaler["spec"]["maxReplicas"])
    deployment = manifests.named("Deployment", f"{RELEASE}-{name}")
    return int((deployment or {"spec": {}})["spec"].get("replicas", 1))


def _poolers(manifests: Manifests, settings: Mapping[str, CommonSettings]) -> Iterator[str]:
    """Tell of processes that do not know what stands before PostgreSQL."""
    pooled = any(True for _ in manifests.kind("Pooler"))
    for name in sorted(set(settings) & set(DATABASES)):
        if settings[name].database_pooler != pooled:
            yield f"container {name}: LOCKSTEP_DATABASE_POOLER must say whether a pooler is there"


def _monitoring(deploy: Path, manifests: Manifests) -> Iterator[str]:
    jobs = {
        each["metadata"]["labels"][JOB]: {port["name"] for port in each["spec"]["ports"]}
        for each in manifests.kind("Service")
        if JOB in each["metadata"].get("labels", {})
    }
    relay = {code.RELAY} & {component for component, _ in manifests.pods()}
    if set(jobs) != {f"lockstep-{name}" for name in {*SETTINGS, *relay}}:
        yield f"a Service must stand for the metrics of each process, and there are {sorted(jobs)}"
    for each in manifests.kind("ServiceMonitor"):
        if each["spec"].get("jobLabel") != JOB:
            yield f"{label(each)}: its jobLabel must be {JOB}, which the alerts know"
        for endpoint in each["spec"]["endpoints"]:
            if not all(endpoint["port"] in ports for ports in jobs.values()):
                yield f"{label(each)}: each Service must have a port {endpoint['port']}"
            if endpoint.get("path") != "/metrics":
                yield f"{label(each)}: it must read /metrics"
    yield from _copies(deploy, manifests)


def _copies(deploy: Path, manifests: Manifests) -> Iterator[str]:
    rules = yaml.safe_load((deploy / "prometheus" / "rules.yml").read_text())
    for each in manifests.kind("PrometheusRule"):
        if each["spec"]["groups"][: len(rules["groups"])] != rules["groups"]:
            yield f"{label(each)}: its alerts must be those of prometheus/rules.yml"
    board = json.loads((deploy / "grafana" / "lockstep.json").read_text())
    for each in manifests.kind("ConfigMap"):
        if _read(each["data"].get("lockstep.json", "")) != board:
            yield f"{label(each)}: its dashboard must be that of grafana/lockstep.json"


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
