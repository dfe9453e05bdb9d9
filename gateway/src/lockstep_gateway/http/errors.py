"""One shape for all failures: `google.rpc.Status` as JSON, or RFC 9457 on request."""

from __future__ import annotations

import base64
import http
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import grpc
from lockstep_gateway.binding.descriptors import STATUS
from lockstep_gateway.binding.violations import BadRequest
from lockstep_gateway.http.causes import Cause, cause_of
from protobuf import DescFieldValueList, DescFieldValueMessage, DescMessage, Registry

TYPE_PREFIX: Final = "type.googleapis.com/"
ERROR_INFO: Final = TYPE_PREFIX + "google.rpc.ErrorInfo"
BAD_REQUEST: Final = TYPE_PREFIX + "google.rpc.BadRequest"
RETRY_INFO: Final = TYPE_PREFIX + "google.rpc.RetryInfo"
RETRY: Final = {"@type": RETRY_INFO, "retryDelay": "1s"}
STATUS_DETAILS: Final = "grpc-status-details-bin"
RETRY_SECONDS: Final = "1"
"""The time to wait, if the service that refused a call does not say it."""

CANCELLED: Final = 1
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
CAUSE_LENGTH: Final = 500

CODES: Final = {each.value[0]: each.name for each in grpc.StatusCode}

# The statuses by gRPC code (google/rpc/code.proto).
HTTP_STATUS: Final = (
    200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
)  # fmt: skip
PHRASES: Final = {
    **{each.value: each.phrase for each in http.HTTPStatus},
    499: "Client Closed Request",
}


@dataclass(eq=False)
class Failure(Exception):
    """A failed request as the caller sees it.

    Attributes:
        code: The gRPC code.
        message: The text for people.
        details: The details, each as JSON with its `@type`.
        status: The HTTP status; 0 stands for the one of the code.
        headers: Further HTTP headers of the response.
        cause: What gRPC says of a call that it has ended itself; for the log alone.
    """

    code: int
    message: str
    details: Sequence[Mapping[str, Any]] = ()
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cause: str = ""

    @property
    def http_status(self) -> int:
        """The failure's own HTTP status, or else the one of its code."""
        return self.status or HTTP_STATUS[self.code]

    def as_status(self) -> bytes:
        """Write it as `google.rpc.Status`."""
        body = {"code": self.code, "message": self.message, "details": list(self.details)}
        return json.dumps(body, ensure_ascii=False).encode()

    def as_problem(self) -> bytes:
        """Write it as problem details (RFC 9457), with the members of the status beside."""
        body = {
            "type": "about:blank",
            "title": PHRASES.get(self.http_status, ""),
            "status": self.http_status,
            "detail": self.message,
            "code": self.code,
            "details": list(self.details),
        }
        return json.dumps(body, ensure_ascii=False).encode()

    def all_headers(self) -> dict[str, str]:
        """Return its headers, with those that follow from its status and details."""
        headers = dict(self.headers)
        if self.http_status == http.HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        if self.http_status in (429, 503):
            wait = self._retry_seconds()
            if wait is not None:
                headers["retry-after"] = str(wait)
            headers.setdefault("retry-after", RETRY_SECONDS)
        return headers

    def _retry_seconds(self) -> int | None:
        for detail in self.details:
            delay = str(detail.get("retryDelay", ""))
            if detail.get("@type") == RETRY_INFO and re.fullmatch(r"\d+(\.\d+)?s", delay):
                return math.ceil(float(delay[:-1]))
        return None


class Failures:
    """Make failures.

    Args:
        domain: The domain in the gateway's own ErrorInfo.
        registry: The types of details.
    """

    def __init__(self, domain: str, registry: Registry) -> None:
        self._domain = domain
        self.registry: Final = registry
        status = registry.message(STATUS)
        assert status is not None
        self._status_type = status.type

    def make(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        status: int = 0,
        details: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Failure:
        """Make one of the gateway's own failures."""
        info = {"@type": ERROR_INFO, "reason": reason, "domain": self._domain, "metadata": {}}
        return Failure(code, message, [info, *details], status, headers or {})

    def invalid(
        self,
        fields: Sequence[tuple[str, str]],
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Failure:
        """Make the failure of a request with wrong fields, named as in JSON or HTTP."""
        violations = [{"field": name, "description": text} for name, text in fields]
        message = str(BadRequest(list(fields)))
        detail = {"@type": BAD_REQUEST, "fieldViolations": violations}
        return self.make(
            INVALID_ARGUMENT,
            "INVALID_FIELD",
            message,
            status=status,
            details=[detail],
            headers=headers,
        )

    def no_route(self) -> Failure:
        """Make the failure of a path that does not exist."""
        return self.make(NOT_FOUND, "ROUTE_NOT_FOUND", "There is no such path.")

    def not_allowed(self, methods: Iterable[str]) -> Failure:
        """Make the failure of a path that exists under other methods."""
        allow = ", ".join(sorted(methods))
        return self.make(
            UNIMPLEMENTED,
            "METHOD_NOT_FOUND",
            f"This path takes {allow}.",
            status=405,
            headers={"allow": allow},
        )

    def unavailable(self, message: str = "The service did not answer.") -> Failure:
        """Make the failure of an upstream that cannot be reached."""
        return self.make(UNAVAILABLE, "UPSTREAM_UNAVAILABLE", message, details=[RETRY])

    def too_many(self, message: str = "Too many requests are in flight.") -> Failure:
        """Make the failure of a request above the limit."""
        return self.make(RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", message, details=[RETRY])

    def too_late(self, status: int = 0) -> Failure:
        """Make the failure of a request whose time ran out."""
        return self.make(DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "The time ran out.", status=status)

    def internal(self, code: int = INTERNAL) -> Failure:
        """Make the failure of an unexpected error, without its text."""
        return self.make(code, "INTERNAL", "Something unexpected happened.")

    def answer_too_large(self) -> Failure:
        """Make the failure of a call whose answer is too large. To repeat it does not help."""
        return self.make(INTERNAL, "ANSWER_TOO_LARGE", "The answer of the service is too large.")

    def wrong_answer(self, rpc: str) -> Failure:
        """Make the failure of a call whose answer is not a message of its type."""
        return self.make(INTERNAL, "INTERNAL", f"The answer of {rpc} is not valid.")

    def of(self, error: grpc.aio.AioRpcError, request: DescMessage, body: str) -> Failure:
        """Translate the failure of a call; fields get their JSON names.

        Args:
            error: The failure of the call.
            request: The request's type.
            body: The name of the field in the HTTP body, or "*" or "".
        """
        data = _status_details(error)
        if data is None:
            return self._bare(error)
        try:
            status: Any = self._status_type.from_binary(data)
        except (ValueError, TypeError):
            return self._bare(error)
        details = [self._detail(each, request, body) for each in status.details]
        return self._told(error.code(), status.message or error.details() or "", details)

    def _bare(self, error: grpc.aio.AioRpcError) -> Failure:
        """Make a failure without details; do not pass on a text of gRPC or of a crash."""
        code, text = error.code(), error.details() or ""
        cause = cause_of(code, text)
        if cause is not None:
            return self._caused(cause, text)
        number = code.value[0]
        # gRPC cancels calls that a stopping server has not taken. The client is still waiting.
        if number in (UNAVAILABLE, CANCELLED):
            return self._unreached(text)
        if number == DEADLINE_EXCEEDED:
            return self.too_late()
        if HTTP_STATUS[number] == http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return self.internal(number)
        return self._told(code, text, [])

    def _caused(self, cause: Cause, text: str) -> Failure:
        """Make the failure of a call that gRPC itself ended."""
        if cause is Cause.ANSWER_TOO_LARGE:
            return self.answer_too_large()
        if cause is Cause.REQUEST_TOO_LARGE:
            return self.invalid([("body", "is larger than the service takes")], status=413)
        if cause is Cause.HEADERS_TOO_LARGE:
            return self.invalid([("headers", "are larger than the service takes")], status=431)
        if cause is Cause.METHOD_MISSING:
            message = "The service does not have this method."
            return self.make(UNIMPLEMENTED, "METHOD_NOT_IMPLEMENTED", message)
        if cause is Cause.OVERLOADED:
            return self.too_many("The service has too many requests in flight.")
        return self._unreached(text)

    def _unreached(self, text: str) -> Failure:
        """Make the failure of a call that found no service, or lost it; the log tells the text."""
        return replace(self.unavailable(), cause=text[:CAUSE_LENGTH])

    def _told(
        self, code: grpc.StatusCode, message: str, details: Sequence[Mapping[str, Any]]
    ) -> Failure:
        """Make the failure that a service told; its code is the reason if it gave none."""
        number = code.value[0]
        if any(each.get("@type") == ERROR_INFO and each.get("reason") for each in details):
            return Failure(number, message, details)
        return self.make(number, code.name, message, details=details)

    def _detail(self, detail: Any, request: DescMessage, body: str) -> dict[str, Any]:
        try:
            shown: dict[str, Any] = json.loads(detail.to_json(registry=self.registry))
        except (ValueError, TypeError):
            # The type is unknown here. A client that knows it can read the value.
            value = base64.b64encode(detail.value).decode()
            return {"@type": detail.type_url, "value": value}
        if shown.get("@type") == BAD_REQUEST:
            for violation in shown.get("fieldViolations", ()):
                violation["field"] = json_path(request, violation.get("field", ""), body)
        return shown


def _status_details(error: grpc.aio.AioRpcError) -> bytes | None:
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            return value
    return None


def json_path(message: DescMessage, path: str, body: str = "") -> str:
    """Turn a path of proto names (`items[0].unit_price`) into JSON names.

    A step that is not a field stays as it is. A path may begin inside the field that is the
    body.
    """
    here: DescMessage | None = message
    first = re.split(r"[.\[]", path, maxsplit=1)[0]
    if body not in ("", "*") and not any(each.name == first for each in message.fields):
        here = _message_at(message, body)
    steps = []
    for step in path.split("."):
        name, bracket, index = step.partition("[")
        field_ = next((each for each in here.fields if each.name == name), None) if here else None
        steps.append((field_.json_name if field_ else name) + bracket + index)
        here = _message_at(here, name) if here else None
    return ".".join(steps)


def _message_at(message: DescMessage, name: str) -> DescMessage | None:
    value = next((each.value for each in message.fields if each.name == name), None)
    if isinstance(value, DescFieldValueMessage):
        return value.message
    if isinstance(value, DescFieldValueList) and isinstance(value.element, DescMessage):
        return value.element
    return None
