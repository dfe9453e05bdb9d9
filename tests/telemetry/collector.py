"""A collector of OpenTelemetry: a real gRPC server for OTLP, which keeps what it gets."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from tests.waiting import until

SECONDS = 20.0


@dataclass(frozen=True)
class Seen:
    """A span that has come.

    Attributes:
        parent: The id of its parent; empty without one.
        links: The ids of the traces that it is linked to.
    """

    service: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, str]
    failed: bool


@dataclass
class Collector:
    """The spans that have come."""

    endpoint: str = ""
    spans: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def named(self, name: str) -> list[Seen]:
        """Return the spans with this name."""
        with self.lock:
            return [each for each in self.spans if each.name == name]

    async def wait_for(self, *names: str) -> None:
        """Wait until a span of each name has come."""
        await until(lambda: all(map(self.named, names)), seconds=SECONDS)

    def path(self, span: Seen) -> list[str]:
        """Return the names of the spans from the first one to this one."""
        by_id = {each.id: each for each in self.spans}
        names = [span.name]
        while span.parent in by_id:
            span = by_id[span.parent]
            names.insert(0, span.name)
        return names


class _Receiver(trace_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(
        self, request: trace_pb.ExportTraceServiceRequest, context: Any
    ) -> trace_pb.ExportTraceServiceResponse:
        with self._collector.lock:
            self._collector.spans += _spans_in(request)
        return trace_pb.ExportTraceServiceResponse()


def _spans_in(request: trace_pb.ExportTraceServiceRequest) -> Iterator[Seen]:
    for group in request.resource_spans:
        about = {each.key: each.value.string_value for each in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=about["service.name"],
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    links=tuple(each.trace_id.hex() for each in span.links),
                    attributes={each.key: str(each.value) for each in span.attributes},
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                )


@contextlib.contextmanager
def collecting(patch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Run a collector, to which all processes of the test send their spans."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_grpc.add_TraceServiceServicer_to_server(_Receiver(collector), server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    try:
        yield collector
    finally:
        server.stop(None).wait()
