"""The files of a browser client, served beside the API."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote

from lockstep_gateway.http.messages import Request, Scope, Send
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

INDEX: Final = "index.html"
SECURITY: Final = {
    "content-security-policy": (
        # The owners of pictures keep them on any host.
        "default-src 'self'; img-src 'self' https: http: data:; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


class StaticSite:
    """Serve the files of a folder; `/` is `index.html`.

    Raises:
        RuntimeError: The folder does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._files = StaticFiles(directory=folder)

    async def serve(
        self, scope: Scope, request: Request, send: Send, headers: dict[str, str]
    ) -> int | None:
        """Send a file and return the status; send nothing and return None without such a file."""
        path = unquote(request.raw_path).lstrip("/") or INDEX
        try:
            response = await self._files.get_response(path, scope)
        except HTTPException:
            return None
        for name, value in {**SECURITY, **headers}.items():
            response.headers[name] = value
        await response(scope, request.receive, send)
        return response.status_code
