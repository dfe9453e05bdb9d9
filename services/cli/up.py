"""`lockstep up`: runs the whole system."""


def up() -> None:
    """Run the whole system on this machine until Ctrl-C: database, mail sink, services, gateway."""
    import asyncio

    from services.cli.running import prepare, run
    from services.cli.screen import Screen
    from services.cli.system import System, home_lock

    system = System()
    screen = Screen(is_json=system.has_json_logs)
    with home_lock(system.home):
        prepare(system, screen)
        asyncio.run(run(system, screen))
    screen.end()
