"""The rules of HTTP that a server leaves to the application (RFC 9110, RFC 9112).

Every request passes here first, so nothing behind it meets a request that breaks them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from lockstep_gateway.http.config import HeadLimits
from lockstep_gateway.http.errors import Failures
from lockstep_gateway.http.messages import Request

EVERYTHING: Final = "*"
"""The target of an OPTIONS request about the server as a whole (RFC 9110 9.3.7)."""
CHUNKED: Final = "chunked"

_HOST = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?"
)
_VISIBLE = re.compile(r"[\x21-\x7e]*")
_WITHOUT_HOST: Final = ("1", "1.0")


class Door:
    """Refuse requests that are too long or break the rules of HTTP.

    Args:
        limits: The limits of the head.
        failures: The factory of failures.
    """

    def __init__(self, limits: HeadLimits, failures: Failures) -> None:
        self._limits = limits
        self._failures = failures

    def check(self, request: Request) -> None:
        """Let a request pass.

        Raises:
            Failure: It must not pass.
        """
        self._check_length(request)
        coding = request.header(b"transfer-encoding").strip().lower()
        if coding not in ("", CHUNKED):
            reason = [("transfer-encoding", f"must be {CHUNKED}")]
            raise self._failures.invalid(reason, status=HTTPStatus.NOT_IMPLEMENTED)
        wrong = [*_wrong(request)]
        if wrong:
            raise self._failures.invalid(wrong)

    def _check_length(self, request: Request) -> None:
        limits = self._limits
        size = len(request.root_path) + len(request.raw_path) + 1 + len(request.query)
        if size > limits.url_bytes:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "url", limits.url_bytes)
        size = sum(len(name) + len(value) for name, value in request.fields.lines)
        if size > limits.header_bytes:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(status, "headers", limits.header_bytes)

    def _refuse(self, status: HTTPStatus, field: str, bytes_max: int) -> None:
        reason = f"must be at most {bytes_max} bytes long"
        raise self._failures.invalid([(field, reason)], status=status)


def _wrong(request: Request) -> Iterator[tuple[str, str]]:
    for name in request.fields.refused():
        yield name, "must be given once"
    path = request.raw_path
    if not path.startswith("/") and (request.method, path) != ("OPTIONS", EVERYTHING):
        yield "url", "must begin with a slash"
    if not _VISIBLE.fullmatch(path) or not _VISIBLE.fullmatch(request.query.decode("latin-1")):
        yield "url", "must be ASCII: escape all other characters with %"
    host = request.header(b"host")
    if not host and request.version in _WITHOUT_HOST:
        return
    if b"host" not in request.fields.repeated and not _HOST.fullmatch(host):
        yield "host", "must be the host of the URL, and its port if there is one"
