"""The browser client's files fit together."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "clients" / "web"
FIRST = ("app/main.js", "pages/products.js")
IMPORT = re.compile(r'^(?:import|export)\b(?:[^;"]*?\bfrom)?\s*"(\.[^"]+)"', re.MULTILINE)


def needed(*paths: str) -> set[str]:
    """Return the modules that these import, at once or through others."""
    found: set[str] = set()
    left = list(paths)
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            folder = posixpath.dirname(path)
            names = IMPORT.findall((FOLDER / path).read_text())
            left += [posixpath.normpath(f"{folder}/{name}") for name in names]
    return found


def test_the_index_preloads_every_module_of_the_first_page_and_no_other() -> None:
    index = (FOLDER / "index.html").read_text()
    preloaded = re.findall(r'rel="modulepreload" href="([^"]+)"', index)
    assert sorted(preloaded) == sorted(needed(*FIRST))


def test_every_module_is_needed_by_a_page() -> None:
    pages = re.findall(r'import\("\.\./([^"]+)"\)', (FOLDER / "app/main.js").read_text())
    modules = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js")}
    assert modules == needed("app/main.js", *pages)
