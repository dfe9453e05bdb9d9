"""The page that shows the API description, without reaching for any other host."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from services.gateway.http.pages import FixedPage

BUNDLE: Final = "fastapi_swagger"
"""The package that ships Swagger UI; its files are read, its code is not imported."""

HTML: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API description</title>
<link rel="icon" type="image/png" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# Without validatorUrl the page would ask another host whether the document is valid.
START: Final = b"""SwaggerUIBundle({
  url: "/openapi.json",
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


def docs_pages() -> dict[str, FixedPage]:
    """Return the pages by path.

    Raises:
        FileNotFoundError: The package with the bundle is not installed.
    """
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
