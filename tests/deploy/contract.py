"""The Secrets that the manifests may name, with sample contents: who makes them, and what is in.

`deploy/kubernetes/secrets.sh` makes those of keys, databases and mail, cert-manager those of
certificates, CloudNativePG those of its authorities.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from services.cli.system import DATABASES
from services.common import cert_files, key_files
from services.common.keys import SERVICES
from tests.deploy.manifests import RELEASE, Manifests

Secrets = Mapping[str, Mapping[str, bytes]]
PASSWORD: Final = "Sample-Horse-42"
EDGE: Final = "kubernetes.io/tls"


@cache
def keys() -> Secrets:
    """Make keys, and return the Secrets that hold them."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        key_files.initialise(root)
        of_services = {f"{RELEASE}-{name}-keys": files_in(root / name) for name in SERVICES}
        return of_services | {
            f"{RELEASE}-trusted": {"trusted.json": (root / "trusted.json").read_bytes()},
            f"{RELEASE}-auth-tokens": files_in(root / "auth" / "tokens"),
        }


@cache
def certificates() -> Secrets:
    """Make certificates, and return the Secrets that cert-manager would make."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        cert_files.initialise(root)
        authority = (root / "ca.pem").read_bytes()
        return {
            f"{RELEASE}-{name}-tls": {
                "ca.crt": authority,
                "tls.crt": (root / name / "cert.pem").read_bytes(),
                "tls.key": (root / name / "key.pem").read_bytes(),
            }
            for name in SERVICES
        }


def databases(hosts: Mapping[str, tuple[str, str]]) -> Secrets:
    """Return the Secrets of the databases.

    Args:
        hosts: For each service the host that serves it, and that of its primary.
    """
    found = {}
    for service, database in DATABASES.items():
        served, primary = hosts[service]
        for role, host, name in (
            (service, served, service),
            (f"{service}_owner", primary, f"{service}-owner"),
        ):
            url = (
                f"postgresql://{role}:{PASSWORD}@{host}:5432/{database}"
                f"?sslmode=verify-full&sslrootcert=/run/secrets/{service}-database-ca/ca.crt"
            )
            texts = {"username": role, "password": PASSWORD, "url": url}
            found[f"{RELEASE}-{name}-database"] = {
                key: text.encode() for key, text in texts.items()
            }
    return found


def database_hosts(manifests: Manifests) -> dict[str, tuple[str, str]]:
    """Return for each service the host that serves it, and its primary."""
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
        found[service] = poolers.get(cluster, f"{cluster}-rw"), f"{cluster}-rw"
    return found


def secrets_of(manifests: Manifests) -> Secrets:
    """Return every Secret that there is once a release is installed as its README says."""
    named = {each["spec"]["secretName"] for each in manifests.kind("Certificate")}
    made = {name: each for name, each in certificates().items() if name in named}
    authorities = {
        f"{each['metadata']['name']}-ca": {"ca.crt": b"PEM"} for each in manifests.kind("Cluster")
    }
    mail = {f"{RELEASE}-smtp": {"url": b"smtp://user:password@mail.example.com:587"}}
    return {**keys(), **made, **databases(database_hosts(manifests)), **authorities, **mail}


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, as `kubectl create secret --from-file` takes them."""
    return {each.name: each.read_bytes() for each in sorted(folder.iterdir()) if each.is_file()}
