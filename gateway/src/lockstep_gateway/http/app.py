"""The gateway as an ASGI application: routes, limits, and the form of answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import structlog
from lockstep_gateway.binding.routes import BadPathError, Match, OtherMethods, Router
from lockstep_gateway.binding.violations import BadRequest
from lockstep_gateway.http import spans
from lockstep_gateway.http.config import Limits
from lockstep_gateway.http.connect import failure_body
from lockstep_gateway.http.cors import Cors
from lockstep_gateway.http.door import EVERYTHING, Door
from lockstep_gateway.http.errors import CODES, Failure, Failures
from lockstep_gateway.http.headers import REQUEST_ID, HeaderPolicy, request_id
from lockstep_gateway.http.messages import (
    ClientGone,
    Incomplete,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    TooLarge,
    TooSlow,
    gunzipped,
)
from lockstep_gateway.http.metering import RequestMeter
from lockstep_gateway.http.negotiation import JSON, PROBLEM, accepts
from lockstep_gateway.http.pages import Health, Page
from lockstep_gateway.http.sending import send_response
from lockstep_gateway.http.spans import RequestSpans
from lockstep_gateway.http.static import StaticSite
from lockstep_gateway.http.streaming import Streaming, StreamSender
from lockstep_gateway.http.transcoder import Transcoder, UpstreamCall
from lockstep_gateway.http.upstream import Channels
from opentelemetry.trace import Span

DISCARD_TIMES: Final = 8
DISCARD_SECONDS: Final = 2.0
CLIENT_CLOSED: Final = 499
LIFESPAN: Final = "lifespan"
HTTP: Final = "http"
CLOSE: Final = {"connection": "close"}
GZIP: Final = "gzip"
GRPC_TYPE: Final = "application/grpc"
# What balancers and orchestrators ask for, every few seconds.
PROBED: Final = ("/healthz", "/readyz")

log = structlog.get_logger("gateway")


@dataclass(slots=True)
class Trace:
    """The facts about a request that the access log tells, and its span if it has one."""

    request_id: str
    route: str = ""
    span: Span | None = None
    is_connect: bool = False
    error: str = ""
    cause: str = ""
    messages: int | None = None
    started: float = field(default_factory=time.perf_counter)


@dataclass(slots=True, eq=False, kw_only=True)
class Gateway:
    """Serve HTTP, as an ASGI application that other applications can mount.

    Attributes:
        router: The bindings by method and path.
        channels: The channels to the upstreams.
        failures: The factory of failures.
        door: The rules of HTTP that every request must keep.
        headers: The policy of headers.
        limits: The limits of requests.
        health: The state that the pages about health show.
        pages: The gateway's own pages by path.
        cors: The policy of cross-origin requests.
        site: The files of a browser client, for paths that are neither a route nor a page.
        meter: Measures the requests.
        spans: Makes the spans of requests for RPCs; None: there are none.
    """

    router: Router[Transcoder]
    channels: Channels
    failures: Failures
    door: Door
    headers: HeaderPolicy
    limits: Limits
    health: Health
    pages: Mapping[str, Page]
    cors: Cors
    site: StaticSite | None
    meter: RequestMeter
    spans: RequestSpans | None = None
    _running: int = field(default=0, init=False)
    _streams: int = field(default=0, init=False)
    _tasks: set[asyncio.Task[object]] = field(default_factory=set, init=False)
    _is_over: bool = field(default=False, init=False)
    _answers: dict[str, int] = field(default_factory=dict, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan of the server (ASGI)."""
        if scope["type"] == HTTP:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._serve(scope, receive, send)
            finally:
                self._tasks.discard(task)
        elif scope["type"] == LIFESPAN:
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close"})

    def end_requests(self) -> None:
        """Answer 503 to the requests in flight, because their time is over."""
        self._is_over = True
        for task in self._tasks:
            task.cancel()

    async def finished(self) -> None:
        """Wait for the end of all requests in flight."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.channels.open()
            else:
                await self.channels.close()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request.of(scope, receive)
        trace = Trace(request_id(request.fields))
        status = CLIENT_CLOSED
        try:
            response = await self._respond(request, trace)
            if response is None:
                status = await self._serve_site(scope, send, request, trace)
            else:
                status = response.status
                await self._send(send, request, trace, response)
        except ClientGone:
            status = CLIENT_CLOSED
        finally:
            self._note(request, trace, status)
        # The answer has gone. Its time does not count what the client still sends.
        if status not in (HTTPStatus.REQUEST_TIMEOUT, CLIENT_CLOSED):
            size = DISCARD_TIMES * self.limits.body_bytes
            await request.discard(bytes_max=size, seconds=DISCARD_SECONDS)

    def _note(self, request: Request, trace: Trace, status: int) -> None:
        """Measure a request, and write its line."""
        seconds = time.perf_counter() - trace.started
        self.meter.measure(
            seconds, method=request.method, route=trace.route, status=status, error=trace.error
        )
        if trace.span is not None:
            spans.end(trace.span, status, trace.error)
        if not self._is_news(trace.route, status):
            return
        more: dict[str, object] = {}
        if trace.messages is not None:
            more["messages"] = trace.messages
        if trace.error:
            more["error"] = trace.error
        if trace.cause:
            more["cause"] = trace.cause
        log.info(
            "request",
            method=request.method,
            route=trace.route or request.raw_path[:200],
            status=status,
            ms=round(seconds * 1000, 2),
            request_id=trace.request_id,
            **more,
        )

    def _is_news(self, route: str, status: int) -> bool:
        """Say whether a request is worth a line: probes ask all the time, mostly for the same."""
        if route not in PROBED:
            return True
        before = self._answers.get(route)
        self._answers[route] = status
        return before != status

    async def _respond(self, request: Request, trace: Trace) -> Response | Streaming | None:
        """Return the response, also of a failure; None if the site may have the path."""
        try:
            return await self._dispatch(request, trace)
        except Failure as failure:
            return self._failed(request, trace, failure)
        except BadRequest as error:
            return self._failed(request, trace, self.failures.invalid(error.fields))
        except ClientGone:
            raise
        except asyncio.CancelledError:
            if not self._is_over:
                raise
            return self._failed(
                request, trace, self.failures.unavailable("The gateway is stopping.")
            )
        except Exception:
            log.exception("unexpected", request_id=trace.request_id, route=trace.route)
            return self._failed(request, trace, self.failures.internal())

    async def _dispatch(self, request: Request, trace: Trace) -> Response | Streaming | None:
        self.door.check(request)
        if request.raw_path == EVERYTHING:
            return Response(204)
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
            trace.is_connect = found.target.has_connect_failures
            trace.span = self._begin_span(request, trace.route)
            return await self._serve_within_limit(request, trace, found)
        if found is None:
            if self.site is not None and request.method in ("GET", "HEAD"):
                return None
            raise self.failures.no_route()
        methods = found.methods if isinstance(found, OtherMethods) else {"*"}
        return self._answer_options(request, _with_implied(methods))

    def _begin_span(self, request: Request, route: str) -> Span | None:
        if self.spans is None:
            return None
        is_trusted = self.headers.is_proxy(request.peer)
        return self.spans.begin(
            request.fields, method=request.method, route=route, is_trusted=is_trusted
        )

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
    ) -> Response | Streaming:
        if found.target.is_stream:
            return await self._open_within_limit(request, trace, found)
        if self._running >= self.limits.requests:
            raise self.failures.too_many()
        self._running += 1
        try:
            return await self._serve_rpc(request, trace, found, self.limits.call_seconds)
        finally:
            self._running -= 1

    async def _open_within_limit(
        self, request: Request, trace: Trace, found: Match[Transcoder]
    ) -> Response | Streaming:
        """Open a stream. It counts until it is over."""
        if self._streams >= self.limits.streams:
            raise self.failures.too_many("Too many streams are in flight.")
        self._count_streams(1)
        try:
            stream = await self._serve_rpc(request, trace, found, self.limits.stream_seconds)
        except BaseException:
            self._count_streams(-1)
            raise
        assert isinstance(stream, Streaming)
        stream.when_over = lambda: self._count_streams(-1)
        return stream

    def _count_streams(self, change: int) -> None:
        self._streams += change
        self.meter.count_streams(change)

    async def _serve_rpc(
        self, request: Request, trace: Trace, found: Match[Transcoder], seconds_max: float
    ) -> Response | Streaming:
        if refusal := found.target.refusal(request.header(b"accept")):
            raise self.failures.invalid([("Accept", refusal)], status=406)
        inbound = self.headers.inbound(request.fields)
        body = await self._read_body(request, found.target.codings)
        if wanted_type := found.target.wanted_type(request.header(b"content-type"), body):
            raise self._unsupported(wanted_type)
        wanted = inbound.timeout_seconds or seconds_max
        client_ip = self.headers.client_ip(request.peer, request.fields)
        carried = inbound.metadata
        if trace.span is not None:
            carried = spans.below(trace.span, carried)
        metadata = [
            *carried,
            (REQUEST_ID, trace.request_id),
            *found.target.upstream.proof(client_ip),
        ]
        call = UpstreamCall(metadata, min(wanted, seconds_max))
        return await found.target.serve(request, found.values, body, call)

    async def _read_body(self, request: Request, codings: Collection[str]) -> bytes:
        if request.header(b"content-type").startswith(GRPC_TYPE):
            raise self._unsupported(JSON)
        coding = request.header(b"content-encoding")
        if coding not in ("", *codings):
            raise self.failures.invalid(
                [("Content-Encoding", f"must be absent, or be {' or '.join(codings)}")],
                status=415,
                headers={"accept-encoding": ", ".join(codings)},
            )
        try:
            body = await request.read_body(
                bytes_max=self.limits.body_bytes, seconds=self.limits.body_seconds
            )
            return gunzipped(body, self.limits.body_bytes) if coding == GZIP else body
        except TooLarge:
            reason = f"must be at most {self.limits.body_bytes} bytes long"
            raise self.failures.invalid([("body", reason)], status=413, headers=CLOSE) from None
        except TooSlow:
            failure = self.failures.too_late(HTTPStatus.REQUEST_TIMEOUT)
            failure.headers = CLOSE
            raise failure from None
        except Incomplete:
            reason = "must be complete: of the length that the request declares, in valid chunks"
            raise self.failures.invalid([("body", reason)], headers=CLOSE) from None

    def _unsupported(self, wanted: str) -> Failure:
        return self.failures.invalid([("Content-Type", f"must be {wanted}")], status=415)

    def _failed(self, request: Request, trace: Trace, failure: Failure) -> Response:
        trace.cause = failure.cause
        headers = failure.all_headers()
        if trace.is_connect:
            body = failure_body(failure, self.failures.registry)
            return Response(failure.http_status, body, headers)
        if accepts(request.header(b"accept"))[1]:
            return Response(failure.http_status, failure.as_problem(), headers, PROBLEM)
        return Response(failure.http_status, failure.as_status(), headers)

    async def _serve_site(self, scope: Scope, send: Send, request: Request, trace: Trace) -> int:
        assert self.site is not None
        status = await self.site.serve(scope, request, send, {REQUEST_ID: trace.request_id})
        if status is None:
            response = self._failed(request, trace, self.failures.no_route())
            await self._send(send, request, trace, response)
            return response.status
        return status

    async def _send(
        self, send: Send, request: Request, trace: Trace, response: Response | Streaming
    ) -> None:
        headers = {REQUEST_ID: trace.request_id, **self.cors.headers(request)}
        if isinstance(response, Streaming):
            await self._send_stream(send, request, trace, response, headers)
        else:
            await send_response(send, request, response, headers)

    async def _send_stream(
        self, send: Send, request: Request, trace: Trace, stream: Streaming, more: dict[str, str]
    ) -> None:
        sender = StreamSender(self.failures, self.limits.body_seconds, lambda: self._is_over)
        try:
            await sender.send(send, request, stream, more)
        finally:
            trace.messages = stream.messages
            self.meter.count_messages(stream.messages, route=trace.route)
            if stream.failure is not None:
                trace.error = CODES[stream.failure.code]
                trace.cause = stream.failure.cause


def _with_implied(methods: Collection[str]) -> set[str]:
    implied = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    return {*methods, *implied}
