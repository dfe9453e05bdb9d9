"""The yardstick of calls: a grpc.aio server that answers given bytes without any work.

    python -m tests.bench.bare replies.json

The file holds the answer of each method, as {"/some.Service/Method": "0a03..."}. It
prints its port. Like the services it runs on uvloop, and gRPC decodes nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import grpc
import uvloop

from services.kernel.rpc.server import OPTIONS


class Answers(grpc.GenericRpcHandler):
    """Answers each method with its bytes."""

    def __init__(self, replies: Mapping[str, bytes]) -> None:
        self._handlers = {path: _handler(reply) for path, reply in replies.items()}

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._handlers.get(details.method)


def _handler(reply: bytes) -> grpc.RpcMethodHandler[bytes, bytes]:
    async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return reply

    return grpc.unary_unary_rpc_method_handler(answer)


async def serve(replies: Mapping[str, bytes]) -> None:
    """Serve until killed."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers([Answers(replies)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"PORT {port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    uvloop.run(serve({path: bytes.fromhex(reply) for path, reply in given.items()}))
