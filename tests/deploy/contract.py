"""The Secrets that the manifests may name, with sample contents: who makes them, and what is in.

`deploy/kubernetes/secrets.sh` makes those of keys, databases and mail, cert-manager those of
certificates, CloudNativePG those of its authorities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from services.cli.system import DATABASES
from services.common import cert_files, key_files
from services.common.keys import SERVICES
from tests.deploy.code import RELAY
from tests.deploy.manifests import RELEASE, Manifests
from tests.relay.nsc import Company

Secrets = Mapping[str, Mapping[str, bytes]]
PASSWORD: Final = "Sample-Horse-42"
EDGE: Final = "kubernetes.io/tls"
_NAMES: Final = (*SERVICES, RELAY)


@cache
def keys() -> Secrets:
    """Make keys, and return the Secrets that hold them."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        key_files.initialise(root)
        key_files.initialise(root, [RELAY])
        of_services = {f"{RELEASE}-{name}-keys": files_in(root / name) for name in _NAMES}
        return of_services | {
            f"{RELEASE}-trusted": {"trusted.json": (root / "trusted.json").read_bytes()},
            f"{RELEASE}-auth-tokens": files_in(root / "auth" / "tokens"),
        }


@cache
def certificates() -> Secrets:
    """Make certificates, and return the Secrets that cert-manager would make."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        cert_files.initialise(root, services=_NAMES)
        authority = (root / "ca.pem").read_bytes()
        return {
            f"{RELEASE}-{name}-tls": {
                "ca.crt": authority,
                "tls.crt": (root / name / "cert.pem").read_bytes(),
                "tls.key": (root / name / "key.pem").read_bytes(),
            }
            for name in _NAMES
        }


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of a service's database: what serves it, its primary, and its standbys."""

    served: str
    primary: str
    standbys: str


def databases(hosts: Mapping[str, Hosts]) -> Secrets:
    """Return the Secrets of the databases."""
    found = dict[str, Mapping[str, bytes]]()
    for service, at in hosts.items():
        reads = {} if service != "commerce" else {"read-url": _url(service, service, at.standbys)}
        urls = {"url": _url(service, service, at.served), **reads}
        found[f"{RELEASE}-{service}-database"] = _login(service, urls)
        owner = f"{service}_owner"
        urls = {"url": _url(service, owner, at.primary)}
        found[f"{RELEASE}-{service}-owner-database"] = _login(owner, urls)
    return found


def _login(role: str, urls: Mapping[str, str]) -> Mapping[str, bytes]:
    texts = {"username": role, "password": PASSWORD, **urls}
    return {key: text.encode() for key, text in texts.items()}


def _url(service: str, role: str, host: str) -> str:
    return (
        f"postgresql://{role}:{PASSWORD}@{host}:5432/{DATABASES[service]}"
        f"?sslmode=verify-full&sslrootcert=/run/secrets/{service}-database-ca/ca.crt"
    )


def database_hosts(manifests: Manifests) -> dict[str, Hosts]:
    """Return the hosts of each service's database."""
    clusters = {
        each["spec"]["name"]: each["spec"]["cluster"]["name"] for each in manifests.kind("Database")
    }
    poolers = {
        each["spec"]["cluster"]["name"]: each["metadata"]["name"]
        for each in manifests.kind("Pooler")
    }
    found = {}
    for service, database in DATABASES.items():
        cluster = clusters.get(database, f"{RELEASE}-db")
        primary = f"{cluster}-rw"
        found[service] = Hosts(poolers.get(cluster, primary), primary, f"{cluster}-ro")
    return found


def secrets_of(manifests: Manifests) -> Secrets:
    """Return every Secret that there is once a release is installed as its README says."""
    named = {each["spec"]["secretName"] for each in manifests.kind("Certificate")}
    made = {name: each for name, each in certificates().items() if name in named}
    authorities = {
        f"{each['metadata']['name']}-ca": {"ca.crt": b"PEM"} for each in manifests.kind("Cluster")
    }
    mail = {f"{RELEASE}-smtp": {"url": b"smtp://user:password@mail.example.com:587"}}
    of_databases = databases(database_hosts(manifests))
    return {**keys(), **made, **of_databases, **authorities, **mail, **nats()}


@cache
def nats() -> Secrets:
    """Return the Secret of NATS, with all that it may have."""
    with TemporaryDirectory() as folder:
        cert_files.initialise(Path(folder), services=["nats"])
        content = {
            "url": b"tls://nats.example.com:4222",
            "relay.creds": Company().credentials().encode(),
            "ca.crt": (Path(folder) / "ca.pem").read_bytes(),
        }
        return {f"{RELEASE}-nats": content}


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, as `kubectl create secret --from-file` takes them."""
    return {each.name: each.read_bytes() for each in sorted(folder.iterdir()) if each.is_file()}
