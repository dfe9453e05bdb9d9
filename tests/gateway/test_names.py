"""The gateway is generic: no line of it names an RPC of ours."""

import importlib.resources
import re
from pathlib import Path

import lockstep_gateway
from lockstep_gateway.binding import descriptors

import services.gateway

# Messages with names that any gateway needs.
COMMON = {"Access", "Event", "MethodRule", "Status", "User"}


def test_no_name_of_ours_is_in_the_gateway() -> None:
    data = importlib.resources.files("lockstep_clients") / "lockstep.binpb"
    registry = descriptors.load(data.read_bytes())
    names = set()
    for each in registry:
        name = getattr(each, "type_name", "")
        if name.startswith("lockstep.") and not name.startswith("lockstep.options."):
            names.add(name.rpartition(".")[2])
    for service in descriptors.services(registry):
        names |= {method.name for method in service.methods}
    assert len(names) > 100
    wanted = re.compile(rf"\b({'|'.join(sorted(names - COMMON))})\b")
    for package in (lockstep_gateway, services.gateway):
        assert package.__file__ is not None
        for file in Path(package.__file__).parent.rglob("*.py"):
            found = wanted.findall(file.read_text())
            assert not found, f"{file.name}: {found}"
