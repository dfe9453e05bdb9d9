"""The headers by which a caller limits the time of a call."""

from __future__ import annotations

import re
from typing import Final

GRPC_TIMEOUT: Final = "grpc-timeout"
CONNECT_TIMEOUT: Final = "connect-timeout-ms"
REQUEST_TIMEOUT: Final = "request-timeout"

_GRPC = re.compile(r"([0-9]{1,8})([HMSmun])")
_MILLISECONDS = re.compile(r"[0-9]{1,10}")
_SECONDS = re.compile(r"[0-9]{1,8}(\.[0-9]{1,9})?")
_UNIT_SECONDS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def grpc_timeout_seconds(text: str) -> float:
    """Read the value of `Grpc-Timeout`, such as `500m` (gRPC over HTTP/2, "Timeout").

    Raises:
        ValueError: It is malformed or zero.
    """
    match = _GRPC.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError("must be 1 to 8 digits and a unit: H, M, S, m, u or n")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def request_timeout_seconds(text: str) -> float:
    """Read the value of `Request-Timeout`, decimal seconds such as `2.5`.

    Raises:
        ValueError: It is malformed or zero.
    """
    if not _SECONDS.fullmatch(text) or not float(text):
        raise ValueError("must be a number of seconds above 0")
    return float(text)


def connect_timeout_seconds(text: str) -> float:
    """Read the value of `Connect-Timeout-Ms`, whole milliseconds.

    Raises:
        ValueError: It is malformed or zero.
    """
    if not _MILLISECONDS.fullmatch(text) or not int(text):
        raise ValueError("must be 1 to 10 digits and above 0")
    return int(text) / 1000


READERS: Final = {
    GRPC_TIMEOUT: grpc_timeout_seconds,
    REQUEST_TIMEOUT: request_timeout_seconds,
    CONNECT_TIMEOUT: connect_timeout_seconds,
}
