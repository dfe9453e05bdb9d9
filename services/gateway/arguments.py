"""The arguments of the gateway's command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

PORT_MAX: Final = 65_535


def read_arguments() -> argparse.Namespace:
    """Read the arguments; leave the process if they do not fit together."""
    parser = argparse.ArgumentParser(
        prog="python -m services.gateway",
        description="Serve gRPC services as HTTP and JSON. Without arguments: Lockstep's own.",
    )
    parser.add_argument(
        "--descriptors", type=Path, metavar="FILE", help="a FileDescriptorSet with imports"
    )
    parser.add_argument(
        "--upstream",
        action="append",
        default=[],
        metavar="SERVICE=TARGET",
        help="where a service of --descriptors is, such as acme.v1.Library=127.0.0.1:9000",
    )
    parser.add_argument(
        "--upstream-tls",
        metavar="CA",
        help="reach the upstreams over TLS: a file of certificates to trust, or `system`",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse to start if a method cannot be served, instead of leaving it out",
    )
    parser.add_argument("--port", type=_port, help="listen here instead of LOCKSTEP_GATEWAY_PORT")
    arguments = parser.parse_args()
    if bool(arguments.descriptors) != bool(arguments.upstream):
        parser.error("--descriptors and --upstream belong together")
    if arguments.upstream_tls and not arguments.upstream:
        parser.error("--upstream-tls needs --upstream")
    return arguments


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"must be 0 to {PORT_MAX}")
    return port
