"""The sources of what is served: the upstreams themselves, or a file of descriptors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from lockstep_gateway.binding import descriptors
from lockstep_gateway.binding.descriptors import DescriptorError
from lockstep_gateway.discovery.files import ConflictError, FileSet
from lockstep_gateway.discovery.reflection import Described, ReflectionError, describe
from lockstep_gateway.http.upstream import Upstream, UpstreamError, tls_credentials
from protobuf import Registry

ASK_SECONDS: Final = 5.0
_SERVICE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Found:
    """What can be served now.

    Attributes:
        registry: The descriptors.
        upstreams: The upstream of each service, by its full name.
        waiting: The reasons why an upstream is not served yet, by its name.
    """

    registry: Registry
    upstreams: Mapping[str, Upstream]
    waiting: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Tells what can be served."""

    async def find(self, *, anew: bool = False) -> Found:
        """Find it.

        Args:
            anew: Whether to ask also for what is known already.

        Raises:
            DescriptorError: It cannot be told.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """An upstream as the command gets it: all services of a target, or one of them."""

    upstream: Upstream
    service: str = ""


def read_places(given: Iterable[str], *, ca: str | None = None) -> tuple[Place, ...]:
    """Read texts such as `host:port` and `full.Service=host:port`.

    Args:
        given: The texts.
        ca: A file of certificates to trust, or `system`; None for plaintext.

    Raises:
        UpstreamError: A text is malformed.
        OSError: The certificates cannot be read.
    """
    tls = tls_credentials(ca)
    found = []
    for each in given:
        service, separator, target = each.rpartition("=")
        if not target or (separator and not _SERVICE.fullmatch(service)):
            raise UpstreamError(f"{each!r} must be host:port or full.Service=host:port")
        found.append(Place(Upstream(target, target, tls=tls), service))
    return tuple(found)


class FileSource:
    """Serve what a file of descriptors has.

    Args:
        path: The file, a FileDescriptorSet with imports.
        places: The upstreams. One of them may be without a service: it has all others.

    Raises:
        UpstreamError: Several upstreams are without a service.
    """

    def __init__(self, path: Path, places: Sequence[Place]) -> None:
        self._path = path
        self._named = {each.service: each.upstream for each in places if each.service}
        rest = [each.upstream for each in places if not each.service]
        if len(rest) > 1:
            raise UpstreamError(
                "with descriptors, all upstreams but one must be full.Service=host:port"
            )
        self._rest = rest[0] if rest else None

    async def find(self, *, anew: bool = False) -> Found:  # noqa: ARG002 - a file is always read
        """Read the file."""
        try:
            registry = descriptors.load(await asyncio.to_thread(self._path.read_bytes))
        except OSError as error:
            raise DescriptorError(f"{self._path}: {error.strerror}") from None
        except DescriptorError as error:
            raise DescriptorError(f"{self._path}: {error}") from None
        upstreams = dict(self._named)
        if self._rest is not None:
            names = [each.type_name for each in descriptors.services(registry)]
            upstreams = dict.fromkeys(names, self._rest) | upstreams
        return Found(registry, upstreams)


class ReflectionSource:
    """Serve what the upstreams themselves describe by server reflection.

    Args:
        places: The upstreams.
        ask_seconds: The longest time to ask one of them.
    """

    def __init__(self, places: Iterable[Place], *, ask_seconds: float = ASK_SECONDS) -> None:
        self._places = tuple(places)
        self._ask_seconds = ask_seconds
        self._described: dict[Upstream, Described] = {}
        self._unknown = {each.upstream for each in self._places}

    async def find(self, *, anew: bool = False) -> Found:
        """Ask those upstreams that have not described themselves yet.

        What an upstream has said before counts until it says something else.
        """
        if anew:
            self._unknown = {each.upstream for each in self._places}
        asked = list(self._unknown)
        answers = await asyncio.gather(*(self._ask(each) for each in asked))
        waiting = {each.name: why for each, why in zip(asked, answers, strict=True) if why}
        files, upstreams = FileSet(), dict[str, Upstream]()
        for place in self._places:
            described = self._described.get(place.upstream)
            if described is None:
                continue
            reason = _add(files, upstreams, place, described)
            if reason:
                waiting[place.upstream.name] = reason
        registry = await asyncio.to_thread(descriptors.load, files.serialized())
        return Found(registry, upstreams, waiting)

    async def _ask(self, upstream: Upstream) -> str:
        """Ask an upstream; return why it could not be asked, or nothing."""
        try:
            self._described[upstream] = await describe(upstream, seconds=self._ask_seconds)
        except ReflectionError as error:
            return str(error)
        self._unknown.discard(upstream)
        return ""


def _add(files: FileSet, upstreams: dict[str, Upstream], place: Place, described: Described) -> str:
    """Add the services of a place; return why that cannot be, or nothing."""
    services = [each for each in described.services if place.service in ("", each)]
    if not services:
        return f"it has no service {place.service}" if place.service else "it has no service"
    taken = [each for each in services if each in upstreams and not place.service]
    if taken:
        other = upstreams[taken[0]].name
        return f"it has {taken[0]}, as {other} has: name the one to call, {taken[0]}=host:port"
    try:
        files.add(described.files)
    except ConflictError as error:
        return str(error)
    upstreams.update(dict.fromkeys(services, place.upstream))
    return ""
