"""The Connect protocol for calls without streams (https://connectrpc.com/docs/protocol).

A method that HTTP reaches by its rule is also served at `/package.Service/Method`. A request in
JSON is that of a rule with `body: "*"`; only failures have another form. A request in protobuf is
passed on as it is, once it has proved to be the message.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from lockstep_gateway.binding.descriptors import HTTP_BODY, WHOLE, Binding, MethodRule, Rpc
from lockstep_gateway.binding.template import parse
from lockstep_gateway.binding.violations import BadRequest
from lockstep_gateway.http.errors import CODES, TYPE_PREFIX, Failure
from lockstep_gateway.http.messages import Request, Response
from lockstep_gateway.http.negotiation import JSON, is_json
from lockstep_gateway.http.transcoder import Transcoder, UpstreamCall
from protobuf import Registry, message_from_json_value

PROTO: Final = "application/proto"


def connect_rpc(rpc: Rpc) -> Rpc | None:
    """Return an RPC as Connect serves it, at one path; None if Connect does not serve it.

    A file (google.api.HttpBody) has its own form in HTTP, which Connect does not know.
    """
    if rpc.is_stream or HTTP_BODY in (rpc.desc.input.type_name, rpc.desc.output.type_name):
        return None
    rule = MethodRule(access=rpc.rule.access)
    return replace(rpc, rule=rule, bindings=(Binding("POST", rpc.path, parse(rpc.path), WHOLE),))


class ConnectTranscoder(Transcoder):
    """Serve one RPC by the Connect protocol."""

    codings = ("identity", "gzip")
    has_connect_failures = True

    def refusal(self, accept: str) -> str:  # noqa: ARG002 - of another kind of answer
        """Refuse nothing: the answer has the type of the request."""
        return ""

    def wanted_type(self, content_type: str, body: bytes) -> str:  # noqa: ARG002 - as above
        """Say what `Content-Type` must be, if it is not. Connect needs one."""
        if content_type == PROTO or is_json(content_type):
            return ""
        return f"{JSON} or {PROTO}"

    async def serve(
        self, request: Request, path: Mapping[str, str], body: bytes, call: UpstreamCall
    ) -> Response:
        """Make the call. See `Transcoder.serve`."""
        if request.header(b"content-type") != PROTO:
            response = await super().serve(request, path, body, call)
            assert isinstance(response, Response)
            return response
        try:
            message = self.input.type.from_binary(body)
        except (ValueError, TypeError):
            raise BadRequest([("body", f"must be {self.input.type_name} in protobuf")]) from None
        data, headers = await self._call_if(request, message, partial(self._call, request, call))
        self._check_size(data)
        return Response(200, data or b"", dict(headers), PROTO)


def failure_body(failure: Failure, registry: Registry) -> bytes:
    """Write a failure as Connect has it."""
    code = CODES[failure.code].lower().replace("cancelled", "canceled")
    details = [each for detail in failure.details for each in _detail(detail, registry)]
    body = {"code": code, "message": failure.message, "details": details}
    return json.dumps(body, ensure_ascii=False).encode()


def _detail(detail: Mapping[str, Any], registry: Registry) -> Iterator[dict[str, Any]]:
    """Write a detail in binary, without padding. One that has no such form is left out."""
    name = str(detail.get("@type", "")).removeprefix(TYPE_PREFIX)
    shown = {key: value for key, value in detail.items() if key != "@type"}
    described = registry.message(name)
    if described is None:
        # The gateway does not know its type, and has it in binary already.
        if set(shown) == {"value"}:
            yield {"type": name, "value": str(shown["value"]).rstrip("=")}
        return
    try:
        message = message_from_json_value(described.type, shown, registry=registry)
    except (ValueError, TypeError):
        return
    value = base64.b64encode(message.to_binary()).decode().rstrip("=")
    yield {"type": name, "value": value, "debug": shown}
