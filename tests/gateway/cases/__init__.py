"""Tables: a request, and what has to arrive at the service or come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        name: A sentence.
        request: Method and target.
        rpc: Which method gets it; "" for none.
        arrived: The message that it gets, as JSON without defaults.
        status: What comes back.
        fields: The wrong fields that are named.
        envoy: "" if every correct transcoder does this, otherwise why Envoy does not.
    """

    name: str
    request: str
    rpc: str = ""
    arrived: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    fields: frozenset[str] = frozenset()
    envoy: str = ""

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


def refused(name: str, request: str, *fields: str, **more: Any) -> Case:
    """A request that is 400 and names these fields."""
    more.setdefault("envoy", "Envoy's answers to bad requests have another shape and rules")
    return Case(name, request, status=more.pop("status", 400), fields=frozenset(fields), **more)
