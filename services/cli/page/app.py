"""The local page: a Starlette application that only reads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from services.cli.page import texts
from services.cli.page.logs import LEVELS, LogEntry, last_entries
from services.cli.page.looks import Looks
from services.cli.page.mails import MailBox
from services.cli.page.safety import HOSTS, MAIL, POLICY, SafeHeaders
from services.cli.sagas import STATES

STATIC: Final = Path(__file__).parent / "static"
ERRORS_MAX: Final = 100
PARKED: Final = "parked"
OVERVIEW_SECONDS: Final = 5
# Each look asks the services, and each call is a line in their logs.
SAGAS_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class PagePlaces:
    """Where the page finds things.

    Attributes:
        home: The data folder.
        gateway: The URL of the gateway.
        has_shop: Whether the gateway serves the shop.
        has_sink: Whether mail goes to the sink.
    """

    home: Path
    gateway: str
    has_shop: bool
    has_sink: bool


class LocalPage:
    """Serves the views.

    Args:
        places: Where the page finds things.
    """

    def __init__(self, places: PagePlaces) -> None:
        self._places: Final = places
        self._looks: Final = Looks()
        self._mails: Final = MailBox(places.home / "mail")
        self._templates: Final = texts.environment()

    def application(self) -> Starlette:
        """Return the application. Every route has GET alone."""
        routes: list[Route | Mount] = [
            Route("/", self.overview),
            Route("/sagas", self.sagas),
            Route("/sagas/{saga_id:uuid}", self.saga),
            Route("/errors", self.errors),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        if self._places.has_sink:
            routes += [
                Route("/mail", self.mails),
                Route("/mail/{name}", self.mail),
                Route("/mail/{name}/html", self.mail_html),
            ]
        return Starlette(
            routes=routes,
            middleware=[
                Middleware(SafeHeaders),
                Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
            ],
            exception_handlers={HTTPException: self.refused},
        )

    async def overview(self, _request: Request) -> Response:
        """Show what runs, and what is wrong."""
        from services.cli import standing, status

        processes, checks = await asyncio.gather(self._looks.processes(), self._looks.checks())
        running, endpoints = processes.found or ([], [])
        wrong = standing.troubles(running, checks.found or [])
        unknown = [each.trouble for each in (processes, checks) if each.trouble]
        return self._page(
            "overview",
            refresh=OVERVIEW_SECONDS,
            wrong=wrong + unknown,
            processes=running,
            checks=checks.found or [],
            endpoints=endpoints,
            fact=status.fact,
            size=status.size_text,
            span=status.span,
        )

    async def sagas(self, request: Request) -> Response:
        """List the newest sagas; `state` chooses."""
        asked = request.query_params.get("state", "")
        if asked not in ("", PARKED, *STATES):
            raise HTTPException(404, "There is no such state.")
        state = asked if asked in STATES else None
        seen = await self._looks.sagas(state=state, parked=asked == PARKED)
        return self._page(
            "sagas", refresh=SAGAS_SECONDS, seen=seen, state=asked, states=(*STATES, PARKED)
        )

    async def saga(self, request: Request) -> Response:
        """Show a saga, its steps, and what the logs say of it."""
        saga_id: UUID = request.path_params["saga_id"]
        seen, steps, entries = await asyncio.gather(
            self._looks.saga(saga_id),
            self._looks.steps(saga_id),
            self._entries(level="info", text=str(saga_id)),
        )
        return self._page(
            "saga", refresh=SAGAS_SECONDS, id=saga_id, seen=seen, steps=steps, entries=entries
        )

    async def mails(self, request: Request) -> Response:
        """List the newest mail; `to` chooses by address."""
        to = request.query_params.get("to", "").strip()
        found = await asyncio.to_thread(self._mails.newest, to)
        return self._page("mails", refresh=OVERVIEW_SECONDS, mails=found, to=to)

    async def mail(self, request: Request) -> Response:
        """Show a mail as it looks."""
        found = await asyncio.to_thread(self._mails.find, request.path_params["name"])
        if found is None:
            raise HTTPException(404, "There is no such mail: the sink may have deleted it.")
        return self._page("mail", mail=found)

    async def mail_html(self, request: Request) -> Response:
        """Show the HTML of a mail, for a frame."""
        found = await asyncio.to_thread(self._mails.find, request.path_params["name"])
        if found is None or found.html is None:
            raise HTTPException(404, "There is no such mail, or it has no HTML.")
        return HTMLResponse(found.html, headers={POLICY: MAIL})

    async def errors(self, request: Request) -> Response:
        """Show the last errors, or also the warnings, of all logs."""
        level = request.query_params.get("level", LEVELS[-1])
        if level not in LEVELS:
            raise HTTPException(404, "There is no such level.")
        entries = await self._entries(level=level)
        return self._page("errors", refresh=OVERVIEW_SECONDS, entries=entries, level=level)

    async def refused(self, _request: Request, error: Exception) -> Response:
        """Say why there is no such page."""
        assert isinstance(error, HTTPException)
        return self._page("refused", status=error.status_code, error=error)

    async def _entries(self, *, level: str, text: str = "") -> list[LogEntry]:
        look = partial(last_entries, level=level, text=text, most=ERRORS_MAX)
        return await asyncio.to_thread(look, self._places.home / "logs")

    def _page(self, view: str, *, refresh: int = 0, status: int = 200, **facts: Any) -> Response:
        template = self._templates.get_template(f"{view}.html")
        text = template.render(
            view=view,
            refresh=refresh,
            places=self._places,
            now=datetime.now(UTC),
            saga_tone=texts.saga_tone,
            **facts,
        )
        return HTMLResponse(text, status)
