"""`If-Match` (RFC 9110 13.1.1): the service checks it, by the etag field of its request (AIP-154).

Some services hold etags as plain texts, others with the quotes of HTTP. Both look the same in the
header. The gateway learns the form from a service's answers. As long as it has seen none, it tries
both: an etag that does not match changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from lockstep_gateway.binding.descriptors import WHOLE, Binding
from lockstep_gateway.binding.template import Wildcard
from lockstep_gateway.binding.violations import BadRequest
from lockstep_gateway.http.errors import ERROR_INFO, Failure
from lockstep_gateway.http.negotiation import ENTITY_TAG
from protobuf import (
    DescField,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    Message,
    ScalarType,
)

ETAG: Final = "etag"
IF_MATCH: Final = "if-match"
ANY: Final = "*"
SAFE: Final = ("GET", "HEAD")
TAGS_MAX: Final = 10
PRECONDITION_FAILED: Final = 412
MISMATCH: Final = "ETAG_MISMATCH"

_TAGS = re.compile(rf"[\s,]*(?:{ENTITY_TAG}(?:\s*,[\s,]*|\s*$))+")
_TAG = re.compile(ENTITY_TAG)
_ABORTED: Final = grpc.StatusCode.ABORTED
# A service that gives no reason means a mismatch by ABORTED (AIP-154).
_MISMATCHES: Final = {
    (_ABORTED.value[0], MISMATCH),
    (_ABORTED.value[0], _ABORTED.name),
    (grpc.StatusCode.FAILED_PRECONDITION.value[0], MISMATCH),
}


@dataclass(slots=True)
class EtagForms:
    """The forms in which services hold their etags."""

    _is_quoted: dict[str, bool] = field(default_factory=dict)

    def learn(self, service: str, etag: str) -> None:
        """Read the form of an etag that a service gave."""
        if etag:
            self._is_quoted[service] = _TAG.fullmatch(etag) is not None

    def texts(self, service: str, tag: str) -> list[str]:
        """Return the texts of a service's etag that this entity tag may stand for."""
        plain = tag.removeprefix("W/").strip('"')
        quoted = [tag, f'"{plain}"'] if tag.startswith("W/") else [tag]
        known = self._is_quoted.get(service)
        if known is None:
            return [plain, *quoted]
        return quoted if known else [plain]


class Condition:
    """The condition of one binding.

    Args:
        message: The request's type.
        binding: The parts of the request that are in the path and in the body.
        service: The full name of the service.
        forms: The forms of etags.
    """

    def __init__(
        self, message: DescMessage, binding: Binding, service: str, forms: EtagForms
    ) -> None:
        self._path = etag_path(message, binding)
        self._is_safe = binding.method in SAFE
        self._service = service
        self._forms = forms

    def etags(self, if_match: str, message: Message) -> Sequence[str | None]:
        """Return the etags that the request may carry, one after the other; None is none.

        Raises:
            BadRequest: The header is malformed, or the service cannot check it.
        """
        if self._is_safe:
            return [None]
        if self._path is None:
            if if_match:
                raise _wrong("must be absent: this method cannot check it")
            return [None]
        given = _value(message, self._path)
        texts = self._forms.texts(self._service, given) if _TAG.fullmatch(given) else [given]
        if not if_match or if_match == ANY:
            return texts if given else [None]
        tags = _tags(if_match)
        allowed = dict.fromkeys(each for tag in tags for each in self._texts(tag))
        if not given:
            return list(allowed)
        both = [each for each in texts if each in allowed]
        if not both:
            raise _wrong("must name the etag that the request has")
        return both

    def fill(self, message: Message, etag: str | None) -> None:
        """Put an etag into the request."""
        if etag is None or self._path is None:
            return
        *outer, last = self._path
        for step in outer:
            inner = message[step]
            if inner is None:
                assert isinstance(step.value, DescFieldValueMessage)
                inner = message[step] = step.value.message.type()
            message = inner
        message[last] = etag

    def learn(self, etag: str) -> None:
        """Read the form of an etag that the service gave."""
        self._forms.learn(self._service, etag)

    def _texts(self, tag: str) -> list[str]:
        return self._forms.texts(self._service, tag)


def checks_if_match(message: DescMessage, binding: Binding) -> bool:
    """Tell whether a binding changes something on the condition of `If-Match`."""
    return binding.method not in SAFE and etag_path(message, binding) is not None


def etag_path(message: DescMessage, binding: Binding) -> tuple[DescField, ...] | None:
    """Find the etag of a request: its own, or that of the one resource in its body.

    A POST to a collection creates a resource, which has no etag yet.
    """
    for each in message.fields:
        if is_etag(each):
            return (each,)
    is_collection = not any(isinstance(each, Wildcard) for each in binding.template.segments[-1:])
    if binding.method == "POST" and is_collection:
        return None
    found = list(_inner_etags(message, binding))
    return found[0] if len(found) == 1 else None


def is_etag(field_: DescField) -> bool:
    """Tell whether a field holds an etag."""
    value = field_.value
    is_text = isinstance(value, DescFieldValueScalar) and value.scalar is ScalarType.STRING
    return field_.name == ETAG and is_text


def is_mismatch(failure: Failure) -> bool:
    """Tell whether a call failed because the resource has another etag."""
    reasons = [each.get("reason") for each in failure.details if each["@type"] == ERROR_INFO]
    return any((failure.code, reason) in _MISMATCHES for reason in reasons)


def _inner_etags(message: DescMessage, binding: Binding) -> Iterator[tuple[DescField, DescField]]:
    for outer in message.fields:
        if binding.body in (WHOLE, outer.name) and isinstance(outer.value, DescFieldValueMessage):
            for inner in outer.value.message.fields:
                if is_etag(inner):
                    yield outer, inner


def _value(message: Message, path: Sequence[DescField]) -> str:
    value: Any = message
    for step in path:
        if value is None:
            return ""
        value = value[step]
    return str(value or "")


def _tags(if_match: str) -> list[str]:
    if not _TAGS.fullmatch(if_match):
        raise _wrong('must be * or entity tags, such as "1"')
    tags = _TAG.findall(if_match)
    if len(tags) > TAGS_MAX:
        raise _wrong(f"must name at most {TAGS_MAX} entity tags")
    return tags


def _wrong(description: str) -> BadRequest:
    return BadRequest([(IF_MATCH, description)])
