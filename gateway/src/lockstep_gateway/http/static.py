"""The files of a browser client, served beside the API.

They are read and compressed once, when the gateway starts. `index.html` names them at addresses
that change with their content, so a browser keeps them and asks again for `index.html` alone.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from lockstep_gateway.http.config import INDEX
from lockstep_gateway.http.messages import Request, Scope, Send, kept_for
from lockstep_gateway.http.pages import FixedPage
from lockstep_gateway.http.sending import send_response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

# Larger files are read when a browser asks for them, and in parts if it wants parts.
KEPT_BYTES_MAX: Final = 1024 * 1024
POLICY: Final = (
    "default-src 'self'; img-src {}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
ASK_AGAIN: Final = {"cache-control": "no-cache"}
# A browser asks for such a file once, also when its user reloads the page (RFC 8246).
FOR_EVER: Final = kept_for(365 * 24 * 3600)
# The same on every system, where `mimetypes` follows the files of the system.
TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".webp": "image/webp"}

_VERSIONED: Final = re.compile(r"_/([0-9a-f]{16})/(.+)")
# What `index.html` names by a relative address.
_REFERENCE: Final = re.compile(r'\b(src|href)="([^":/?#][^":?#]*)"')
_STYLESHEET: Final = r'<link rel="stylesheet" href="([^":/?#][^":?#]*)">'
_STYLESHEETS: Final = re.compile(rf"{_STYLESHEET}(?:\s*{_STYLESHEET})+")


class StaticSite:
    """Serve the files of a folder; `/` is `index.html`.

    `_/<version>/<path>` is the file `<path>` as well. A browser keeps it for ever if the version
    is the present one. Under another version, which a page of another release names, it gets the
    present file and asks again the next time.

    Args:
        folder: The folder.
        image_hosts: The hosts whose pictures the pages may show; another one would be told the
            address of every visitor.

    Raises:
        RuntimeError: The folder does not exist.
    """

    def __init__(self, folder: Path, image_hosts: Sequence[str] = ()) -> None:
        self._security = {
            "content-security-policy": POLICY.format(" ".join(("'self'", *image_hosts))),
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        self._others = StaticFiles(directory=folder)
        contents = _read(folder)
        self._version = _version_of(contents)
        if index := contents.get(INDEX):
            contents[INDEX] = _with_addresses(index, contents, self._version)
        self._pages = {
            path: FixedPage(content, _type_of(path), self._security)
            for path, content in contents.items()
        }

    async def serve(
        self, scope: Scope, request: Request, send: Send, headers: dict[str, str]
    ) -> int | None:
        """Send a file and return the status; send nothing and return None without such a file."""
        path = unquote(request.raw_path).lstrip("/") or INDEX
        caching = ASK_AGAIN
        if versioned := _VERSIONED.fullmatch(path):
            version, path = versioned.groups()
            caching = FOR_EVER if version == self._version else ASK_AGAIN
        page = self._pages.get(path)
        if page is None:
            return await self._serve_other(path, scope, request, send, headers | caching)
        response = await page(request)
        response.headers |= caching
        await send_response(send, request, response, headers)
        return response.status

    async def _serve_other(
        self, path: str, scope: Scope, request: Request, send: Send, headers: Mapping[str, str]
    ) -> int | None:
        try:
            response = await self._others.get_response(path, scope)
        except HTTPException:
            return None
        for name, value in {**self._security, **headers}.items():
            response.headers[name] = value
        await response(scope, request.receive, send)
        return response.status_code


def _read(folder: Path) -> dict[str, bytes]:
    """Return the content of the files of a folder, without those that are large or outside."""
    inside = folder.resolve()
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.resolve().is_relative_to(inside)
        and path.stat().st_size <= KEPT_BYTES_MAX
    }


def _version_of(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, content in contents.items():
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _with_addresses(index: bytes, contents: dict[str, bytes], version: str) -> bytes:
    """Let `index.html` name its files by the version, and stylesheets in a row as one."""

    def joined(found: re.Match[str]) -> str:
        paths = re.findall(_STYLESHEET, found[0])
        folders = {PurePosixPath(path).parent for path in paths}
        if len(folders) > 1 or not contents.keys() >= set(paths):
            return found[0]  # what a stylesheet names is relative to its folder
        name = "+".join(PurePosixPath(path).stem for path in paths) + ".css"
        path = (folders.pop() / name).as_posix()
        contents[path] = b"\n".join(contents[each] for each in paths)
        return f'<link rel="stylesheet" href="{path}">'

    def versioned(found: re.Match[str]) -> str:
        name, path = found.groups()
        return f'{name}="_/{version}/{path}"' if path in contents else found[0]

    text = _STYLESHEETS.sub(joined, index.decode(errors="surrogateescape"))
    return _REFERENCE.sub(versioned, text).encode(errors="surrogateescape")


def _type_of(path: str) -> str:
    known = TYPES.get(PurePosixPath(path).suffix) or mimetypes.guess_type(path)[0]
    found = known or "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
