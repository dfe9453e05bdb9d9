"""What `lockstep status` looks at beside the processes; each check says what is wrong."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg

from services.auth.store import outbox
from services.cli.databases import in_a_line, read_rows, session_name
from services.cli.system import COORDINATORS, DATABASES, System
from services.cli.tables import Value, rfc3339
from services.common.files import FileProblem
from services.common.histories import migrations_of, newest_revision
from services.common.service import opened, session_rules
from services.common.tls import read_certificates
from services.kernel.db.database import Database
from services.kernel.db.statement import NoParameters
from services.kernel.errors import DomainError
from services.kernel.sagas import metrics

# As the alerts of deploy/prometheus/rules.yml.
SAGA_DUE_SECONDS_MAX: Final = 30.0
MAIL_SECONDS_MAX: Final = 60.0
CERTIFICATE_LEFT: Final = timedelta(days=7)
EDGE: Final = "LOCKSTEP_GATEWAY_TLS_CERT"
RENEW_EDGE: Final = "renew the certificate, or change the setting"
FREE_SHARE_MIN: Final = 0.05
FREE_BYTES_MIN: Final = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """What one look has found.

    Attributes:
        kind: schema, sagas, outbox, certificate or disk.
        subject: The service, file or folder that was looked at.
        facts: What was found.
        trouble: What is wrong; None: nothing is.
    """

    kind: str
    subject: str
    facts: dict[str, Value] = field(default_factory=dict)
    trouble: str | None = None


async def check_all(system: System) -> list[Check]:
    """Look at everything, at all databases at the same time."""
    found = await asyncio.gather(*(_check_database(system, name) for name in DATABASES))
    return [
        *(check for checks in found for check in checks),
        *certificates(system),
        _disk(system.home),
    ]


async def _check_database(system: System, service: str) -> list[Check]:
    if system.uses_embedded(service) and not await asyncio.to_thread(system.postgres.is_ready):
        return [Check("schema", service, trouble="the embedded PostgreSQL does not run")]
    try:
        schema = await asyncio.to_thread(_schema, system, service)
    except psycopg.Error as error:
        return [Check("schema", service, trouble=in_a_line(error))]
    if schema.trouble is not None:
        return [schema]
    rules = session_rules(system.settings[service], session_name())
    database = Database(system.database_url(service), name=service, connections=1, rules=rules)
    try:
        async with opened(database):
            return [schema, *[each async for each in _work(database, service)]]
    except DomainError as error:
        return [Check("schema", service, schema.facts, error.message)]


def _schema(system: System, service: str) -> Check:
    history = migrations_of(service)
    assert history is not None
    newest = newest_revision(history)
    try:
        rows = read_rows(system.database_url(service), "SELECT version_num FROM alembic_version")
    except psycopg.errors.UndefinedTable:
        rows = []
    revision = rows[0][0] if rows else None
    facts: dict[str, Value] = {"revision": revision, "newest": newest}
    if revision is None or revision < newest:
        return Check("schema", service, facts, "the database is behind: run `lockstep migrate`")
    return Check("schema", service, facts)


async def _work(database: Database, service: str) -> AsyncIterator[Check]:
    if service in COORDINATORS:
        yield await _sagas(database, service)
    if service == "auth":
        yield await _outbox(database)


async def _sagas(database: Database, service: str) -> Check:
    found = await database.all(metrics.UNFINISHED, NoParameters())
    parked = sum(each.parked for each in found)
    due_seconds = max((each.due_seconds for each in found), default=0.0)
    facts: dict[str, Value] = {
        "unfinished": sum(each.sagas for each in found),
        "due": sum(each.due for each in found),
        "due_seconds": round(due_seconds, 1),
        "parked": parked,
    }
    trouble = None
    if parked:
        trouble = "parked sagas need you: see `lockstep sagas list --parked`"
    elif due_seconds > SAGA_DUE_SECONDS_MAX:
        trouble = "sagas wait, and nobody takes them up"
    return Check("sagas", service, facts, trouble)


async def _outbox(database: Database) -> Check:
    found = await database.first(outbox.STANDING, NoParameters())
    assert found is not None
    is_late = found.oldest_seconds > MAIL_SECONDS_MAX
    return Check(
        "outbox",
        "auth",
        {"waiting": found.mails, "oldest_seconds": round(found.oldest_seconds, 1)},
        "mail is not sent: see `lockstep outbox`" if is_late else None,
    )


def certificates(system: System) -> Iterator[Check]:
    """Look at every certificate that a setting names, and at those of the services."""
    names = {name: value for name, value in system.values.items() if name.endswith("_TLS_CERT")}
    settings = system.settings["auth"]
    if settings.tls != "off":
        paths = settings.certs.glob("*/cert.pem")
        names |= {f"certs/{path.parent.name}": str(path) for path in sorted(paths)}
    for name, path in names.items():
        try:
            yield _certificate(name, Path(path))
        except FileProblem as error:
            yield Check("certificate", name, {"file": path}, str(error))


def _certificate(setting: str, path: Path) -> Check:
    remedy = RENEW_EDGE if setting == EDGE else ""
    end = read_certificates(path, remedy=remedy).ends
    facts: dict[str, Value] = {"file": str(path), "ends": rfc3339(end)}
    left = end - datetime.now(UTC)
    if left < CERTIFICATE_LEFT:
        state = "has ended" if left < timedelta(0) else f"ends in {left.days} days"
        return Check("certificate", setting, facts, f"the certificate {state}: renew it")
    return Check("certificate", setting, facts)


def _disk(home: Path) -> Check:
    folder = home
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    facts: dict[str, Value] = {"free_bytes": usage.free, "total_bytes": usage.total}
    is_full = usage.free < max(FREE_BYTES_MIN, usage.total * FREE_SHARE_MIN)
    trouble = "little space is left: delete what is old, or enlarge the disk" if is_full else None
    return Check("disk", str(home), facts, trouble)
