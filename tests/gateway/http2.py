"""A server that answers each gRPC call with the HTTP/2 frames of a test."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4

GRPC = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]

Script = Callable[[int], bytes]
"""Takes the stream of a call and returns the frames to send. Empty: the connection closes."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    length = len(payload).to_bytes(3, "big")
    return length + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def headers(stream: int, fields: list[tuple[str, str]], *, end: bool = False) -> bytes:
    """Write a block of literal fields (RFC 7541, 6.2.2)."""
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def message(stream: int, data: bytes, *, flag: int = 0, end: bool = False) -> bytes:
    prefixed = struct.pack("!BI", flag, len(data)) + data
    return frame(DATA, END_STREAM if end else 0, stream, prefixed)


def reset(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack("!I", code))


def goaway(code: int, text: str) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack("!II", 0, code) + text.encode())


def unimplemented(stream: int) -> bytes:
    return headers(stream, [*GRPC, ("grpc-status", "12")], end=True)


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """Serve the script on a free port; give the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(PREFACE))
            writer.write(frame(SETTINGS, 0, 0))
            while await _answer(reader, writer, script):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, script: Script
) -> bool:
    head = await reader.readexactly(9)
    kind, flags = head[3], head[4]
    payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
    if kind in (SETTINGS, PING) and not flags & ACK:
        writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
    if kind == HEADERS:
        stream = int.from_bytes(head[5:], "big")
        # A server without a health service counts as healthy.
        frames = unimplemented(stream) if b"health.v1" in payload else script(stream)
        writer.write(frames)
        return bool(frames)
    return True


def _text(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    if size < 127:
        return bytes([size]) + data
    prefix, size = bytes([127]), size - 127
    while size >= 128:
        prefix += bytes([size % 128 + 128])
        size //= 128
    return prefix + bytes([size]) + data
