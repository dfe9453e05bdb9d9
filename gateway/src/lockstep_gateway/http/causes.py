"""The texts of the statuses that gRPC itself makes, and the cause of each.

grpc.aio does not tell who made a status. One without details may come from the service, from
the gRPC library of its server, or from the channel here. So gRPC's own texts are recognised. A
test provokes each of them again with the installed grpcio.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from grpc import StatusCode


class Cause(Enum):
    """The cause of a status that gRPC itself made."""

    ANSWER_TOO_LARGE = auto()
    REQUEST_TOO_LARGE = auto()
    HEADERS_TOO_LARGE = auto()
    METHOD_MISSING = auto()
    OVERLOADED = auto()
    TRANSPORT = auto()


# The first text that matches decides. The channel here wraps the text of a failure of its own in
# "Stream removed (...)"; the text of a server comes as it is. grpc-go and grpc-java have other
# words than grpcio. The codes that are absent never keep their texts.
_EXHAUSTED: Final = (
    (r"Stream removed \(CLIENT: Received message larger than max", Cause.ANSWER_TOO_LARGE),
    (r"Stream removed \(received metadata size exceeds", Cause.ANSWER_TOO_LARGE),
    (r"SERVER: Sent message larger than max", Cause.ANSWER_TOO_LARGE),
    (r"grpc: trying to send message larger than max", Cause.ANSWER_TOO_LARGE),
    (r"CLIENT: Sent message larger than max", Cause.REQUEST_TOO_LARGE),
    (r"SERVER: Received message larger than max", Cause.REQUEST_TOO_LARGE),
    (r"grpc: received message larger than max", Cause.REQUEST_TOO_LARGE),
    (r"gRPC message exceeds maximum size", Cause.REQUEST_TOO_LARGE),
    (r"received metadata size exceeds", Cause.HEADERS_TOO_LARGE),
    (r"Concurrent RPC limit exceeded!", Cause.OVERLOADED),
    (r"Stream removed \(", Cause.TRANSPORT),
)
_UNIMPLEMENTED: Final = (
    (r"Method not (?:found!|implemented!|found: )", Cause.METHOD_MISSING),
    (r"unknown (?:method|service) ", Cause.METHOD_MISSING),
    (r"Received http2 header with status: ", Cause.TRANSPORT),
)
# A proxy refuses the gateway, not the caller.
_UNAUTHENTICATED: Final = ((r"Received http2 header with status: ", Cause.TRANSPORT),)
_DENIED: Final = (*_UNAUTHENTICATED, (r"Stream removed \(", Cause.TRANSPORT))
TEXTS: Final = {
    StatusCode.RESOURCE_EXHAUSTED: _EXHAUSTED,
    StatusCode.UNIMPLEMENTED: _UNIMPLEMENTED,
    StatusCode.PERMISSION_DENIED: _DENIED,
    StatusCode.UNAUTHENTICATED: _UNAUTHENTICATED,
}


def cause_of(code: StatusCode, text: str) -> Cause | None:
    """Return the cause of a status without details; None if the service may have made it."""
    for pattern, cause in TEXTS.get(code, ()):
        if re.match(pattern, text):
            return cause
    return None
