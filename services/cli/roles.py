"""What `migrate` gives to the role of a service: rights on its tables, limits of its sessions."""

from collections.abc import Mapping
from typing import Final

from psycopg import sql

from services.cli.databases import Connection, connect
from services.kernel.db.limits import LIMITS
from services.kernel.db.requirements import MIGRATED_ONLY
from services.kernel.db.urls import parse, unparse

# By these a URL says who connects.
CREDENTIALS: Final = ("user", "password", "passfile")
_SETTINGS: Final = """
SELECT unnest(setconfig) FROM pg_db_role_setting
 WHERE setrole = current_user::regrole
   AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_LIMITED: Final = sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = {}")
# A pooler keeps sessions that began before.
_END_IDLE: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE usename = current_user AND datname = current_database() AND state = 'idle'
   AND pid <> pg_backend_pid()
"""
_GRANTS: Final = (
    sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}"),
    sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"),
)
_REVOKE: Final = sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {table} FROM {role}")


def grant(migrate_url: str, service_url: str) -> None:
    """Let the role of a service work with tables that another role has made.

    Raises:
        psycopg.Error: The role that migrates may not grant this.
    """
    role = parse(service_url).get("user")
    with connect(migrate_url, autocommit=False) as connection:
        if role is None or role == connection.info.user:
            return
        row = connection.execute("SELECT current_schema()").fetchone()
        assert row is not None
        names = {"schema": sql.Identifier(row[0]), "role": sql.Identifier(role)}
        for each in _GRANTS:
            connection.execute(each.format(**names))
        for table in MIGRATED_ONLY:
            if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,):
                connection.execute(_REVOKE.format(table=sql.Identifier(table), **names))


def limit(migrate_url: str, service_url: str, further: Mapping[str, str]) -> None:
    """Have the role of a service bring its limits along, as a pooler takes no options.

    Args:
        migrate_url: The database past the pooler.
        service_url: The database as the role of the service.
        further: Settings beside the limits.

    Raises:
        psycopg.Error: The role cannot connect past the pooler.
    """
    wanted = LIMITS.settings | dict(further)
    with connect(_past_the_pooler(migrate_url, service_url)) as connection:
        found = {str(each) for (each,) in connection.execute(_SETTINGS)}
        if {f"{name}={value}" for name, value in wanted.items()} <= found:
            return
        _set(connection, wanted)
        connection.execute(_END_IDLE)


def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    database = sql.Identifier(connection.info.dbname)
    with connection.transaction():
        for name, value in settings.items():
            connection.execute(_LIMITED.format(database, sql.Identifier(name), value))


def _past_the_pooler(migrate_url: str, service_url: str) -> str:
    """Return the URL by which the role of a service reaches PostgreSQL itself."""
    service = parse(service_url)
    left = {name: each for name, each in parse(migrate_url).items() if name not in CREDENTIALS}
    return unparse(left | {name: service[name] for name in CREDENTIALS if name in service})
