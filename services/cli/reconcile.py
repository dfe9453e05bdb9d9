"""`lockstep reconcile`."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.cli.reconciler import Finding
    from services.cli.system import System


def reconcile(
    *,
    mend: Annotated[
        bool, typer.Option("--mend", help="mend what may be mended, a few at once")
    ] = False,
) -> None:
    """Compare Auth, Profile and Commerce, and tell where they do not agree."""
    from services.cli.errors import CommandError
    from services.cli.reconciler import TooManyError, compare
    from services.cli.system import DATABASES, System

    system = System()
    with system.running_postgres():
        findings = compare({service: system.database_url(service) for service in DATABASES})
        try:
            mended = asyncio.run(_mend(system, findings)) if mend else []
        except TooManyError as error:
            _print(findings, [])
            raise CommandError(str(error)) from None
    _print(findings, mended)
    if len(mended) < len(findings):
        raise typer.Exit(1)


async def _mend(system: "System", findings: Sequence["Finding"]) -> list["Finding"]:
    from services.cli.reconciler import Mender
    from services.kernel.database import Database
    from services.kernel.server import opened

    auth = Database(system.database_url("auth"), name="auth", connections=1)
    profile = Database(system.database_url("profile"), name="profile", connections=1)
    async with opened(auth, profile):
        return await Mender(auth, profile).mend(findings)


def _print(findings: Sequence["Finding"], mended: Sequence["Finding"]) -> None:
    for finding in findings:
        state = "mended" if finding in mended else "found"
        print(f"{state}: {finding.kind} {finding.id}")
    if not findings:
        print("everything agrees")
