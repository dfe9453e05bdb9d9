"""A service's process, from its settings to SIGTERM."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import uvloop

from services.common.keys import KeysError
from services.common.settings import CommonSettings, SettingsError, load
from services.kernel.logging import configure
from services.kernel.signals import until_stopped

S = TypeVar("S", bound=CommonSettings)


def run(
    name: str, settings_class: type[S], running: Callable[[S], AbstractAsyncContextManager[object]]
) -> None:
    """Run a service until SIGTERM or SIGINT; what is wrong at start is a line each.

    Args:
        name: The service's, for its logs.
        settings_class: What it is told by the environment.
        running: Runs the service until the context ends.
    """

    async def serve() -> None:
        settings = load(settings_class)
        configure(service=name, level=settings.log_level, form=settings.log_format)
        async with running(settings):
            await until_stopped()

    try:
        uvloop.run(serve())
    except (SettingsError, KeysError, OSError) as error:
        sys.exit(f"{name}: {error}")
