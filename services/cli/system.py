"""The system to run: its services, with their settings, databases and migrations."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg

from services.auth.settings import AuthSettings, sink_url
from services.cli.databases import connect, in_a_line, make_missing, setting_of
from services.cli.errors import CommandError
from services.cli.postgres import EmbeddedPostgres
from services.commerce import settings as commerce
from services.commerce.settings import CommerceSettings
from services.common.files import make_folder, problem_of
from services.common.histories import migrations_of, newest_revision
from services.common.settings import (
    FILE,
    PREFIX,
    CommonSettings,
    as_environment,
    embedded_url,
    has_file,
    load_all,
    variable,
)
from services.gateway.lockstep import GatewaySettings
from services.profile.settings import ProfileSettings

SETTINGS: Final[dict[str, type[CommonSettings]]] = {
    "auth": AuthSettings,
    "profile": ProfileSettings,
    "commerce": CommerceSettings,
    "gateway": GatewaySettings,
}
# What PostgreSQL is told for a service beside its limits.
SESSION_SETTINGS: Final = {"commerce": commerce.SESSION_SETTINGS}
DATABASES: Final = {"auth": "authdb", "profile": "profiledb", "commerce": "commercedb"}
RELAY: Final = "relay"
COORDINATORS: Final = ("auth", "commerce")
"""The services that coordinate sagas."""


class System:
    """The settings of every service, valid as a whole."""

    def __init__(self) -> None:
        """Read the environment.

        Raises:
            SettingsError: Settings are wrong; the error names all of them.
        """
        self.settings: Final = dict(zip(SETTINGS, load_all(*SETTINGS.values()), strict=True))
        self.home: Final = self.settings["auth"].home
        self.postgres: Final = EmbeddedPostgres(self.home / "postgres")

    @property
    def values(self) -> dict[str, str]:
        """All settings that have a value, unmasked, by the names of their variables."""
        merged: dict[str, str] = {}
        for settings in self.settings.values():
            merged |= as_environment(settings)
        return merged

    @property
    def is_embedded(self) -> bool:
        """Whether any database is one of the embedded PostgreSQL."""
        return any(map(self.uses_embedded, DATABASES))

    @property
    def has_json_logs(self) -> bool:
        """Whether logs are for machines."""
        return self.settings["auth"].log_format == "json"

    @property
    def has_mail_sink(self) -> bool:
        """Whether mail goes to the sink."""
        return self.values["LOCKSTEP_SMTP_URL"] == sink_url(self.values["LOCKSTEP_MAIL_PORT"])

    @property
    def has_relay(self) -> bool:
        """Whether events go to NATS."""
        return self.settings["auth"].nats_url is not None

    @property
    def page_port(self) -> int:
        """The port of the local page; 0: there is none."""
        return self.settings["auth"].page_port

    def unknown_variables(self) -> list[str]:
        """Describe each variable that looks like a setting but is not, such as a misspelt one."""
        known = known_variables()
        lines = []
        for name in sorted(name for name in os.environ if name.startswith(PREFIX)):
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                lines.append(f"{name} is not a setting{hint}")
        return lines

    def database_url(self, service: str) -> str:
        """Return the URL of a service's database."""
        return str(getattr(self.settings[service], f"{service}_database_url"))

    def migrate_url(self, service: str) -> str:
        """Return the URL by which a service's database is migrated."""
        return str(getattr(self.settings[service], f"{service}_migrate_database_url"))

    def make_databases(self, services: Iterable[str] = DATABASES) -> None:
        """Create the databases that are missing.

        Raises:
            CommandError: A server or a role is of no use. Nothing was made.
        """
        make_missing([(setting_of(service), self.migrate_url(service)) for service in services])

    def is_migrated(self) -> bool:
        """Return whether every database is at its newest revision; importing Alembic takes 1 s."""
        histories = {service: migrations_of(service) for service in DATABASES}
        return all(
            _revisions(self.database_url(service)) == [newest_revision(history)]
            for service, history in histories.items()
            if history is not None
        )

    def uses_embedded(self, service: str) -> bool:
        """Return whether a service's database is one of the embedded PostgreSQL."""
        return self.database_url(service) == embedded_url(self.postgres.folder, DATABASES[service])

    def needs_postgres(self, services: Iterable[str]) -> bool:
        """Return whether a service needs the embedded PostgreSQL, which does not run."""
        return any(map(self.uses_embedded, services)) and not self.postgres.is_ready()

    @contextmanager
    def running_postgres(self, services: Iterable[str] = DATABASES) -> Iterator[None]:
        """Keep the embedded PostgreSQL running during the context, if a service needs it."""
        if not self.needs_postgres(services):
            yield
            return
        with home_lock(self.home), self.postgres:
            yield


def known_variables() -> set[str]:
    """Return the variable of every setting, and of every file that may hold one."""
    names = {name for cls in SETTINGS.values() for name in cls.model_fields}
    files = {f"{variable(name)}{FILE}" for name in filter(has_file, names)}
    return {variable(name) for name in names} | files


def is_installed(service: str) -> bool:
    """Return whether a service can be run with `python -m`."""
    return find_spec(f"services.{service}.__main__") is not None


def ensure_reachable(system: System, service: str) -> None:
    """Make sure that the database of a service answers.

    Raises:
        CommandError: It does not; the text has the reason and the setting.
    """
    try:
        connect(system.database_url(service)).close()
    except psycopg.OperationalError as error:
        setting = variable(f"{service}_database_url")
        raise CommandError(
            f"the database of {service} cannot be reached: {in_a_line(error)} (see {setting})"
        ) from error


def _revisions(url: str) -> list[str]:
    """Return the revisions of a database; none if the database or Alembic's table is missing."""
    try:
        with connect(url) as connection:
            table = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
            if table == (None,):
                return []
            return [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
    except psycopg.Error:
        return []  # the migration will tell why


@contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Keep other runs out of a data folder.

    Raises:
        CommandError: Another process uses the folder; the text names it.
    """
    make_folder(home)
    with (home / "up.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CommandError(
                f"{home} is in use by process {lock.read().strip() or 'unknown'}: "
                "stop it, or set LOCKSTEP_HOME to another folder"
            ) from None
        try:
            lock.truncate(0)
            # Unbuffered: what a full disk does not take, `close` would try to write again.
            os.write(lock.fileno(), str(os.getpid()).encode())
        except OSError as error:
            raise problem_of(error, home, remedy="make it") from None
        yield
