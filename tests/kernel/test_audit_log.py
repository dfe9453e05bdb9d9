"""The audit log only grows: not even its owner changes it with a statement.

The role of a service can take the trigger away no more than it can change a line.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from services.cli.roles import grant
from services.kernel.db.tables import AUDIT_LOG
from services.kernel.db.urls import parse, unparse
from tests.conftest import Databases

SERVICES = ("auth", "profile", "commerce")
INSERT = """
INSERT INTO audit_log (id, event, user_id, account, actor, address, detail, create_time)
VALUES (gen_random_uuid(), 'test', gen_random_uuid(), 'a1', 'operator', '192.0.2.1', '{"n": 1}',
  now() - %s::interval)
"""
CHANGES = {
    "id": "gen_random_uuid()",
    "event": "'another'",
    "user_id": "NULL",
    "account": "NULL",
    "actor": "'another'",
    "address": "'192.0.2.2'",
    "detail": """'{"n": 1.0}'""",  # equal as JSON, but another text
    "create_time": "create_time - interval '2 years'",
}
REFUSED = [
    *(f"UPDATE audit_log SET {column} = {value}" for column, value in CHANGES.items()),
    *(
        f"UPDATE audit_log SET address = NULL, {column} = {value}"
        for column, value in CHANGES.items()
        if column != "address"
    ),
    "INSERT INTO audit_log TABLE audit_log ON CONFLICT (id) DO UPDATE SET event = 'another'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "TRUNCATE audit_log CASCADE",
]


def test_the_changes_are_of_every_column() -> None:
    assert list(CHANGES) == AUDIT_LOG.c.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_lines_stay_as_they_are_but_for_addresses_and_for_a_year(
    databases: Databases, stack: ExitStack, service: str
) -> None:
    url = databases.fresh(stack, service)
    with psycopg.connect(url, autocommit=True) as connection:
        for age in ("0 days", "364 days"):
            connection.execute(INSERT, [age])
        before = connection.execute("SELECT * FROM audit_log ORDER BY id").fetchall()
        for statement in REFUSED:
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute(statement.encode())
        assert connection.execute("SELECT * FROM audit_log ORDER BY id").fetchall() == before
        erased = connection.execute("UPDATE audit_log SET address = NULL")
        assert erased.rowcount == len(before)
        connection.execute(INSERT, ["367 days"])
        old = "DELETE FROM audit_log WHERE create_time < now() - interval '1 year'"
        assert connection.execute(old.encode()).rowcount == 1
        assert connection.execute("SELECT count(*) FROM audit_log").fetchone() == (2,)


REFUSED_TO_A_SERVICE = [
    *REFUSED,
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "ALTER TABLE audit_log RENAME TO another",
    "DROP TRIGGER audit_log_stays ON audit_log",
    "DROP TABLE audit_log",
    "DROP FUNCTION audit_log_stays() CASCADE",
    "CREATE OR REPLACE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE sql RETURN NULL",
    "CREATE RULE quiet AS ON INSERT TO audit_log DO INSTEAD NOTHING",
    "SET session_replication_role = replica",
]


@pytest.fixture
def of_service(databases: Databases, stack: ExitStack) -> Iterator[str]:
    """The URL of Auth's database for a role with what `lockstep migrate` grants, and no more."""
    url, role = databases.fresh(stack, "auth"), f"service_{secrets.token_hex(4)}"
    service_url = unparse(parse(url) | {"user": role})
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN".encode())
        try:
            grant(url, service_url)
            yield service_url
        finally:
            owner.execute(f"DROP OWNED BY {role}".encode())
            owner.execute(f"DROP ROLE {role}".encode())


def test_the_role_of_a_service_adds_lines_and_changes_none(of_service: str) -> None:
    with psycopg.connect(of_service, autocommit=True) as connection:
        connection.execute(INSERT, ["0 days"])
        before = connection.execute("SELECT * FROM audit_log").fetchall()
        for statement in REFUSED_TO_A_SERVICE:
            with pytest.raises(
                (psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)
            ):
                connection.execute(statement.encode())
        assert connection.execute("SELECT * FROM audit_log").fetchall() == before
        assert connection.execute("UPDATE audit_log SET address = NULL").rowcount == 1
