"""The gateway as an ASGI application: routes, limits, and the form of answers."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import structlog

from services.gateway.binding.routes import BadPathError, Match, OtherMethods, Router
from services.gateway.binding.violations import BadRequest
from services.gateway.http.config import Limits
from services.gateway.http.cors import Cors
from services.gateway.http.errors import Failure, Failures
from services.gateway.http.headers import REQUEST_ID, HeaderPolicy, request_id
from services.gateway.http.messages import (
    NO_CONTENT,
    ClientGone,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    TooLarge,
    TooSlow,
)
from services.gateway.http.negotiation import JSON, PROBLEM, accepts, accepts_gzip, is_json
from services.gateway.http.pages import COMPRESS_ABOVE_BYTES, Page
from services.gateway.http.static import StaticSite
from services.gateway.http.transcoder import Transcoder, UpstreamCall

GZIP_LEVEL: Final = 4
DISCARD_TIMES: Final = 8
DISCARD_SECONDS: Final = 2.0
IN_THREAD_ABOVE_BYTES: Final = 64 * 1024
CLIENT_CLOSED: Final = 499
SECURITY: Final = {"x-content-type-options": "nosniff", "cache-control": "private, no-cache"}
GRPC_TYPE: Final = "application/grpc"

log = structlog.get_logger("lockstep.gateway")


@dataclass(slots=True)
class Trace:
    """The facts about a request that the access log tells."""

    request_id: str
    route: str = ""
    started: float = field(default_factory=time.perf_counter)


@dataclass(slots=True, eq=False, kw_only=True)
class Gateway:
    """Serve HTTP.

    Attributes:
        router: The bindings by method and path.
        failures: The factory of failures.
        headers: The policy of headers.
        limits: The limits of requests.
        pages: The gateway's own pages by path.
        cors: The policy of cross-origin requests.
        site: The files of a browser client, for paths that are neither a route nor a page.
    """

    router: Router[Transcoder]
    failures: Failures
    headers: HeaderPolicy
    limits: Limits
    pages: Mapping[str, Page]
    cors: Cors
    site: StaticSite | None
    _running: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        request = Request.of(scope, receive)
        trace = Trace(request_id(request.headers))
        status = CLIENT_CLOSED
        try:
            response = await self._respond(request, trace)
            if response is None:
                status = await self._serve_site(scope, receive, send, request, trace)
            else:
                status = response.status
                await self._send(send, request, trace, response)
        except ClientGone:
            pass
        finally:
            log.info(
                "request",
                method=request.method,
                route=trace.route or request.raw_path[:200],
                status=status,
                ms=round((time.perf_counter() - trace.started) * 1000, 2),
                request_id=trace.request_id,
            )

    async def _respond(self, request: Request, trace: Trace) -> Response | None:
        """Return the response, also of a failure; None if the site may have the path."""
        try:
            return await self._dispatch(request, trace)
        except Failure as failure:
            return self._failed(request, failure)
        except BadRequest as error:
            return self._failed(request, self.failures.invalid(error.fields))
        except ClientGone:
            raise
        except Exception:
            log.exception("unexpected", request_id=trace.request_id, route=trace.route)
            return self._failed(request, self.failures.internal())

    async def _dispatch(self, request: Request, trace: Trace) -> Response | None:
        page = self.pages.get(request.raw_path)
        if page is not None:
            trace.route = request.raw_path
            return await self._serve_page(request, page)
        try:
            found = self.router.find(request.method, request.raw_path)
        except BadPathError as error:
            raise BadRequest([("path", str(error))]) from None
        if isinstance(found, Match) and not self.cors.is_preflight(request):
            trace.route = found.target.path
            return await self._serve_within_limit(request, trace, found)
        if found is None:
            if self.site is not None and request.method in ("GET", "HEAD"):
                return None
            raise self.failures.no_route()
        methods = found.methods if isinstance(found, OtherMethods) else {"*"}
        return self._answer_options(request, _with_implied(methods))

    def _answer_options(self, request: Request, methods: Collection[str]) -> Response:
        if request.method != "OPTIONS":
            raise self.failures.not_allowed(methods)
        response = Response(204)
        if self.cors.is_preflight(request):
            response = self.cors.preflight(methods)
        response.headers["allow"] = ", ".join(sorted(methods))
        return response

    async def _serve_page(self, request: Request, page: Page) -> Response:
        if request.method not in ("GET", "HEAD"):
            return self._answer_options(request, _with_implied({"GET"}))
        return await page(request)

    async def _serve_within_limit(
        self, request: Request, trace: Trace, found: Match[Transcoder]
    ) -> Response:
        if self._running >= self.limits.requests:
            raise self.failures.too_many()
        self._running += 1
        try:
            return await self._serve_rpc(request, trace, found)
        finally:
            self._running -= 1

    async def _serve_rpc(
        self, request: Request, trace: Trace, found: Match[Transcoder]
    ) -> Response:
        if not accepts(request.header(b"accept"))[0]:
            raise self.failures.invalid([("Accept", f"must allow {JSON}")], status=406)
        inbound = self.headers.inbound(request.headers)
        body = await self._read_body(request)
        wanted = inbound.timeout_seconds or self.limits.call_seconds
        client_ip = self.headers.client_ip(request.peer, request.headers)
        metadata = [
            *inbound.metadata,
            (REQUEST_ID, trace.request_id),
            *found.target.upstream.proof(client_ip),
        ]
        call = UpstreamCall(metadata, min(wanted, self.limits.call_seconds))
        return await found.target.serve(request, found.values, body, call)

    async def _read_body(self, request: Request) -> bytes:
        content_type = request.header(b"content-type")
        if content_type.startswith(GRPC_TYPE):
            raise self._unsupported()
        if request.header(b"content-encoding") not in ("", "identity"):
            raise self.failures.invalid(
                [("Content-Encoding", "must be absent: send the body uncompressed")], status=415
            )
        try:
            body = await request.read_body(
                bytes_max=self.limits.body_bytes, seconds=self.limits.body_seconds
            )
        except TooLarge:
            size = DISCARD_TIMES * self.limits.body_bytes
            await request.discard(bytes_max=size, seconds=DISCARD_SECONDS)
            reason = f"is larger than {self.limits.body_bytes} bytes"
            headers = {"connection": "close"}
            raise self.failures.invalid([("body", reason)], status=413, headers=headers) from None
        except TooSlow:
            raise self.failures.too_late(HTTPStatus.REQUEST_TIMEOUT) from None
        if body and content_type and not is_json(content_type):
            raise self._unsupported()
        return body

    def _unsupported(self) -> Failure:
        return self.failures.invalid([("Content-Type", f"must be {JSON}")], status=415)

    def _failed(self, request: Request, failure: Failure) -> Response:
        headers = failure.all_headers()
        if accepts(request.header(b"accept"))[1]:
            return Response(failure.http_status, failure.as_problem(), headers, PROBLEM)
        return Response(failure.http_status, failure.as_status(), headers)

    async def _serve_site(
        self, scope: Scope, receive: Receive, send: Send, request: Request, trace: Trace
    ) -> int:
        assert self.site is not None
        status = await self.site.serve(scope, receive, send, {REQUEST_ID: trace.request_id})
        if status is None:
            response = self._failed(request, self.failures.no_route())
            await self._send(send, request, trace, response)
            return response.status
        return status

    async def _send(self, send: Send, request: Request, trace: Trace, response: Response) -> None:
        headers = {
            **SECURITY,
            REQUEST_ID: trace.request_id,
            "vary": "accept, accept-encoding, origin",
            **self.cors.headers(request),
            **response.headers,
        }
        body = await _compressed(request, response, headers)
        if response.status not in NO_CONTENT:
            headers["content-type"] = response.content_type
            headers["content-length"] = str(len(body))
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        await send(
            {"type": "http.response.body", "body": b"" if request.method == "HEAD" else body}
        )


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


def _with_implied(methods: Collection[str]) -> set[str]:
    implied = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    return {*methods, *implied}
