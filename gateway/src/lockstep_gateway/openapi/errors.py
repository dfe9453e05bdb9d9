"""The failures in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from lockstep_gateway.http.errors import PHRASES

ERROR_STATUSES: Final = (
    400, 401, 403, 404, 406, 408, 409, 412, 413, 415, 429, 500, 501, 503, 504,
)  # fmt: skip
RETRIED: Final = {"429", "503"}

EXAMPLE: Final = {
    "code": 3,
    "message": "name must be a string",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "INVALID_FIELD",
            "domain": "example",
            "metadata": {},
        },
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "name", "description": "must be a string"}],
        },
    ],
}

_DETAILS: Final = {
    "type": "array",
    "description": "google.rpc.ErrorInfo, and further details such as BadRequest or RetryInfo.",
    "items": {"$ref": "#/components/schemas/Detail"},
}
_CODE: Final = {"type": "integer", "format": "int32", "description": "The gRPC code."}

ERROR_SCHEMAS: Final[dict[str, Any]] = {
    "Detail": {
        "type": "object",
        "description": "A message with the URL of its type.",
        "properties": {"@type": {"type": "string", "description": "The URL of the type."}},
        "required": ["@type"],
        "additionalProperties": True,
    },
    "Status": {
        "type": "object",
        "description": (
            "google.rpc.Status, the shape of every failure. Branch on the reason in its details."
        ),
        "properties": {
            "code": _CODE,
            "message": {"type": "string", "description": "The text for people."},
            "details": _DETAILS,
        },
        "required": ["code", "message", "details"],
    },
    "Problem": {
        "type": "object",
        "description": "The same failure as problem details (RFC 9457), if you accept them.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer", "format": "int32"},
            "detail": {"type": "string"},
            "code": _CODE,
            "details": _DETAILS,
        },
        "required": ["type", "title", "status", "detail", "code", "details"],
    },
}


def error_responses(statuses: Collection[str]) -> dict[str, Any]:
    """Return the responses for `components` with these statuses, and the default."""
    named = {
        str(status): _response(PHRASES[status])
        for status in ERROR_STATUSES
        if str(status) in statuses
    }
    for status in RETRIED & named.keys():
        named[status]["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}}
        }
    return {**named, "default": _response("Another failure")}


def _response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Status"},
                "example": EXAMPLE,
            },
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    }
