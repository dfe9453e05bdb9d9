"""`lockstep certs`: certificates for TLS between services, from a small authority."""

from typing import Annotated, Final

import typer

from services.cli.tables import JsonOption, Record, show

COLUMNS: Final = {"service": "Service", "names": "Names", "expire_time": "Expires"}

app = typer.Typer(no_args_is_help=True, help="Make, renew and list the certificates of TLS.")

HostOption = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="SERVICE=HOST,...", help="further host names and IPs"),
]


@app.command()
def init(host: HostOption = None) -> None:
    """Make the authority and the certificates that are missing; change no others."""
    from services.common import cert_files
    from services.common.settings import CommonSettings, load

    folder = load(CommonSettings).certs
    made = cert_files.initialise(folder, _hosts(host))
    typer.echo(f"made in {folder}: {', '.join(made)}" if made else f"{folder} is complete")


@app.command()
def renew(host: HostOption = None) -> None:
    """Make new certificates with the same names and further ones; services take them up."""
    from services.common import cert_files
    from services.common.settings import CommonSettings, load

    folder = load(CommonSettings).certs
    typer.echo(f"renewed in {folder}: {', '.join(cert_files.renew(folder, _hosts(host)))}")


@app.command(name="list")
def list_certificates(*, as_json: JsonOption = False) -> None:
    """List the certificates, their names, and when they expire."""
    from services.common import cert_files
    from services.common.settings import CommonSettings, load

    rows: list[Record] = [
        {"service": each.service, "names": " ".join(each.names), "expire_time": each.ends}
        for each in cert_files.listed(load(CommonSettings).certs)
    ]
    empty = "there are no certificates: run `lockstep certs init`"
    show(rows, COLUMNS, empty=empty, as_json=as_json)


def _hosts(given: list[str] | None) -> dict[str, list[str]]:
    from services.cli.errors import CommandError
    from services.common.keys import SERVICES

    hosts: dict[str, list[str]] = {}
    for each in given or ():
        service, separator, names = each.partition("=")
        found = [name.strip() for name in names.split(",") if name.strip()]
        if not separator or service not in SERVICES or not found:
            raise CommandError(f"--host {each} must be SERVICE=HOST,... of {', '.join(SERVICES)}")
        hosts.setdefault(service, []).extend(found)
    return hosts
