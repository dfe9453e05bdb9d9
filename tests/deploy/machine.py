"""A container as its process finds it: its environment, and the files that its Secrets hold."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.cli.system import SETTINGS
from services.common.settings import FILE, PREFIX, has_file, variable
from tests.deploy.contract import Secrets
from tests.deploy.manifests import Object
from tests.deploy.tools import ROOT

# Not ours, but read by what we are built on: OpenTelemetry and libpq.
FOREIGN: Final = re.compile(r"OTEL_[A-Z_]+|PG[A-Z]+")


def known_variables() -> set[str]:
    """Return the name of every setting."""
    names = {name for cls in SETTINGS.values() for name in cls.model_fields}
    files = {f"{variable(name)}{FILE}" for name in filter(has_file, names)}
    return {variable(name) for name in names} | files


def image_environment() -> dict[str, str]:
    """Return what the image sets."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    return dict(word.split("=", 1) for line in lines for word in shlex.split(line) if "=" in word)


def image_folders() -> list[str]:
    """Return the folders that the image has beside those of its base."""
    text = (ROOT / "Dockerfile").read_text()
    return sorted(set(re.findall(r"^COPY .* (/\S+)$", text, re.MULTILINE)))


def environment(container: Object) -> dict[str, str]:
    """Return the environment of the process."""
    own = {each["name"]: each["value"] for each in container.get("env", ())}
    return image_environment() | own


def mount(root: Path, spec: Object, container: Object, secrets: Secrets) -> list[str]:
    """Write what the container mounts below `root`; tell what cannot be mounted."""
    volumes = {each["name"]: each for each in spec.get("volumes", ())}
    for folder in image_folders():
        (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    found = []
    for each in container.get("volumeMounts", ()):
        volume = volumes.get(each["name"])
        if volume is None:
            found.append(f"the volume {each['name']} must be declared")
            continue
        place = root / each["mountPath"].lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        if "secret" in volume:
            found.extend(_unpack(place, volume["secret"], secrets))
    return found


def _unpack(place: Path, source: Object, secrets: Secrets) -> Iterator[str]:
    name = source["secretName"]
    secret = secrets.get(name)
    if secret is None:
        yield f"the Secret {name} must be one that somebody makes"
        return
    if source.get("defaultMode") != 0o440:
        yield f"the Secret {name} must be mounted with the mode 0440"
    items = source.get("items") or [{"key": key, "path": key} for key in secret]
    for item in items:
        if item["key"] not in secret:
            yield f"the Secret {name} must have the key {item['key']}"
        else:
            (place / item["path"]).write_bytes(secret[item["key"]])


@contextmanager
def as_process(variables: Mapping[str, str], root: Path) -> Iterator[None]:
    """Let this process have an environment; each path in it leads below `root`."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    moved = {
        name: f"{root}{value}" if value.startswith("/") else value
        for name, value in variables.items()
        if name.startswith(PREFIX)
    }
    os.environ.update(moved)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
