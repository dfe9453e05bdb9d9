"""The form of an answer on its way out: common headers, compression, entity tags."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import Final

from lockstep_gateway.http.messages import NO_CONTENT, Request, Response, Send
from lockstep_gateway.http.negotiation import accepts_gzip
from lockstep_gateway.http.pages import COMPRESS_ABOVE_BYTES

GZIP_LEVEL: Final = 4
IN_THREAD_ABOVE_BYTES: Final = 64 * 1024
SECURITY: Final = {
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-cache",
    "vary": "accept, accept-encoding, origin",
}


async def send_response(
    send: Send, request: Request, response: Response, more: Mapping[str, str]
) -> None:
    """Send an answer with these headers besides its own, which win."""
    headers = head_fields(request, response, more)
    body = await _compressed(request, response, headers)
    if response.status not in NO_CONTENT:
        headers["content-type"] = response.content_type
        headers["content-length"] = str(len(body))
    await start(send, response.status, headers)
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


def head_fields(request: Request, response: Response, more: Mapping[str, str]) -> dict[str, str]:
    """Return the header fields of an answer, but for those that follow from its body."""
    headers = {**SECURITY, **more, **response.headers}
    if not request.is_http1:
        headers.pop("connection", None)  # RFC 9113 8.2.2
    if headers.get("location", "").startswith("/"):
        headers["location"] = request.root_path + headers["location"]
    return headers


async def start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Send the head of an answer. A line feed separates lines of one name."""
    raw = [
        (name.encode(), line.encode("latin-1"))
        for name, value in headers.items()
        for line in value.split("\n")
    ]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _compressed(request: Request, response: Response, headers: dict[str, str]) -> bytes:
    body = response.body
    if len(body) <= COMPRESS_ABOVE_BYTES or "content-encoding" in headers:
        return body
    if not accepts_gzip(request.header(b"accept-encoding")):
        return body
    headers["content-encoding"] = "gzip"
    tag = headers.get("etag")
    if tag is not None and not tag.startswith("W/"):
        headers["etag"] = "W/" + tag  # RFC 9110: other bytes need another strong tag.
    if len(body) > IN_THREAD_ABOVE_BYTES:
        return await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL)
    return gzip.compress(body, GZIP_LEVEL, mtime=0)
