"""`lockstep health`: asks services whether they are SERVING; `lockstep up` does so, too."""

import asyncio
import ssl
from typing import TYPE_CHECKING, Annotated, Final

import typer

HTTP_OK: Final = b"200"
SELF: Final = "self"
READY: Final = "ok"
NAMED: Final = ("auth", "profile", "commerce")

if TYPE_CHECKING:
    from services.common.tls import Tls


def health(
    target: Annotated[
        str,
        typer.Argument(
            help="auth, profile, commerce, gateway, host:port, http(s)://host:port, or self: "
            "the processes whose management ports are on this machine"
        ),
    ],
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="seconds")] = 2.0,
) -> None:
    """Ask a service whether it is SERVING (the gateway: whether it is ready)."""
    from services.cli.errors import CommandError
    from services.cli.operator import operator_tls

    if target == SELF:
        _ask_self(timeout)
        typer.echo("every process on this machine is ready")
        return
    name = target if target in NAMED else None
    tls = operator_tls() if "://" not in target and target != "gateway" else None
    for endpoint in endpoints_of(target):
        if not asyncio.run(is_serving(endpoint, timeout, tls=tls, name=name)):
            raise CommandError(
                f"{target} is not serving at {endpoint}: start it (`lockstep up`), "
                "or ask `/readyz` of its management port for the reason"
            )
    typer.echo(f"{target} is serving")


def _ask_self(seconds: float) -> None:
    """Ask the management ports: a container has one process, and its health check needs no name."""
    from services.cli.errors import CommandError
    from services.cli.system import RELAY, SETTINGS
    from services.common.settings import CommonSettings, load

    settings = load(CommonSettings)
    ports = {name: settings.metrics_port(name) for name in (*SETTINGS, RELAY)}
    found = {
        name: asyncio.run(readiness(f"127.0.0.1:{port}", seconds))
        for name, port in ports.items()
        if port
    }
    answers = {name: answer for name, answer in found.items() if answer}
    if not answers:
        raise CommandError("no management port on this machine answers: a process must run")
    troubles = [f"{name} is not ready: {each}" for name, each in answers.items() if each != READY]
    if troubles:
        raise CommandError("\n".join(troubles))


async def is_serving(
    endpoint: str, seconds: float = 2.0, *, tls: "Tls | None" = None, name: str | None = None
) -> bool:
    """Return whether a gRPC target (grpc.health.v1) or `http(s)://host:port` (`/readyz`) serves.

    Args:
        endpoint: The endpoint.
        seconds: The time that it has.
        tls: The credentials for gRPC; None: plain text.
        name: The name that the certificate must have; None: the host.
    """
    try:
        async with asyncio.timeout(seconds + 0.5):
            scheme, separator, authority = endpoint.partition("://")
            if separator and scheme in ("http", "https"):
                return await _is_ready(authority, is_secure=scheme == "https")
            return await _grpc_serving(endpoint, seconds, tls, name)
    except (OSError, TimeoutError):
        return False


async def readiness(management: str, seconds: float = 2.0) -> str:
    """Return why a process is not ready, by its management port; nothing if it does not say."""
    return await read_management(management, "/readyz", seconds)


async def read_management(management: str, path: str, seconds: float) -> str:
    """Return what a management port has under a path; nothing if there is none that answers."""
    if not management:
        return ""
    host, _, port = management.rpartition(":")
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {management}\r\n\r\n".encode())
            await writer.drain()
            answer = await reader.read()  # until it is closed
            writer.close()
    except (OSError, TimeoutError):
        return ""
    return answer.partition(b"\r\n\r\n")[2].decode(errors="replace").strip()


async def _grpc_serving(target: str, seconds: float, tls: "Tls | None", name: str | None) -> bool:
    import grpc
    from grpc_health.v1 import health_pb2
    from lockstep_clients.channels import channel_over_tls

    # Without a pool of its own, the channel would keep the backoff of an earlier failure.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if tls is None:
        opened = grpc.aio.insecure_channel(target, options=options)
    else:
        opened = channel_over_tls(target, tls, options, name=name)
    async with opened as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _is_ready(authority: str, *, is_secure: bool) -> bool:
    host, _, port = authority.strip("/").rpartition(":")
    tls = _tls() if is_secure else None
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)
    try:
        request = f"GET /readyz HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        return (await reader.readline()).split()[1:2] == [HTTP_OK]
    finally:
        writer.close()


def _tls() -> ssl.SSLContext:
    """Trust any certificate: it names the host of clients, and the answer holds no secret."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def endpoints_of(target: str) -> list[str]:
    """Return where the processes of a service are, by the settings."""
    from services.common.settings import CommonSettings, load, peer_host
    from services.gateway.lockstep import GatewaySettings

    if target == "gateway":
        gateway = load(GatewaySettings)
        return [f"{gateway.scheme}://{peer_host(gateway.host)}:{gateway.gateway_port}"]
    found: str = getattr(load(CommonSettings), f"{target}_address", target)
    return found.split(",")
