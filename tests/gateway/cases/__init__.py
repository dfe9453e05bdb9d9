"""Tables of requests, with the message that must arrive or the answer that must come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        name: A sentence.
        request: Method and target.
        rpc: The method that gets it; "" for none.
        arrived: The message that the method gets, as JSON without defaults.
        body: The body, in JSON or in bytes.
        headers: Further headers.
        status: The status of the answer.
        fields: The wrong fields that the answer names.
        envoy: "" if every correct transcoder does this, otherwise the reason why Envoy differs.
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
    """Return the case of a request that is 400 and names these fields."""
    more.setdefault("envoy", "Envoy's answers to bad requests have another shape and rules")
    return Case(name, request, status=more.pop("status", 400), fields=frozenset(fields), **more)
