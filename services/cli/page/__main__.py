"""The process of the local page: `python -m services.cli.page`, which `lockstep up` runs."""

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Final

from lockstep_gateway.http.config import HeadLimits, ServerConfig
from lockstep_gateway.http.listener import Edge, Listener
from lockstep_gateway.http.server import listen

from services.cli.page.app import LocalPage, PagePlaces
from services.kernel.logging import configure

HOST: Final = "127.0.0.1"
IDLE_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 2.0
LIMITS: Final = HeadLimits(url_bytes=4096, header_bytes=16 * 1024)


async def serve(port: int, places: PagePlaces) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    config = ServerConfig(
        listen_on=(HOST, port),
        idle_seconds=IDLE_SECONDS,
        stop_delay_seconds=0.0,
        stop_grace_seconds=GRACE_SECONDS,
        has_http2=False,
        certificate=None,
        another_signal=stop.wait,
    )
    edge = Edge(LocalPage(places).application(), is_secure=False)
    with listen(*config.listen_on) as sock:
        listener = Listener(edge, sock, config, LIMITS)
        serving = asyncio.create_task(listener.serve(), name="http")
        print(f"the local page is at http://{HOST}:{sock.getsockname()[1]}/", flush=True)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await serving


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateway", required=True, help="its URL")
    parser.add_argument("--shop", action="store_true", help="whether the gateway serves the shop")
    parser.add_argument("--sink", action="store_true", help="whether mail goes to the sink")
    parser.add_argument("--log-format", choices=("console", "json"), default="console")
    arguments = parser.parse_args()
    configure(service="page", form=arguments.log_format)
    places = PagePlaces(
        home=arguments.home,
        gateway=arguments.gateway,
        has_shop=arguments.shop,
        has_sink=arguments.sink,
    )
    asyncio.run(serve(arguments.port, places))


if __name__ == "__main__":
    main()
