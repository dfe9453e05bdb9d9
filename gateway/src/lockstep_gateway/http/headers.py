"""The headers that become metadata, the metadata that becomes headers, and the client's IP.

Only listed names pass, in both directions. Services trust the reserved names, so these never
come in from outside.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lockstep_gateway.binding.violations import BadRequest
from lockstep_gateway.http.deadline import READERS
from lockstep_gateway.http.fields import Fields

REQUEST_ID: Final = "x-request-id"
FORWARDED_FOR: Final = b"x-forwarded-for"
PASSED_OUT: Final = ("location", "retry-after", "etag")
METADATA_PREFIX: Final = "grpc-metadata-"
REQUEST_ID_LENGTH_MAX: Final = 128

# The headers that pass. True: a value that metadata cannot carry is the caller's error, because
# the request means something else without it. False: it is left out.
_PASSED_IN: Final = {
    "authorization": True,
    "idempotency-key": True,
    "traceparent": False,
    "tracestate": False,
    "accept-language": False,
}
# The gateway itself reads these headers of a browser's request.
_READ: Final = ("connect-protocol-version", "content-type", "if-match", "if-none-match", REQUEST_ID)
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_METADATA_NAME = re.compile(r"[a-z0-9_.-]+")
_OWN_METADATA: Final = ("grpc-", ":")
# The gateway, or the server below it, sends these itself.
_SENT = re.compile(
    r"grpc-|access-control-|content-|x-request-id$|(?:connection|date|keep-alive|server|te|trailer"
    r"|transfer-encoding|upgrade|vary)$"
)


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
        self._extra = {
            name.encode(): _target(name, refused) for name in (each.lower() for each in extra)
        }
        self._readers = {name.encode(): (name, read) for name, read in READERS.items()}
        self._proxies = [ipaddress.ip_network(each) for each in trusted_proxies]

    @property
    def read(self) -> list[str]:
        """The names of all headers that mean something to the gateway or to services."""
        names = {*self._targets, *self._extra, *self._readers}
        return sorted({*_READ, *(name.decode() for name in names)})

    def inbound(self, fields: Fields) -> Inbound:
        """Read a request's headers.

        Raises:
            BadRequest: A header that matters cannot be carried, or is malformed.
        """
        found: dict[str, str] = {}
        for name, (target, is_strict) in self._targets.items():
            if name in fields and not (name == b"authorization" and not fields.text(name)):
                _take(found, target, fields.text(name), is_strict=is_strict)
        for name, target in self._extra.items():
            if name in fields:
                _take(found, target, fields.joined(name).decode("latin-1"), is_strict=False)
        timeouts = [self._timeout(name, fields) for name in self._readers if name in fields]
        return Inbound(list(found.items()), min(timeouts, default=None))

    def client_ip(self, peer: str, fields: Fields) -> str:
        """Return the client's IP: the peer's, or the one that trusted proxies report."""
        if not self._proxies or not self.is_proxy(peer):
            return peer
        for hop in reversed(fields.text(FORWARDED_FOR).split(",")):
            ip = _ip(hop.strip())
            if ip is None:
                break
            peer = ip
            if not self.is_proxy(ip):
                break
        return peer

    def is_proxy(self, ip: str) -> bool:
        """Return whether a proxy that is trusted has this IP."""
        try:
            parsed = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)

    def _timeout(self, name: bytes, fields: Fields) -> float:
        text, read = self._readers[name]
        try:
            return read(fields.text(name))
        except ValueError as error:
            raise BadRequest([(text, str(error))]) from None


def request_id(fields: Fields) -> str:
    """Return the caller's request id, or a new one if it cannot be echoed."""
    given = fields.text(b"x-request-id")
    if len(given) <= REQUEST_ID_LENGTH_MAX and _PRINTABLE.fullmatch(given):
        return given
    return os.urandom(16).hex()


class OutboundHeaders:
    """Choose the metadata of answers that becomes HTTP headers.

    Args:
        extra: The names beside those that always pass.

    Raises:
        ValueError: A name must not pass, because the gateway itself sends it.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        more = [each.lower() for each in extra]
        for name in more:
            if not _METADATA_NAME.fullmatch(name) or name.endswith("-bin") or _SENT.match(name):
                raise ValueError(f"the header {name} cannot be passed out")
        self.names: Final = tuple(dict.fromkeys((*PASSED_OUT, *more)))

    def __call__(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
        """Return the headers; the lines of one name are separated by line feeds."""
        found: dict[str, str] = {}
        for key, value in metadata or ():
            if key in self.names and isinstance(value, str) and _PRINTABLE.fullmatch(value):
                is_list = key in found and key not in PASSED_OUT
                found[key] = f"{found[key]}\n{value}" if is_list else value
        return found


def _take(found: dict[str, str], name: str, value: str, *, is_strict: bool) -> None:
    if _PRINTABLE.fullmatch(value):
        found[name] = value
    elif is_strict:
        raise BadRequest([(name, "must be printable ASCII")])


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
