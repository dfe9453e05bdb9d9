"""All checks of deploy/kubernetes together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.deploy import manifests as made
from tests.deploy import network, processes, schemas, surroundings
from tests.deploy.manifests import Manifests, RenderError

_RELAY = (made.WITH_RELAY, "--set=nats.ca=true", "--set=nats.credentials=true")


def check(deploy: Path, manifests: Manifests) -> list[str]:
    """Return what is wrong with the objects of a release.

    Args:
        deploy: The folder `deploy` that they come from.
        manifests: The objects.
    """
    started = processes.start(manifests)
    found = [
        *_twice(manifests),
        *schemas.findings(manifests),
        *started.findings,
        *network.findings(manifests, started),
        *surroundings.findings(deploy, manifests, started),
    ]
    return [f"{manifests.name}: {each}" for each in dict.fromkeys(found)]


def check_chart(deploy: Path) -> list[str]:
    """Return what is wrong with the chart in each size, and with the base that is made from it."""
    found = []
    try:
        for size in made.SIZES:
            made.lint(deploy, size)
            text = made.render(deploy, size, "--set=operator.enabled=true", *_RELAY)
            found.extend(check(deploy, Manifests.of(size, text)))
        for name, wanted, file in (
            ("base", made.base_text(deploy), made.base_file(deploy)),
            ("relay", made.relay_text(deploy), made.relay_file(deploy)),
        ):
            if wanted != file.read_text():
                found.append(f"{name}: it must be what the chart makes: run `make deploy-base`")
    except RenderError as error:
        found.append(f"chart: {error}")
    return found


def check_kustomize(deploy: Path) -> list[str]:
    """Return what is wrong with the base as kustomize builds it."""
    try:
        built = Manifests.of("kustomize", made.kustomize(deploy / made.BASE))
    except RenderError as error:
        return [f"base: {error}"]
    there = Manifests.of("base", made.base_file(deploy).read_text())
    if sorted(map(made.label, built.objects)) != sorted(map(made.label, there.objects)):
        return ["base: kustomize must build every object of the chart"]
    return []


def _twice(manifests: Manifests) -> Iterator[str]:
    names = list(map(made.label, manifests.objects))
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield f"{name} must be there once"
