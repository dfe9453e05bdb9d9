"""The browser client's files fit together."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "clients" / "web"
FIRST = ("app/main.js", "pages/home.js")
PROTOS = FOLDER.parents[1] / "protos"
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
    assert modules == needed("app/main.js", "app/guest-lines.js", *pages)


def test_readers_get_words_of_their_own_for_every_reason_of_the_api() -> None:
    proto = (PROTOS / "lockstep" / "errors" / "v1" / "error_reason.proto").read_text()
    reasons = set(re.findall(r"^  ([A-Z_]+) = [1-9]", proto, re.MULTILINE))
    words = re.findall(r"^  ([A-Z_]+): ", (FOLDER / "ui/words.js").read_text(), re.MULTILINE)
    assert len(reasons) > 50
    assert reasons - set(words) == set()


def test_no_page_shows_the_message_of_an_error_of_the_api() -> None:
    shown = [
        f"{path.name}: {line.strip()}"
        for path in FOLDER.rglob("*.js")
        for line in path.read_text().splitlines()
        if re.search(r"error\.message|String\(error\)", line) and "console" not in line
    ]
    assert shown == []


def test_no_module_gives_elements_a_fixed_id() -> None:
    """Two elements could have it; `uniqueId` of ui/dom.js makes one for each."""
    fixed = [
        f"{path.name}: {line.strip()}"
        for path in FOLDER.rglob("*.js")
        for line in path.read_text().splitlines()
        if re.search(r'h\("[a-z0-9]+", {[^}]*\bid: "|\.id = [`"]', line)
    ]
    assert fixed == []
