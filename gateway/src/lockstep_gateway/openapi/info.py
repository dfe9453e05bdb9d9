"""The facts about an API in its document: name, version, and who is behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from lockstep_gateway.binding.descriptors import Rpc
from lockstep_gateway.http.config import ApiInfo

_VERSION = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]*)?")
DEFAULT_VERSION: Final = "v1"


def info_object(info: ApiInfo, title: str, rpcs: Sequence[Rpc]) -> dict[str, Any]:
    """Return the Info Object.

    Args:
        info: The facts that are given.
        title: The name of the API, if none is given.
        rpcs: The RPCs that are served; the packages hold the version if none is given.
    """
    services = sorted({rpc.desc.parent.type_name for rpc in rpcs})
    written: dict[str, Any] = {
        "title": info.title or title,
        "version": info.version or _version(services),
        "description": info.description or f"HTTP and JSON in front of {_joined(services)}.",
    }
    if info.contact:
        written["contact"] = _contact(info.contact)
    if info.license:
        written["license"] = {"name": info.license, "identifier": info.license}
    return written


def _contact(text: str) -> dict[str, str]:
    if "://" in text:
        return {"url": text}
    return {"email": text} if "@" in text else {"name": text}


def _version(services: Sequence[str]) -> str:
    """Return the last part of the packages that is a version, if all of them have the same."""
    found = {next(filter(_VERSION.fullmatch, reversed(each.split("."))), "") for each in services}
    return found.pop() or DEFAULT_VERSION if len(found) == 1 else DEFAULT_VERSION


def _joined(services: Sequence[str]) -> str:
    *others, last = services or ["no service"]
    return f"{', '.join(others)} and {last}" if others else last
