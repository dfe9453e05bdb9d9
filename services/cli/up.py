"""`lockstep up`: runs the whole system."""

import typer


def up() -> None:
    """Run the whole system on this machine until Ctrl-C: database, mail sink, services, gateway."""
    import asyncio

    from services.cli.running import prepare, run
    from services.cli.screen import Screen
    from services.cli.system import System, home_lock

    system, screen = System(), Screen()
    with home_lock(system.home):
        prepare(system, screen)
        asyncio.run(run(system, screen))
    typer.echo("stopped")
