"""The manifests of a release: rendered from the chart, or read from the kustomize base."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy.tools import HELM, KUBECTL

RELEASE: Final = "lockstep"
CHART: Final = "kubernetes/lockstep"
BASE: Final = "kubernetes/base"
RELAY: Final = "kubernetes/relay"
WITH_RELAY: Final = "--set=relay.enabled=true"
# The values of each size, as files of the chart after values.yaml.
SIZES: Final[Mapping[str, Sequence[str]]] = {
    "small": ("values-small.yaml",),
    "standard": (),
    "large": ("values-large.yaml",),
}
COMPONENT: Final = "app.kubernetes.io/component"
HEADING: Final = (
    "# Made from the chart ../lockstep by `make deploy-base`. Change the chart instead.\n"
)
SECONDS_MAX: Final = 120
# The one in C is ten times as fast.
LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Object = Mapping[str, Any]


class RenderError(Exception):
    """The chart cannot be rendered; the text is what helm says."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects of one release.

    Attributes:
        name: What they were made from.
        objects: The objects.
    """

    name: str
    objects: Sequence[Object]

    @classmethod
    def of(cls, name: str, text: str) -> Manifests:
        """Read YAML."""
        return cls(name, [each for each in yaml.load_all(text, Loader=LOADER) if each])

    def kind(self, *kinds: str) -> Iterator[Object]:
        """Yield the objects of some kinds."""
        return (each for each in self.objects if each["kind"] in kinds)

    def named(self, kind: str, name: str) -> Object | None:
        """Return an object."""
        return next((each for each in self.kind(kind) if each["metadata"]["name"] == name), None)

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Yield the component and the template of each pod that the objects make."""
        for each in self.kind("Deployment", "Job", "CronJob"):
            spec = each["spec"]
            template = spec.get("jobTemplate", {}).get("spec", spec)["template"]
            yield template["metadata"]["labels"][COMPONENT], template

    def containers(self) -> Iterator[tuple[str, Object, Object]]:
        """Yield the component, the pod's spec and the container of each pod."""
        for component, template in self.pods():
            for container in template["spec"]["containers"]:
                yield component, template["spec"], container


def label(each: Object) -> str:
    """Return how a finding names an object."""
    return f"{each['kind']} {each['metadata']['name']}"


def render(deploy: Path, size: str, *further: str) -> str:
    """Render the chart.

    Args:
        deploy: The folder `deploy`.
        size: The size.
        further: Further arguments of helm.

    Raises:
        RenderError: helm refuses.
    """
    chart = deploy / CHART
    values = [f"--values={chart / file}" for file in SIZES[size]]
    return _told(str(HELM), "template", RELEASE, str(chart), *values, *further)


def lint(deploy: Path, size: str) -> None:
    """Have helm look at the chart.

    Raises:
        RenderError: helm has found something.
    """
    chart = deploy / CHART
    values = [f"--values={chart / file}" for file in SIZES[size]]
    _told(str(HELM), "lint", "--strict", "--quiet", str(chart), *values)


def kustomize(folder: Path) -> str:
    """Build a folder of kustomize.

    Raises:
        RenderError: kubectl refuses.
    """
    return _told(str(KUBECTL), "kustomize", str(folder))


def base_file(deploy: Path) -> Path:
    """Return the file of the base, which holds all objects."""
    return deploy / BASE / "lockstep.yaml"


def base_text(deploy: Path) -> str:
    """Return what the file of the base must hold.

    Raises:
        RenderError: helm refuses.
    """
    return HEADING + render(deploy, "standard")


def relay_file(deploy: Path) -> Path:
    """Return the file of the relay's component for kustomize."""
    return deploy / RELAY / "relay.yaml"


def relay_text(deploy: Path) -> str:
    """Return what that file must hold: what the relay adds to the base.

    Raises:
        RenderError: helm refuses.
    """
    base = {label(each) for each in Manifests.of("base", render(deploy, "standard")).objects}
    documents = render(deploy, "standard", WITH_RELAY).split("---\n")
    added = [
        text
        for text in documents
        for each in Manifests.of("relay", text).objects
        if label(each) not in base
    ]
    return HEADING + "---\n".join(["", *added])


def _told(*argv: str) -> str:
    ran = subprocess.run(
        argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False, env={"HOME": "/tmp"}
    )
    if ran.returncode:
        raise RenderError((ran.stderr or ran.stdout).strip())
    return ran.stdout
