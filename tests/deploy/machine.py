"""A container as its process finds it: its environment, and the files that its Secrets hold."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest import mock

from services.common.settings import PREFIX
from tests.deploy.contract import Secrets
from tests.deploy.manifests import Object
from tests.deploy.tools import ROOT

# Not ours, but read by what we are built on: OpenTelemetry and libpq.
FOREIGN: Final = re.compile(r"OTEL_[A-Z_]+|PG[A-Z]+")


def image_environment() -> dict[str, str]:
    """Return what the image sets."""
    words = (word for line in _instructions("ENV") for word in shlex.split(line) if "=" in word)
    return dict(word.split("=", 1) for word in words)


def image_folders() -> dict[str, Path | None]:
    """Return the folders that the image has beside those of its base.

    Each has the folder of the checkout that it is a copy of; None: another stage built it.
    """
    copies = [line.split() for line in _instructions("COPY")]
    return {
        words[-1]: None if words[0].startswith("--from") else ROOT / words[0]
        for words in copies
        if words[-1].startswith("/")
    }


def image_user() -> int:
    """Return the user who runs in the image."""
    (user,) = {line.partition(":")[0] for line in _instructions("USER")}
    return int(user)


def _instructions(name: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)


def environment(container: Object) -> dict[str, str]:
    """Return the environment of the process."""
    own = {each["name"]: each["value"] for each in container.get("env", ())}
    return image_environment() | own


def mount(root: Path, spec: Object, container: Object, secrets: Secrets) -> list[str]:
    """Write what the container mounts below `root`; tell what cannot be mounted."""
    volumes = {each["name"]: each for each in spec.get("volumes", ())}
    for folder, source in image_folders().items():
        place = root / folder.lstrip("/")
        if source is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.symlink_to(source)
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
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    moved = {
        name: f"{root}{value}" if value.startswith("/") else value
        for name, value in variables.items()
        if name.startswith(PREFIX)
    }
    with mock.patch.dict(os.environ, kept | moved, clear=True):
        yield
