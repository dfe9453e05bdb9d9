"""The pools of connections that a service's process has with its database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from opentelemetry.trace import Tracer

from services.common.standby_place import StandbyPlace
from services.kernel.db.costly import CostlyApart
from services.kernel.db.database import Database, Observer, Reader
from services.kernel.db.limits import LIMITS, SessionRules
from services.kernel.db.standby import Marks, Standby
from services.kernel.db.traced import TracedDatabase

BACKGROUND_CONNECTIONS: Final = 3
LEASE_CONNECTIONS: Final = 1
PUBLIC_CONNECTIONS: Final = 5
# While one search looks through rows, the other cores of a server are for everybody else.
SEARCH_CONNECTIONS: Final = 1
SEARCHES_WAITING: Final = 100
# A page that a stranger may ask for costs a bounded amount. The server ends what costs more.
PUBLIC_LIMITS: Final = replace(LIMITS, statement_seconds=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Pools of connections to one database, so that one kind of work cannot stop another.

    Attributes:
        requests: For requests.
        background: For all work that no caller waits for.
        leases: For the leases of sagas, which run out unless they are renewed in time.
        public: For reads that strangers may ask for.
        searches: For those of them that may look through many rows.
        standby: For those of them that leave the primary; None: all stay there.
    """

    requests: Database
    background: Database
    leases: Database
    public: Database
    searches: Database
    standby: Standby | None = None

    @property
    def reads_of_strangers(self) -> Reader:
        """What makes such reads: the costly ones apart, so that they cannot take all cores."""
        return CostlyApart(self.public, self.searches)

    def by_name(self) -> Mapping[str, Database]:
        """Return the pools by name. One that serves several purposes has its first name."""
        named = {
            "requests": self.requests,
            "background": self.background,
            "leases": self.leases,
            "public": self.public,
            "searches": self.searches,
            **({} if self.standby is None else {"standby": self.standby}),
        }
        seen = dict[int, str]()
        return {
            name: each for name, each in named.items() if seen.setdefault(id(each), name) == name
        }


def pools(
    url: str,
    *,
    name: str,
    standby: StandbyPlace | None = None,
    connections: int,
    rules: SessionRules,
    options: str = "",
    observer: Observer | None = None,
    has_background: bool = False,
    has_public_reads: bool = False,
    tracer: Tracer | None = None,
) -> Pools:
    """Return the pools of a service.

    Args:
        url: The URL of the service's database.
        name: The name of the service.
        standby: The standbys; None: there are none to read at.
        connections: The most connections for requests.
        rules: How sessions begin.
        options: Further options of the sessions, except those of the background (libpq).
        observer: The observer of the databases.
        has_background: Whether work in the background, and leases, have connections of their own.
        has_public_reads: Whether reads of strangers have connections of their own.
        tracer: Makes spans of transactions; None: there are none.
    """
    traced = Database if tracer is None else partial(TracedDatabase, tracer=tracer)
    opening = partial(traced, url, name=name, observer=observer, rules=rules)
    requests = opening(connections=connections, options=options)
    background = opening(connections=BACKGROUND_CONNECTIONS) if has_background else requests
    # A pooler's sessions have the limits of the role: they cannot have shorter ones.
    reading = partial(opening, options=options, limits=LIMITS if rules.is_pooled else PUBLIC_LIMITS)
    return Pools(
        requests=requests,
        background=background,
        leases=opening(connections=LEASE_CONNECTIONS) if has_background else requests,
        public=reading(connections=PUBLIC_CONNECTIONS) if has_public_reads else requests,
        searches=reading(connections=SEARCH_CONNECTIONS, waiting=SEARCHES_WAITING)
        if has_public_reads
        else requests,
        standby=_standby(
            standby, background, name=name, observer=observer, rules=rules, options=options
        ),
    )


def _standby(
    place: StandbyPlace | None, primary: Database, *, rules: SessionRules, **more: Any
) -> Standby | None:
    """Return the pool of connections to the standbys of a primary, if it has any."""
    if place is None:
        return None
    return Standby(
        place.url,
        marks=Marks(primary, place.behind_seconds),
        connections=PUBLIC_CONNECTIONS,
        # Behind a pooler a connection would lead to another server each time.
        rules=replace(rules, is_pooled=False),
        **more,
    )
