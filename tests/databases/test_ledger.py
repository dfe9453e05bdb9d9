"""The currency of the money in a database is settled at the first start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from services.common import currencies, ledger, service
from services.common.ledger import WrongCurrency
from services.common.settings import SettingsError, load
from services.kernel.db.database import Database
from services.kernel.money import Currency
from services.profile import store
from services.profile.__main__ import running
from services.profile.settings import ProfileSettings
from tests.ports import free_port

WALLET = """
INSERT INTO accounts (id, kind, user_id, balance) SELECT i, 'wallet', i, 1050 FROM uuidv7() AS i
"""
# Those that 0.1 took for hundredths, by ISO 4217.
CORRECTED = {
    0: "BIF DJF GNF KMF PYG RWF UGX UYI VUV XAF XOF XPF",
    3: "IQD LYD",
    4: "CLF UYW",
}


@pytest.fixture
async def database(profile_url: str) -> AsyncIterator[Database]:
    database = Database(profile_url, name="profile", connections=5)
    await database.open()
    yield database
    await database.close()


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize(
    ("code", "digits"),
    [("USD", 2), ("JPY", 0), ("KWD", 3), ("IDR", 2), ("KRW", 0), ("HUF", 2), ("ISK", 0), ("MGA", 2)]
    + [(code, digits) for digits, codes in CORRECTED.items() for code in codes.split()],
)
def test_currencies_have_the_decimals_of_iso_4217(code: str, digits: int) -> None:
    assert currencies.digits_of(code) == digits


@pytest.mark.parametrize("code", ["ZZZ", "XAU", "XTS", "XXX", "usd", "US", "DOLLAR", ""])
def test_what_is_no_currency_with_decimals_is_refused(
    monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setenv("LOCKSTEP_CURRENCY", code)
    if not code:  # as if it were not set
        assert load(ProfileSettings).currency == "USD"
        return
    with pytest.raises(SettingsError, match=f"LOCKSTEP_CURRENCY is '{code}', but must be a code"):
        load(ProfileSettings)


async def test_the_first_of_all_replicas_writes_the_row_and_the_others_find_it(
    profile_url: str, database: Database
) -> None:
    found = await asyncio.gather(*(store.MONEY.open(database, "XOF") for _ in range(5)))
    assert found == [Currency("XOF", 0)] * 5
    assert run(profile_url, "SELECT currency, digits FROM ledger") == [("XOF", 0)]
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(profile_url, "INSERT INTO ledger (currency, digits) VALUES ('USD', 2)")


@pytest.mark.parametrize(("code", "digits"), [("XOF", 2), ("JPY", 0), ("CLF", 2), ("BHD", 3)])
async def test_money_that_is_there_keeps_its_decimals(
    profile_url: str, database: Database, code: str, digits: int
) -> None:
    run(profile_url, WALLET)
    assert await store.MONEY.open(database, code) == Currency(code, digits)


async def test_the_row_decides_whatever_the_list_says_later(
    profile_url: str, database: Database
) -> None:
    run(profile_url, "INSERT INTO ledger (currency, digits) VALUES ('XOF', 2)")
    assert await store.MONEY.open(database, "XOF") == Currency("XOF", 2)


async def test_another_currency_is_refused_and_nothing_changes(
    profile_url: str, database: Database
) -> None:
    await store.MONEY.open(database, "USD")
    with pytest.raises(WrongCurrency, match=r"LOCKSTEP_CURRENCY is JPY, the money in \w+ is USD"):
        await store.MONEY.open(database, "JPY")
    assert run(profile_url, "SELECT currency, digits FROM ledger") == [("USD", 2)]


async def test_a_ledger_waits_for_its_migration(
    profile_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.01)
    run(profile_url, "ALTER TABLE ledger RENAME TO later")
    opening = asyncio.ensure_future(store.MONEY.open(database, "EUR"))
    done, _ = await asyncio.wait([opening], timeout=0.2)
    assert not done
    run(profile_url, "ALTER TABLE later RENAME TO ledger")
    assert await asyncio.wait_for(opening, 10) == Currency("EUR", 2)


def test_a_service_of_another_currency_ends_in_one_line_before_its_port_opens(
    profile_url: str, keys: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(profile_url, "INSERT INTO ledger (currency, digits) VALUES ('USD', 2)")
    values = {
        "CURRENCY": "JPY",
        "HOME": tmp_path,
        "KEYS": keys,
        "PROFILE_DATABASE_URL": profile_url,
        "PROFILE_PORT": free_port(),
        "PROFILE_METRICS_PORT": 0,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"LOCKSTEP_{name}", str(value))
    with pytest.raises(SystemExit) as ended:
        service.run("profile", ProfileSettings, running)
    assert str(ended.value).startswith("profile: LOCKSTEP_CURRENCY is JPY, the money in ")
    assert "\n" not in str(ended.value)
