"""The SQL of places that are known to accounts, and of wrong passwords by place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Integer,
    Interval,
    bindparam,
    case,
    cast,
    delete,
    exists,
    extract,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import ACCOUNT_FAILURES, KNOWN_PLACES, PLACE_FAILURES
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement

FREE_FAILURES = 5
WAIT_SECONDS_MAX = 900
FORGIVEN_EVERY = "15 minutes"
FAILURES_A_DAY = 100
NEXT_TRY = "1 minute"
KNOWN_FOR = "90 days"


@dataclass(frozen=True, slots=True)
class Pair:
    """An account and a place, by their pseudonyms."""

    account_hmac: bytes
    place_hmac: bytes


@dataclass(frozen=True, slots=True)
class PlaceStanding:
    """Where a caller stands with an account.

    Attributes:
        seconds_left: How long this place must wait; it need not when that is zero or less.
        is_known: Whether the place is known to the account.
        is_capped: Whether all places together had too many wrong passwords today.
    """

    seconds_left: float
    is_known: bool
    is_capped: bool


@dataclass(frozen=True, slots=True)
class ByAccount:
    """The parameter of a statement about an account, by its pseudonym."""

    account_hmac: bytes


@dataclass(frozen=True, slots=True)
class PlaceCounter:
    """The wrong passwords of one place for an account.

    Attributes:
        wait_until: When the place may try again; None when it may now.
    """

    wrong_passwords: int
    wait_until: datetime | None


@dataclass(frozen=True, slots=True)
class _PlacesOfAccount:
    account_hmac: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class _Failures:
    failures: int


@dataclass(frozen=True, slots=True)
class _Wait:
    seconds_left: float


@dataclass(frozen=True, slots=True)
class _Known:
    is_known: bool


def _seconds_until(moment: ColumnElement[datetime]) -> ColumnElement[float]:
    return cast(extract("epoch", moment - func.saga_now()), Double)


_OF_PAIR = (PLACE_FAILURES.c.account_hmac == bindparam("account_hmac")) & (
    PLACE_FAILURES.c.place_hmac == bindparam("place_hmac")
)
_OF_ACCOUNT = ACCOUNT_FAILURES.c.account_hmac == bindparam("account_hmac")
_TODAY = ACCOUNT_FAILURES.c.begin_time > func.saga_now() - literal_column("interval '1 day'")
_KNOWN = exists().where(
    KNOWN_PLACES.c.account_hmac == bindparam("account_hmac"),
    KNOWN_PLACES.c.place_hmac == bindparam("place_hmac"),
    KNOWN_PLACES.c.seen_time > func.saga_now() - literal_column(f"interval '{KNOWN_FOR}'"),
)
_IS_KNOWN = Statement(select(_KNOWN.label("is_known")), Pair, _Known)
_STANDING = Statement(
    select(
        func.coalesce(
            select(_seconds_until(PLACE_FAILURES.c.wait_until)).where(_OF_PAIR).scalar_subquery(),
            literal_column("0", Double),
        ).label("seconds_left"),
        _KNOWN.label("is_known"),
        func.coalesce(
            select((ACCOUNT_FAILURES.c.failures >= FAILURES_A_DAY) & _TODAY)
            .where(_OF_ACCOUNT)
            .scalar_subquery(),
            literal_column("false", Boolean),
        ).label("is_capped"),
    ),
    Pair,
    PlaceStanding,
)
# Each quiet quarter of an hour takes one wrong password off.
_QUIET = cast(
    func.floor(
        extract("epoch", func.saga_now() - PLACE_FAILURES.c.update_time)
        / extract("epoch", literal_column(f"interval '{FORGIVEN_EVERY}'", Interval))
    ),
    Integer,
)
_LEFT = func.greatest(PLACE_FAILURES.c.failures - _QUIET, 0)
_NEXT = _LEFT + 1
_WAIT_SECONDS = case(
    (
        _NEXT > FREE_FAILURES,
        func.least(WAIT_SECONDS_MAX, func.power(2, func.least(_NEXT - FREE_FAILURES, 10))),
    ),
    else_=0,
)
_FAIL = Statement(
    insert(PLACE_FAILURES)
    .values(
        account_hmac=bindparam("account_hmac"),
        place_hmac=bindparam("place_hmac"),
        failures=literal_column("1", Integer),
        wait_until=func.saga_now(),
        update_time=func.saga_now(),
    )
    .on_conflict_do_update(
        constraint="pk_place_failures",
        set_={
            "failures": _NEXT,
            "wait_until": func.saga_now() + func.make_interval(0, 0, 0, 0, 0, 0, _WAIT_SECONDS),
            "update_time": func.saga_now(),
        },
        where=PLACE_FAILURES.c.wait_until <= func.saga_now(),
    )
    .returning(PLACE_FAILURES.c.failures),
    Pair,
    _Failures,
)
_FAIL_ACCOUNT = Statement(
    insert(ACCOUNT_FAILURES)
    .values(
        account_hmac=bindparam("account_hmac"),
        failures=literal_column("1", Integer),
        next_try_time=func.saga_now(),
        begin_time=func.saga_now(),
    )
    .on_conflict_do_update(
        constraint="pk_account_failures",
        set_={
            "failures": case((_TODAY, ACCOUNT_FAILURES.c.failures + 1), else_=1),
            "begin_time": case((_TODAY, ACCOUNT_FAILURES.c.begin_time), else_=func.saga_now()),
        },
    )
    .returning(ACCOUNT_FAILURES.c.failures),
    ByAccount,
    _Failures,
)
_TAKE_TRY = Statement(
    update(ACCOUNT_FAILURES)
    .where(_OF_ACCOUNT, ACCOUNT_FAILURES.c.next_try_time <= func.saga_now())
    .values(next_try_time=func.saga_now() + literal_column(f"interval '{NEXT_TRY}'")),
    ByAccount,
    NoRow,
)
_UNTIL_TRY = Statement(
    select(_seconds_until(ACCOUNT_FAILURES.c.next_try_time).label("seconds_left")).where(
        _OF_ACCOUNT
    ),
    ByAccount,
    _Wait,
)
_FORGIVE = Statement(
    delete(PLACE_FAILURES)
    .where(_OF_PAIR)
    .returning(_seconds_until(PLACE_FAILURES.c.wait_until).label("seconds_left")),
    Pair,
    _Wait,
)
_REMEMBER = Statement(
    insert(KNOWN_PLACES)
    .values(
        account_hmac=bindparam("account_hmac"),
        place_hmac=bindparam("place_hmac"),
        seen_time=func.saga_now(),
    )
    .on_conflict_do_update(
        constraint="pk_known_places",
        set_={"seen_time": func.saga_now()},
        # One write a day is enough.
        where=KNOWN_PLACES.c.seen_time < func.saga_now() - literal_column("interval '1 day'"),
    ),
    Pair,
    NoRow,
)
_TODAYS_FAILURES = Statement(
    select(ACCOUNT_FAILURES.c.failures).where(_OF_ACCOUNT, _TODAY), ByAccount, _Failures
)
_COUNTERS = Statement(
    select(
        cast(_LEFT, Integer).label("wrong_passwords"),
        case((PLACE_FAILURES.c.wait_until > func.saga_now(), PLACE_FAILURES.c.wait_until)).label(
            "wait_until"
        ),
    )
    .where(PLACE_FAILURES.c.account_hmac == bindparam("account_hmac"), _LEFT > 0)
    .order_by(_LEFT.desc(), PLACE_FAILURES.c.update_time.desc())
    .limit(bindparam("limit")),
    _PlacesOfAccount,
    PlaceCounter,
)
_CLEAR_PLACES = Statement(
    delete(PLACE_FAILURES).where(PLACE_FAILURES.c.account_hmac == bindparam("account_hmac")),
    ByAccount,
    NoRow,
)
_CLEAR_ACCOUNT = Statement(delete(ACCOUNT_FAILURES).where(_OF_ACCOUNT), ByAccount, NoRow)
_FORGET = Statement(
    delete(KNOWN_PLACES).where(KNOWN_PLACES.c.account_hmac == bindparam("account_hmac")),
    ByAccount,
    NoRow,
)
OLD_KNOWN = old_rows("known places", KNOWN_PLACES, KNOWN_PLACES.c.seen_time, age=KNOWN_FOR)
OLD_OF_PLACES = old_rows(
    "wrong passwords of places", PLACE_FAILURES, PLACE_FAILURES.c.update_time, age="1 day"
)
OLD_OF_ACCOUNTS = old_rows(
    "wrong passwords of accounts", ACCOUNT_FAILURES, ACCOUNT_FAILURES.c.begin_time, age="1 day"
)


async def standing(reader: Reader, pair: Pair) -> PlaceStanding:
    """Return where a place stands with an account."""
    row = await reader.first(_STANDING, pair)
    assert row is not None
    return row


async def is_known(reader: Reader, pair: Pair) -> bool:
    """Return whether a place is known to an account."""
    row = await reader.first(_IS_KNOWN, pair)
    assert row is not None
    return row.is_known


async def take_try(tx: Transaction, account_hmac: bytes) -> float:
    """Take the one try of this minute, and return 0; or return how long the next one takes."""
    if await tx.execute(_TAKE_TRY, ByAccount(account_hmac)) == 1:
        return 0.0
    row = await tx.first(_UNTIL_TRY, ByAccount(account_hmac))
    return 0.0 if row is None else max(1.0, row.seconds_left)


async def count_failure(tx: Transaction, pair: Pair) -> int | None:
    """Count a wrong password of a place; None while the place must wait.

    The sixth wrong password and each further one make the place wait, each time twice as
    long.
    """
    row = await tx.first(_FAIL, pair)
    return None if row is None else row.failures


async def count_account_failure(tx: Transaction, account_hmac: bytes) -> int:
    """Count a wrong password of any place, and return the number of the last day."""
    row = await tx.first(_FAIL_ACCOUNT, ByAccount(account_hmac))
    assert row is not None
    return row.failures


async def forgive(tx: Transaction, pair: Pair) -> float:
    """Forget the wrong passwords of a place, and return how long it had to wait."""
    row = await tx.first(_FORGIVE, pair)
    return 0.0 if row is None else row.seconds_left


async def remember(tx: Transaction, pair: Pair) -> None:
    """Let a place be known to an account from now on."""
    await tx.execute(_REMEMBER, pair)


async def count_of_today(reader: Reader, account_hmac: bytes) -> int:
    """Return the number of wrong passwords for an account within a day, from all places."""
    row = await reader.first(_TODAYS_FAILURES, ByAccount(account_hmac))
    return 0 if row is None else row.failures


async def counters(reader: Reader, account_hmac: bytes, *, limit: int) -> list[PlaceCounter]:
    """Return what was counted for places, the one with the most wrong passwords first."""
    return await reader.all(_COUNTERS, _PlacesOfAccount(account_hmac, limit))


async def clear(tx: Transaction, account_hmac: bytes) -> None:
    """Forget all wrong passwords for an account."""
    await tx.execute(_CLEAR_PLACES, ByAccount(account_hmac))
    await tx.execute(_CLEAR_ACCOUNT, ByAccount(account_hmac))


async def forget(tx: Transaction, account_hmac: bytes) -> None:
    """Forget where the owner of an account has been."""
    await tx.execute(_FORGET, ByAccount(account_hmac))
