"""What the code says of the processes: whom they call, who may call them, what they listen on."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from unittest import mock

from lockstep.options.v1 import options_pb2 as options_pb
from lockstep_clients.methods import descriptors

from services.common import service
from services.common.databases import (
    BACKGROUND_CONNECTIONS,
    LEASE_CONNECTIONS,
    PUBLIC_CONNECTIONS,
    SEARCH_CONNECTIONS,
)
from services.common.service import Frame
from services.common.settings import CommonSettings
from services.relay.process import SOURCES

GATEWAY: Final = "gateway"
OPERATOR: Final = "operator"
RELAY: Final = "relay"
SAGA: Final = "saga"


def frame_of(name: str, settings: CommonSettings) -> Frame:
    """Return the frame that a service's process makes of its settings."""
    module: Any = importlib.import_module(f"services.{name}.__main__")
    if "bcrypt_cost" in type(settings).model_fields:
        settings = settings.model_copy(update={"bcrypt_cost": 4})  # Auth hashes when it starts
    with mock.patch.object(service, "running", side_effect=lambda frame, *_, **__: frame):
        frame: Frame = module.running(settings)
    return frame


@cache
def admitted(name: str, *, is_coordinator: bool) -> frozenset[str]:
    """Return who may call a service: the services that its protos admit, and the gateway."""
    areas = {name, SAGA} if is_coordinator else {name}
    found = set()
    for file in descriptors().file:
        if file.package.split(".")[:1] != ["lockstep"] or file.package.split(".")[1] not in areas:
            continue
        for method in (method for each in file.service for method in each.method):
            rule = method.options.Extensions[options_pb.method]
            found |= set(rule.callers)
            if rule.access != options_pb.ACCESS_SERVICE:
                found.add(GATEWAY)
    return frozenset(found - {name})


def calls(frames: Mapping[str, Frame]) -> dict[str, set[str]]:
    """Return who opens a connection to each service, and is admitted there.

    The gateway and the command call every service; the command at least asks for its health.
    """
    found: dict[str, set[str]] = {}
    for name, frame in frames.items():
        opening = {caller for caller, other in frames.items() if name in other.targets}
        allowed = admitted(name, is_coordinator=frame.is_coordinator)
        if name in SOURCES:
            opening.add(RELAY)
        found[name] = {*(allowed & (opening | {GATEWAY})), OPERATOR}
    return found


def connections(frame: Frame, settings: CommonSettings) -> int:
    """Return how many connections to its database a process has at most."""
    return (
        settings.database_connections
        + (BACKGROUND_CONNECTIONS + LEASE_CONNECTIONS if frame.is_coordinator else 0)
        + (PUBLIC_CONNECTIONS + SEARCH_CONNECTIONS if frame.has_public_reads else 0)
    )
