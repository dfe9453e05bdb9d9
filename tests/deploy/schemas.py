"""Objects against their schemas: Kubernetes' own, and those of custom resources in crds/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.deploy.manifests import Manifests, Object, label
from tests.deploy.tools import SCHEMAS, VERSIONS

CRDS: Final = Path(__file__).parent / "crds"
DEFINITIONS: Final = "_definitions.json"


def findings(manifests: Manifests) -> Iterator[str]:
    """Tell what no server would take."""
    custom = custom_schemas()
    for each in manifests.objects:
        identity = each["apiVersion"], each["kind"]
        if identity in custom:
            yield from _against(each, custom[identity], "its CRD")
        elif SCHEMAS.exists():
            for version in VERSIONS:
                yield from _built_in(each, version)


def _built_in(each: Object, version: str) -> Iterator[str]:
    group, _, number = each["apiVersion"].rpartition("/")
    api = f"{group.split('.')[0]}-{number}" if group else number
    path = SCHEMAS / version / f"{each['kind'].lower()}-{api}.json"
    if not path.exists():
        yield f"{label(each)}: Kubernetes {version} must know {each['apiVersion']}"
        return
    yield from _against(each, _validator(path), f"Kubernetes {version}")


def _against(each: Object, validator: Draft202012Validator, of: str) -> Iterator[str]:
    for error in validator.iter_errors(each):
        place = ".".join(map(str, error.absolute_path))
        yield f"{label(each)}: {place} is not what {of} takes: {error.message[:200]}"


@cache
def _validator(path: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads(path.read_text()), registry=_registry(path.parent))


@cache
def _registry(folder: Path) -> Registry[Any]:
    content = json.loads((folder / DEFINITIONS).read_text())
    resource = Resource.from_contents(content, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry()
    return registry.with_resources([(f"/api/{DEFINITIONS}", resource)]).crawl()


@cache
def custom_schemas() -> Mapping[tuple[str, str], Draft202012Validator]:
    """Return the schema of each custom resource, by version and kind."""
    read = [json.loads(path.read_text()) for path in sorted(CRDS.glob("*.json"))]
    return {
        (each["apiVersion"], each["kind"]): Draft202012Validator(strict(each["schema"]))
        for each in read
    }


def strict(schema: Any) -> Any:
    """Refuse members that a schema does not name: a server would drop them without a word."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        name: {key: strict(part) for key, part in each.items()}
        if name == "properties"
        else strict(each)
        for name, each in schema.items()
    }
    is_open = "additionalProperties" in made or made.get("x-kubernetes-preserve-unknown-fields")
    if made.get("properties") and made.get("type") == "object" and not is_open:
        made["additionalProperties"] = False
    return made
