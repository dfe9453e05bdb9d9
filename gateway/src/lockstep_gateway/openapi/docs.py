"""The API description, and the page that shows it without a request to another host."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lockstep_gateway.binding.descriptors import Rpc
from lockstep_gateway.http.config import ApiInfo
from lockstep_gateway.http.messages import JSON_TYPE, Request, Response
from lockstep_gateway.http.pages import FixedPage, Page
from lockstep_gateway.openapi.document import OWN_SERVERS, document
from lockstep_gateway.openapi.visibility import Visibility
from protobuf import Registry

BUNDLE: Final = "fastapi_swagger"
"""The package that ships Swagger UI. The gateway reads its files, and imports no code of it."""

PREFIXES_MAX: Final = 16
"""Documents that are kept. An application may take a prefix out of the URL of a request."""

# The links are relative, so that the gateway may be mounted under a prefix.
HTML: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API description</title>
<link rel="icon" type="image/png" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Without validatorUrl the page would ask another host whether the document is valid.
START: Final = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  displayRequestDuration: true,
});
"""
SECURITY: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}


class DocumentPage:
    """An OpenAPI document.

    Args:
        write: Writes the document, when somebody asks for it first.
    """

    def __init__(self, write: Callable[[], dict[str, Any]]) -> None:
        self._write = write
        self._described: dict[str, Any] | None = None
        self._pages: dict[str, FixedPage] = {}

    async def __call__(self, request: Request) -> Response:
        """Answer with the document. Its server is the prefix under which the gateway is mounted."""
        prefix = request.root_path
        page = self._pages.get(prefix)
        if page is None:
            page = await asyncio.to_thread(self._page, prefix)
            if len(self._pages) < PREFIXES_MAX:
                self._pages[prefix] = page
        return await page(request)

    def _page(self, prefix: str) -> FixedPage:
        described = self._described = self._described or self._write()
        if prefix and described["servers"] == OWN_SERVERS:
            described = {**described, "servers": [{"url": quote(prefix)}]}
        return FixedPage(json.dumps(described, ensure_ascii=False).encode(), JSON_TYPE)


def api_pages(
    registry: Registry, rpcs: Sequence[Rpc], *, info: ApiInfo | None = None, ignore_unknown: bool
) -> dict[str, Page]:
    """Return the OpenAPI documents of these RPCs and the pages that show them, by path.

    There is one of all, one for each service, and one for each audience.

    Raises:
        FileNotFoundError: The package with the bundle is not installed.
    """
    facts = info or ApiInfo()
    shown = Visibility(registry, facts.labels).rpcs(rpcs)
    write = partial(
        document, registry, title=_title(shown), info=facts, ignore_unknown=ignore_unknown
    )
    described = write(rpcs, labels=facts.labels)
    pages: dict[str, Page] = {"/openapi.json": DocumentPage(lambda: described)}
    for label in facts.audiences:
        labels = (*facts.labels, label)
        pages[f"/openapi/{label}.json"] = DocumentPage(partial(write, rpcs, labels=labels))
    for service in dict.fromkeys(rpc.desc.parent.type_name for rpc in shown):
        own = [rpc for rpc in shown if rpc.desc.parent.type_name == service]
        pages[f"/openapi/{service}.json"] = DocumentPage(partial(write, own, labels=facts.labels))
    return {**pages, **_docs_pages()}


def _title(rpcs: Sequence[Rpc]) -> str:
    packages = sorted({rpc.desc.parent.type_name.partition(".")[0] for rpc in rpcs})
    return " and ".join(each.capitalize() for each in packages) or "Empty"


def _docs_pages() -> dict[str, Page]:
    folder = _folder()
    css = (folder / "swagger-ui.css").read_bytes()
    script = (folder / "swagger-ui-bundle.js").read_bytes()
    icon = (folder / "favicon-32x32.png").read_bytes()
    return {
        "/docs": FixedPage(HTML, "text/html; charset=utf-8", SECURITY),
        "/docs/start.js": FixedPage(START, "text/javascript; charset=utf-8", SECURITY),
        "/docs/swagger-ui-bundle.js": FixedPage(script, "text/javascript; charset=utf-8", SECURITY),
        "/docs/swagger-ui.css": FixedPage(css, "text/css; charset=utf-8", SECURITY),
        "/docs/favicon.png": FixedPage(icon, "image/png", SECURITY),
    }


def _folder() -> Path:
    spec = importlib.util.find_spec(BUNDLE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {BUNDLE} is not installed")
    return Path(spec.submodule_search_locations[0]) / "resources"
