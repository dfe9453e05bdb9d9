"""The relay's process."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection

import uvloop

from services.common.files import FileProblem, explained
from services.common.settings import CommonSettings, SettingsError, load
from services.kernel.logging import configure
from services.kernel.signals import until_stopped
from services.kernel.telemetry.metrics import TelemetryError
from services.relay.process import NAME, SOURCES, running


async def serve(from_first: Collection[str]) -> None:
    """Relay until SIGTERM or SIGINT."""
    settings = load(CommonSettings)
    configure(service=NAME, level=settings.log_level, form=settings.log_format)
    async with running(settings, from_first=from_first):
        await until_stopped()


def main() -> None:
    """Run the process; refuse a start in a line for each reason."""
    parser = argparse.ArgumentParser(prog="python -m services.relay", description=__doc__)
    parser.add_argument(
        "--from-first",
        action="append",
        choices=sorted(SOURCES),
        default=[],
        help="go on with the first event that is kept, if those after the last one are lost",
    )
    arguments = parser.parse_args()
    try:
        uvloop.run(serve(arguments.from_first))
    except OSError as error:
        sys.exit(f"{NAME}: {explained(error)}")
    except (SettingsError, FileProblem, TelemetryError) as error:
        sys.exit("\n".join(f"{NAME}: {line}" for line in str(error).splitlines()))


if __name__ == "__main__":
    main()
