"""The headers that become metadata, the metadata that becomes headers, and the client's IP.

Only listed names pass, in both directions. Services trust the reserved names, so these never
come in from outside.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.gateway.binding.violations import BadRequest
from services.gateway.http.deadline import READERS

Headers = Sequence[tuple[bytes, bytes]]
Metadata = tuple[tuple[str, str], ...]

REQUEST_ID: Final = "x-request-id"
FORWARDED_FOR: Final = b"x-forwarded-for"
PASSED_OUT: Final = ("location", "retry-after", "etag")
METADATA_PREFIX: Final = "grpc-metadata-"
REQUEST_ID_LENGTH_MAX: Final = 128

# The headers that pass. True: a value that comes twice, or that metadata cannot carry, is the
# caller's error, because the request means something else without it. False: it is left out.
_PASSED_IN: Final = {
    "authorization": True,
    "idempotency-key": True,
    "traceparent": False,
    "tracestate": False,
    "accept-language": False,
}
_JOINED: Final = ("tracestate", "accept-language")
_PRINTABLE = re.compile(rb"[\x20-\x7e]+")
_METADATA_NAME = re.compile(r"[a-z0-9_.-]+")
_OWN_METADATA: Final = ("grpc-", ":")


@dataclass(frozen=True, slots=True)
class Inbound:
    """The facts from a request's headers.

    Attributes:
        metadata: The metadata of the call.
        timeout_seconds: The caller's timeout; None if it sent none.
    """

    metadata: list[tuple[str, str]]
    timeout_seconds: float | None


class HeaderPolicy:
    """Decide which headers pass.

    Args:
        extra: The names of further headers that pass; `grpc-metadata-x` passes as `x`.
        trusted_proxies: The networks whose `x-forwarded-for` is believed.
        reserved: The prefixes of names that only the gateway itself may send.

    Raises:
        ValueError: A name must not pass, or a network is malformed.
    """

    def __init__(
        self,
        extra: Iterable[str] = (),
        trusted_proxies: Iterable[str] = (),
        *,
        reserved: Iterable[str] = (),
    ) -> None:
        refused = (*_OWN_METADATA, *reserved)
        self._targets = {name.encode(): (name, strict) for name, strict in _PASSED_IN.items()}
        for name in extra:
            self._targets[name.lower().encode()] = (_target(name.lower(), refused), False)
        self._readers = {name.encode(): (name, read) for name, read in READERS.items()}
        self._proxies = [ipaddress.ip_network(each) for each in trusted_proxies]

    def inbound(self, headers: Headers) -> Inbound:
        """Read a request's headers.

        Raises:
            BadRequest: A header that matters comes twice, cannot be carried, or is malformed.
        """
        found: dict[str, str] = {}
        timeout: float | None = None
        for name, value in headers:
            target = self._targets.get(name)
            if target is not None:
                _take(found, *target, value)
            elif name in self._readers:
                seconds = self._timeout(name, value)
                timeout = seconds if timeout is None else min(timeout, seconds)
        return Inbound(list(found.items()), timeout)

    def client_ip(self, peer: str, headers: Headers) -> str:
        """Return the client's IP: the peer's, or the one that trusted proxies report."""
        if not self._proxies or not self._is_proxy(peer):
            return peer
        chain = b",".join(value for name, value in headers if name == FORWARDED_FOR)
        for hop in reversed(chain.decode("latin-1").split(",")):
            ip = _ip(hop.strip())
            if ip is None:
                break
            peer = ip
            if not self._is_proxy(ip):
                break
        return peer

    def _timeout(self, name: bytes, value: bytes) -> float:
        text, read = self._readers[name]
        try:
            return read(value.decode("latin-1"))
        except ValueError as error:
            raise BadRequest([(text, str(error))]) from None

    def _is_proxy(self, ip: str) -> bool:
        try:
            parsed = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def request_id(headers: Headers) -> str:
    """Return the caller's request id, or a new one if it cannot be echoed."""
    for name, value in headers:
        if name == b"x-request-id" and len(value) <= REQUEST_ID_LENGTH_MAX:
            return value.decode() if _PRINTABLE.fullmatch(value) else os.urandom(16).hex()
    return os.urandom(16).hex()


def passed_out(metadata: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
    """Return the metadata of an answer that becomes HTTP headers."""
    return {
        key: value
        for key, value in metadata or ()
        if key in PASSED_OUT and isinstance(value, str) and _PRINTABLE.fullmatch(value.encode())
    }


def first(headers: Headers, name: bytes) -> str:
    """Return the values of a header, joined; "" without it."""
    return ", ".join(value.decode("latin-1") for each, value in headers if each == name)


def _take(found: dict[str, str], name: str, strict: bool, value: bytes) -> None:  # noqa: FBT001
    if not _PRINTABLE.fullmatch(value):
        if strict:
            raise BadRequest([(name, "must be printable ASCII")])
    elif name not in found:
        found[name] = value.decode()
    elif name in _JOINED:
        found[name] += "," + value.decode()
    elif strict:
        raise BadRequest([(name, "is given twice")])


def _target(name: str, refused: tuple[str, ...]) -> str:
    target = name.removeprefix(METADATA_PREFIX)
    if (
        not _METADATA_NAME.fullmatch(target)
        or target.startswith(refused)
        or target.endswith("-bin")
        or target in (REQUEST_ID, "connection", "host", "te", "content-type", "user-agent")
    ):
        raise ValueError(f"the header {name} cannot be passed on")
    return target


def _ip(text: str) -> str | None:
    """Read one hop of `x-forwarded-for`: an IP, perhaps with brackets or a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
