"""The API description, and the page that shows it without a request to another host."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lockstep_gateway.binding.descriptors import Rpc
from lockstep_gateway.http.config import ApiInfo
from lockstep_gateway.http.pages import FixedPage
from lockstep_gateway.openapi.document import document
from protobuf import Registry

BUNDLE: Final = "fastapi_swagger"
"""The package that ships Swagger UI. The gateway reads its files, and imports no code of it."""

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


def api_pages(
    registry: Registry, rpcs: Sequence[Rpc], *, info: ApiInfo | None = None, ignore_unknown: bool
) -> dict[str, FixedPage]:
    """Return the OpenAPI document of these RPCs and the pages that show it, by path.

    Raises:
        FileNotFoundError: The package with the bundle is not installed.
    """
    described = document(
        registry, rpcs, title=_title(rpcs), info=info, ignore_unknown=ignore_unknown
    )
    text = json.dumps(described, ensure_ascii=False)
    return {"/openapi.json": FixedPage(text.encode(), "application/json"), **_docs_pages()}


def _title(rpcs: Sequence[Rpc]) -> str:
    packages = sorted({rpc.desc.parent.type_name.partition(".")[0] for rpc in rpcs})
    return " and ".join(each.capitalize() for each in packages) or "Empty"


def _docs_pages() -> dict[str, FixedPage]:
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
