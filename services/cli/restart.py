"""`lockstep restart` and `lockstep stop`: they ask the running `lockstep up`."""

from typing import Annotated, Final

import typer

STOP_SECONDS_MAX: Final = 600.0


def restart(
    services: Annotated[
        list[str] | None,
        typer.Argument(help="auth, profile, commerce, gateway; all when none is given"),
    ] = None,
    *,
    rolling: Annotated[
        bool,
        typer.Option(
            "--rolling", help="restart one process after the other, when callers have found another"
        ),
    ] = False,
    interrupt: Annotated[
        bool,
        typer.Option("--interrupt", help="also restart a service that has one process only"),
    ] = False,
) -> None:
    """Restart services of the running `lockstep up`; the settings stay as they are."""
    from services.cli.control import ask
    from services.common.settings import CommonSettings, load

    request = {
        "do": "restart",
        "services": services or [],
        "rolling": rolling,
        "may_interrupt": interrupt,
    }
    for told in ask(load(CommonSettings).home, request):
        for process in told["processes"]:
            typer.echo(f"{process} was restarted and is SERVING")


def stop() -> None:
    """Stop the running `lockstep up` in order, and wait for its end."""
    import psutil

    from services.cli import processes
    from services.cli.control import NotRunning, ask
    from services.cli.errors import CommandError
    from services.common.settings import CommonSettings, load

    home = load(CommonSettings).home
    try:
        pid = next(ask(home, {"do": "stop"}))["pid"]
        running = psutil.Process(pid)
    except NotRunning:
        typer.echo(f"nothing runs with the data folder {home}")
        return
    except psutil.NoSuchProcess:
        running = None
    if running is not None and processes.wait([running], STOP_SECONDS_MAX):
        raise CommandError(f"process {pid} did not stop in {STOP_SECONDS_MAX:.0f} s")
    typer.echo("stopped")
