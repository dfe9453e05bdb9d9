"""HTTP/1.1 as bytes: heads, framings of a body, and requests that are wrong.

A case says which calls the service may see, so that no byte of a body is ever taken for a
request, and no request is done with less than it asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BODY = b'{"one":"x"}'
STORED = b"\xfa\x01\x01x"  # the field `one`
SMUGGLED = b'{"one":"x"}\r\n\r\nDELETE /v1/books/evil HTTP/1.1\r\nHost: x\r\n\r\n'
NEXT = b"GET /v1/books/next HTTP/1.1\r\nHost: x\r\n\r\n"
NEXT_CALL = ("GetBook", b"\n\x04next")


@dataclass(frozen=True)
class Head:
    """A request line and headers. None of them changes what is asked for."""

    name: str
    line: bytes = b"POST /v1/everything HTTP/1.1"
    fields: bytes = b""

    def with_framing(self, framing: Framing) -> bytes:
        fixed = b"\r\nHost: x\r\nContent-Type: application/json\r\n"
        return self.line + fixed + self.fields + framing.fields + b"\r\n"


@dataclass(frozen=True)
class Framing:
    """The framing of a body, and the message that the service gets; None if it gets no call."""

    name: str
    fields: bytes
    body: bytes
    message: bytes | None
    status: int = 200
    is_last: bool = False
    """Whether the connection ends with the answer."""


def chunks(body: bytes, size: int, *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    out = b""
    for start in range(0, len(body), size):
        part = body[start : start + size]
        out += b"%x%s\r\n%s\r\n" % (len(part), extension, part)
    return out + b"0%s\r\n%s\r\n" % (extension, trailer)


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAA\r\n"
WEB_SOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
HEADS = [
    Head("plain"),
    Head("upgrade to HTTP/2", fields=H2C),
    Head("upgrade to WebSocket", fields=WEB_SOCKET),
    Head("upgrade to anything", fields=b"Connection: upgrade\r\nUpgrade: foo/2, bar\r\n"),
    Head("upgrade without connection", fields=b"Upgrade: h2c\r\n"),
    Head("absolute form", line=b"POST http://other:80/v1/everything HTTP/1.1"),
    Head("space around values", fields=b"X-A:\t  a \t\r\nX-B:\r\n"),
    Head("trailers announced", fields=b"TE: trailers\r\nTrailer: Authorization\r\n"),
    Head("continue expected", fields=b"Expect: 100-continue\r\n"),
    Head("a method override", fields=b"X-HTTP-Method-Override: DELETE\r\n"),
]
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LOGIN = b"Authorization: Bearer stolen\r\nAccept: text/html\r\nGrpc-Timeout: bad\r\n"
FRAMINGS = [
    Framing("no body", b"", b"", b""),
    Framing("length 0", b"Content-Length: 0\r\n", b"", b""),
    Framing("length", b"Content-Length: 11\r\n", BODY, STORED),
    Framing("length twice", b"Content-Length: 11\r\nContent-Length: 11\r\n", BODY, STORED),
    Framing("one chunk", CHUNKED, chunks(BODY, 99), STORED),
    Framing("a byte a chunk", CHUNKED, chunks(BODY, 1), STORED),
    Framing("upper case", b"Transfer-Encoding: Chunked\r\n", chunks(BODY, 99), STORED),
    Framing("extensions", CHUNKED, chunks(BODY, 4, extension=b";a=b;c"), STORED),
    Framing("trailers", CHUNKED, chunks(BODY, 4, trailer=LOGIN), STORED),
    Framing("no chunk but trailers", CHUNKED, chunks(b"", 1, trailer=LOGIN), b""),
    Framing(
        "length and chunks",
        b"Content-Length: 3\r\n" + CHUNKED,
        chunks(BODY, 99),
        STORED,
        is_last=True,
    ),
    Framing(
        "a request in the body",
        b"Content-Length: %d\r\n" % len(SMUGGLED),
        SMUGGLED,
        None,
        status=400,
    ),
    Framing("a request in a chunk", CHUNKED, chunks(SMUGGLED, 99), None, status=400),
]


def cuts(head: bytes, body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Cut a request and the next one on its connection into packets."""
    whole = head + body + NEXT
    yield "all at once", [whole]
    yield "after the head", [head, body + NEXT]
    yield "before the end of the head", [head[:-2], whole[len(head) - 2 :]]
    yield "in the body", [head + body[:3], body[3:] + NEXT]
    yield "before the next", [head + body, NEXT]
    yield "in the next", [whole[:-5], whole[-5:]]
    yield "each byte", [whole[i : i + 1] for i in range(len(whole))]


@dataclass(frozen=True)
class Wrong:
    """A request that is refused: by the application, or by the server below it without a body."""

    name: str
    request: bytes
    status: int
    field: str = ""
    """The wrong field that the application names; "" if the server itself refuses."""


GET = b"GET /v1/books/a HTTP/1.1\r\n"
POST = b"POST /v1/everything HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GZIPPED = b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"


def _host(value: bytes) -> bytes:
    return GET + b"Host: " + value + b"\r\n\r\n"


def _target(target: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"


WRONG = [
    Wrong("no host", GET + b"\r\n", 400, "host"),
    Wrong("an empty host", _host(b""), 400, "host"),
    Wrong("a host with a path", _host(b"a/b"), 400, "host"),
    Wrong("a host with a user", _host(b"b@c"), 400, "host"),
    Wrong("a host with a space", _host(b"a b"), 400, "host"),
    Wrong("a host with a bad escape", _host(b"a%zz"), 400, "host"),
    Wrong("a host with a bad port", _host(b"a:b"), 400, "host"),
    Wrong("a port alone", _host(b":80"), 400, "host"),
    Wrong("an open bracket", _host(b"[::1"), 400, "host"),
    Wrong("a list of hosts", _host(b"a, b"), 400, "host"),
    Wrong("two hosts", GET + b"Host: a\r\nHost: b\r\n\r\n", 400, "host"),
    Wrong("one host twice", GET + b"Host: a\r\nHost: a\r\n\r\n", 400, "host"),
    Wrong("authority form", _target(b"a:80"), 400, "url"),
    Wrong("a target without a slash", _target(b"v1"), 400, "url"),
    Wrong("CONNECT", _target(b"a:80", b"CONNECT"), 400, "url"),
    Wrong("a star", _target(b"*"), 400, "url"),
    Wrong("a byte above ASCII", _target(b"/v1/books/\xc3\xa9"), 400, "url"),
    Wrong("a byte above ASCII in the query", _target(b"/v1/books?a=\xff"), 400),
    Wrong("another transfer coding", POST + GZIPPED, 501, "transfer-encoding"),
    Wrong("a bad chunk size", POST + CHUNKED + b"\r\nzz\r\n", 400, "body"),
    Wrong("a negative chunk size", POST + CHUNKED + b"\r\n-1\r\n", 400, "body"),
    Wrong("a chunk without its end", POST + CHUNKED + b"\r\n1\r\n{}0\r\n\r\n", 400, "body"),
    Wrong("no version", b"GET /healthz\r\n\r\n", 400),
    Wrong("version 2.0", b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", 400),
    Wrong("a space in the target", b"GET /v1/books/a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    Wrong("a space before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    Wrong("a folded line", GET + b"Host: x\r\nX: a\r\n b\r\n\r\n", 400),
    Wrong("a NUL", GET + b"Host: x\r\nX: a\0b\r\n\r\n", 400),
    Wrong("two lengths", POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    Wrong("a list of lengths", POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    Wrong("a length with a sign", POST + b"Content-Length: +2\r\n\r\n{}", 400),
    Wrong("chunks in HTTP/1.0", POST.replace(b"/1.1", b"/1.0") + CHUNKED + b"\r\n0\r\n\r\n", 400),
    Wrong("identity", POST + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", 400),
    Wrong("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
]  # fmt: skip

# What never ends: how it begins, and what follows again and again.
ENDLESS = {
    "URL": (b"GET /", b"a"),
    "query": (b"GET /?", b"a=b&"),
    "method": (b"", b"A"),
    "empty lines": (b"", b"\r\n"),
    "spaces in the request line": (b"GET ", b" "),
    "header name": (GET, b"a"),
    "header value": (GET + b"X: ", b"a"),
    "spaces of a value": (GET + b"X:", b" "),
    "headers": (GET, b"a: b\r\n"),
    "chunk size": (POST + CHUNKED + b"\r\n", b"0"),
    "chunk extension": (POST + CHUNKED + b"\r\n1;", b"a"),
    "chunks": (POST + CHUNKED + b"\r\n", b"1\r\n \r\n"),
    "trailer name": (POST + CHUNKED + b"\r\n0\r\n", b"a"),
    "trailer value": (POST + CHUNKED + b"\r\n0\r\nX: ", b"a"),
    "trailers": (POST + CHUNKED + b"\r\n0\r\n", b"a: b\r\n"),
    "body": (POST + b"Content-Length: 999999999999\r\n\r\n", b" "),
}
