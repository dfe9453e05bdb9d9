"""`lockstep keys`: makes, lists, rotates and retires keys."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli.tables import JsonOption, show

TOKEN_KEYS: Final = {
    "key": "Key",
    "state": "State",
    "create_time": "Made",
    "verify_until": "Verifies until",
}

app = typer.Typer(no_args_is_help=True, help="Make and change keys.")


@app.command()
def init(
    service: Annotated[
        str | None, typer.Option(help="make the keys of one further service, such as shipping")
    ] = None,
) -> None:
    """Make the keys that are missing, and change no others."""
    from services.common.key_files import initialise
    from services.common.keys import SERVICES

    folder = _folder()
    made = initialise(folder, SERVICES if service is None else [service])
    typer.echo(f"{folder}: made keys for {', '.join(made)}" if made else f"{folder}: complete")


@app.command(name="list")
def list_keys(*, as_json: JsonOption = False) -> None:
    """List the keys that sign and verify access tokens, newest first."""
    from services.common.key_files import list_token_keys

    rows = [
        {
            "key": key.kid,
            "state": "signs" if key.active else "verifies",
            "create_time": _moment(key.create_time),
            "verify_until": None if key.verify_until is None else _moment(key.verify_until),
        }
        for key in list_token_keys(_folder())
    ]
    show(rows, TOKEN_KEYS, empty="there are no keys: run `lockstep keys init`", as_json=as_json)


@app.command()
def rotate() -> None:
    """Make a new signing key; the old one verifies until its tokens have expired."""
    from services.common.key_files import rotate_token_key

    typer.echo(f"new tokens are signed by {rotate_token_key(_folder())}")


@app.command()
def retire(
    kid: Annotated[str, typer.Argument(help="key, as shown by `lockstep keys list`")],
) -> None:
    """Let no service accept the tokens of a key any more; use it for a key that has leaked."""
    from services.common.auth_client import KEYS_KEPT_SECONDS
    from services.common.key_files import retire_token_key

    retire_token_key(_folder(), kid)
    typer.echo(
        f"{kid} is retired: Auth refuses its tokens from now on, the other services within "
        f"{KEYS_KEPT_SECONDS:.0f} s"
    )


@app.command(name="rotate-secret")
def rotate_secret(
    service: Annotated[str, typer.Argument(help="service, such as auth")],
    name: Annotated[str, typer.Argument(help="secret, such as codes or requests")],
    *,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="drop the old key, and make no new one")
    ] = False,
) -> None:
    """Put a new key before the one of a secret; the old one verifies until it is dropped."""
    from services.common import key_files

    if drop_old:
        _reseal(service, name)
        key_files.drop_old_secret(_folder(), service, name)
        typer.echo(f"{service}/{name}: dropped the old key; what it made is refused from now on")
    else:
        key_files.rotate_secret(_folder(), service, name)
        typer.echo(f"{service}/{name}: the new key makes, and the old one still verifies")


def _reseal(service: str, name: str) -> None:
    """Seal with the new key of a secret what the old one has sealed, if that is so used.

    Raises:
        CommandError: A process still seals with the old key.
    """
    from services.auth.domain import seals
    from services.cli.auth_database import on_auth_database
    from services.cli.errors import CommandError
    from services.common import key_files
    from services.kernel.secret import Secret

    if service != "auth" or name not in seals.TABLES:
        return
    keys = key_files.keys_of_secret(_folder(), service, name)
    if len(keys) == 1:
        return  # there is nothing to drop, as is said next
    done = on_auth_database(lambda database: seals.reseal(database, Secret.of(*keys), name))
    if done.left:
        raise CommandError(
            f"{done.left} rows are still sealed with the old key: give all processes of auth the "
            "new one, then run this again"
        )
    if done.unreadable:
        typer.echo(f"{done.unreadable} rows cannot be opened with any key", err=True)


def _folder() -> Path:
    from services.common.settings import CommonSettings, load

    return load(CommonSettings).keys


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
