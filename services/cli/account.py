"""What `lockstep admin show` prints: how an account stands."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from services.cli.tables import Record, Value
from services.kernel.rpc.timestamps import moment_of

if TYPE_CHECKING:
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb

COLUMNS: Final = {"part": "Part", "name": "Name", "value": "Value", "time": "Time"}

_Fact = tuple[str, str, Value, datetime | None]


def rows_of(access: "auth_pb.UserAccess") -> list[Record]:
    """Return a row for each fact, with its time where it has one."""
    return [dict(zip(COLUMNS, fact, strict=True)) for fact in _facts(access)]


def _facts(access: "auth_pb.UserAccess") -> Iterator[_Fact]:
    user = access.user
    yield "account", "id", user.id, moment_of(user, "create_time")
    for name in ("email", "full_name", "role", "status", "email_verified", "second_factor"):
        yield "account", name, getattr(user, name), None
    for session in access.sessions:
        where = " ".join(part for part in (session.client_name, session.address) if part)
        yield "session", session.id, where, moment_of(session, "last_seen_time")
    yield "counter", "wrong passwords of a day", access.wrong_passwords, None
    for place in access.places:
        name = "wrong passwords of a place, which waits until"
        yield "counter", name, place.wrong_passwords, moment_of(place, "wait_until")
    for codes in access.codes:
        yield "counter", f"codes sent within an hour: {codes.purpose}", codes.sent, None
        yield "counter", f"wrong codes of a day: {codes.purpose}", codes.wrong, None
    for mail in access.waiting_mail:
        name = f"{mail.attempts} tries, {mail.last_error or 'no error'}, next"
        yield "mail", name, None, moment_of(mail, "next_try_time")
