"""What a failover has lost is told, and mended where a wrong guess makes nothing worse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from services.cli import reconciler
from services.cli.comparison import Finding, Kind
from services.cli.reconciler import Mender, TooManyError, compare
from services.common.service import opened
from services.kernel.db.database import Database
from services.kernel.ids import new_id
from tests.system import System, student, system


class Lost:
    """Three databases that can lose commits."""

    def __init__(self, lockstep: System, urls: dict[str, str]) -> None:
        self.lockstep, self.urls = lockstep, urls

    def sql(self, service: str, statement: str, *parameters: Any) -> list[Any]:
        with psycopg.connect(self.urls[service], autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    async def register(self, email: str = "alice@example.com") -> str:
        answer = await self.lockstep.auth.Register(student(email))
        self.sql("profile", "UPDATE profiles SET create_time = now() - interval '2 hours'")
        return answer.user.id

    def forget_user(self, user_id: str) -> None:
        """Lose T1, as a failover to a standby behind does."""
        self.sql("auth", "DELETE FROM users WHERE id = %s", user_id)
        self.sql("auth", "DELETE FROM sagas WHERE user_id = %s", user_id)

    def debit(self, user_id: str, transfer_id: object) -> None:
        """Take money for an order of a checkout that was lost."""
        self.sql("profile", "UPDATE accounts SET balance = 40 WHERE user_id = %s", user_id)
        self.sql(
            "profile",
            "INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id, amount,"
            " reference, fingerprint, create_time) SELECT gen_random_uuid(), 'top_up', 'posted',"
            " '00000000-0000-8000-8000-000000000001', id, 100, '', 'f', now() FROM accounts"
            " WHERE user_id = %s",
            user_id,
        )
        self.sql(
            "profile",
            "INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id, amount,"
            " reference, fingerprint, create_time) SELECT %s, 'debit', 'posted', id,"
            " '00000000-0000-8000-8000-000000000002', 60, '', 'f', now() - interval '2 hours'"
            " FROM accounts WHERE user_id = %s",
            transfer_id,
            user_id,
        )

    def order(self, state: str, debit_id: object, *, minutes: int = 0) -> UUID:
        order_id = new_id()
        self.sql(
            "commerce",
            "INSERT INTO orders (id, user_id, state, total, debit_id, update_time)"
            " VALUES (%s, gen_random_uuid(), %s, 60, %s, now() - %s * interval '1 minute')",
            order_id,
            "PENDING" if state == "PENDING" else "PAID",
            debit_id,
            minutes,
        )
        if state in ("CANCELLING", "CANCELLED"):
            refund_id = self.refund(order_id, 60, is_open=state == "CANCELLING", minutes=minutes)
            self.sql(
                "commerce",
                "UPDATE orders SET state = %s, refund_id = %s WHERE id = %s",
                state,
                refund_id,
                order_id,
            )
        return order_id

    def refund(
        self, order_id: UUID, amount: int, *, is_open: bool = False, minutes: int = 0
    ) -> UUID:
        """Let an order have a refund of which the wallet knows nothing."""
        refund_id = new_id()
        self.sql(
            "commerce",
            "INSERT INTO refunds (id, order_id, kind, state, amount, is_restocked, reason,"
            " create_time) VALUES (%s, %s, 'CANCEL', %s, %s, true, '',"
            " now() - %s * interval '1 minute')",
            refund_id,
            order_id,
            "OPEN" if is_open else "DONE",
            amount,
            minutes,
        )
        return refund_id

    def line(self, order_id: UUID, *, price: int, commission_bps: int) -> None:
        """Let an order have a good of a seller."""
        self.sql(
            "commerce",
            "WITH category AS (INSERT INTO categories (id, name, description)"
            " VALUES (gen_random_uuid(), 'Things', '') RETURNING id), product AS ("
            "INSERT INTO products (id, category_id, seller_id, name, description, price, stock,"
            " image_url) SELECT gen_random_uuid(), id, gen_random_uuid(), 'Thing', '', 1, 1, ''"
            " FROM category RETURNING id, seller_id) INSERT INTO order_items (order_id, position,"
            " product_id, name, quantity, unit_price, seller_id, commission_bps)"
            " SELECT %s, 0, id, 'Thing', 1, %s, seller_id, %s FROM product",
            order_id,
            price,
            commission_bps,
        )

    def sell(self, debit_id: UUID, share: int) -> None:
        """Give a seller a share of a debit."""
        self.sql(
            "profile",
            "WITH pending AS (INSERT INTO accounts (id, kind, seller_id, balance)"
            " VALUES (gen_random_uuid(), 'pending', gen_random_uuid(), %s) RETURNING id)"
            " INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id, amount,"
            " reference, fingerprint, original_id) SELECT gen_random_uuid(), 'sale', 'posted',"
            " '00000000-0000-8000-8000-000000000002', id, %s, '', 'f', %s FROM pending",
            share,
            share,
            debit_id,
        )

    def kinds(self) -> list[Kind]:
        return [finding.kind for finding in compare(self.urls)]

    async def mend(self) -> list[Finding]:
        auth = Database(self.urls["auth"], name="auth", connections=1)
        profile = Database(self.urls["profile"], name="profile", connections=1)
        async with opened(auth, profile):
            return await Mender(auth, profile).mend(compare(self.urls))


@asynccontextmanager
async def losing(
    auth_url: str, profile_url: str, commerce_url: str, keys: Path, home: Path
) -> AsyncIterator[Lost]:
    async with system(auth_url, profile_url, keys, home) as lockstep:
        urls = {"auth": auth_url, "profile": profile_url, "commerce": commerce_url}
        yield Lost(lockstep, urls)


@pytest.fixture
async def lost(
    auth_url: str, profile_url: str, commerce_url: str, keys: Path, tmp_path: Path
) -> AsyncIterator[Lost]:
    async with losing(auth_url, profile_url, commerce_url, keys, tmp_path) as made:
        yield made


async def test_where_nothing_was_lost_everything_agrees(lost: Lost) -> None:
    await lost.register()
    assert compare(lost.urls) == []


async def test_a_profile_whose_registration_was_lost_is_cancelled(lost: Lost) -> None:
    """[R37]"""
    lost.forget_user(await lost.register())
    await lost.register("bob@example.com")
    assert lost.kinds() == [Kind.ORPHAN_PROFILE]
    assert len(await lost.mend()) == 1
    assert compare(lost.urls) == []
    await lost.lockstep.agree()


async def test_a_profile_that_is_young_is_left_alone(lost: Lost) -> None:
    """[R37]: its saga may be at work."""
    lost.forget_user(await lost.register())
    lost.sql("profile", "UPDATE profiles SET create_time = now()")
    assert compare(lost.urls) == []


async def test_a_profile_that_was_lost_is_created_again(lost: Lost) -> None:
    """[R39]: with what the saga, which is DONE, has kept."""
    user_id = await lost.register()
    before = lost.sql("profile", "SELECT first_name, last_name, course, status FROM profiles")
    for table in ("accounts WHERE user_id IS NOT NULL", "profiles", "saga_barriers"):
        lost.sql("profile", f"DELETE FROM {table}")
    assert compare(lost.urls)[0].kind is Kind.MISSING_PROFILE
    assert len(await lost.mend()) == 1
    assert compare(lost.urls) == []
    await lost.lockstep.agree()
    after = lost.sql("profile", "SELECT first_name, last_name, course, status FROM profiles")
    assert after == before
    assert str(lost.sql("profile", "SELECT user_id FROM accounts WHERE kind = 'wallet'")[0][0]) == (
        user_id
    )


async def test_a_lost_profile_whose_saga_is_not_done_is_only_told(lost: Lost) -> None:
    """[R39]"""
    await lost.register()
    lost.sql("profile", "DELETE FROM profiles")
    lost.sql("auth", "UPDATE sagas SET state = 'ABORTED'")
    assert lost.kinds() == [Kind.MISSING_PROFILE]
    assert await lost.mend() == []
    assert lost.kinds() == [Kind.MISSING_PROFILE]


async def test_a_debit_whose_checkout_was_lost_is_voided_once(lost: Lost) -> None:
    """[R37]"""
    lost.debit(await lost.register(), new_id())
    assert lost.kinds() == [Kind.ORPHAN_DEBIT]
    await lost.mend()
    assert compare(lost.urls) == []
    assert await lost.mend() == []
    assert lost.sql("profile", "SELECT balance FROM accounts WHERE kind = 'wallet'") == [(100,)]


async def test_orders_and_debits_that_disagree_are_only_told(lost: Lost) -> None:
    """[C23 C34]: a paid order is never cancelled by a guess."""
    debit_id = new_id()
    lost.debit(await lost.register(), debit_id)
    lost.order("CANCELLED", debit_id)
    lost.order("PAID", new_id())
    assert sorted(lost.kinds()) == sorted([Kind.UNREFUNDED_ORDER, Kind.UNPAID_ORDER])
    assert await lost.mend() == []


async def test_what_went_back_is_what_was_refunded(lost: Lost) -> None:
    debit_id = new_id()
    lost.debit(await lost.register(), debit_id)
    order_id = lost.order("PAID", debit_id)
    assert compare(lost.urls) == []
    lost.refund(order_id, 20, is_open=True)  # on its way
    assert compare(lost.urls) == []
    lost.sql("commerce", "UPDATE refunds SET state = 'DONE'")
    assert lost.kinds() == [Kind.UNREFUNDED_ORDER]
    lost.sql(
        "profile",
        "INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id, amount,"
        " reference, fingerprint, original_id) SELECT gen_random_uuid(), 'refund', 'posted',"
        " credit_account_id, debit_account_id, 30, '', 'f', id FROM transfers WHERE id = %s",
        debit_id,
    )
    lost.sql("profile", "UPDATE accounts SET balance = balance + 30 WHERE kind = 'wallet'")
    assert lost.kinds() == [Kind.OVERPAID_REFUND]
    assert await lost.mend() == []


async def test_shares_that_are_not_those_of_the_order_are_only_told(lost: Lost) -> None:
    debit_id = new_id()
    lost.debit(await lost.register(), debit_id)
    order_id = lost.order("PAID", debit_id)
    lost.line(order_id, price=100, commission_bps=1000)
    assert lost.kinds() == [Kind.WRONG_SHARES]
    lost.sell(debit_id, 90)
    assert compare(lost.urls) == []
    lost.sql(
        "commerce",
        "INSERT INTO shipments (id, order_id, tracking) SELECT id, id, '' FROM orders",
    )
    lost.sql("commerce", "UPDATE order_items SET shipment_id = order_id")
    assert lost.kinds() == [Kind.WRONG_PENDING]
    assert await lost.mend() == []


@pytest.mark.parametrize("state", ["PENDING", "CANCELLING"])
async def test_an_order_that_stays_in_flight_is_only_told(lost: Lost, state: str) -> None:
    """Its saga is parked, or has lost what it needs."""
    lost.order(state, new_id(), minutes=50)
    assert compare(lost.urls) == []
    lost.order(state, new_id(), minutes=70)
    assert lost.kinds() == [Kind.STUCK_ORDER]
    assert await lost.mend() == []


async def test_a_wrong_balance_is_only_told(lost: Lost) -> None:
    await lost.register()
    lost.sql("profile", "UPDATE accounts SET balance = 7 WHERE kind = 'wallet'")
    assert lost.kinds() == [Kind.WRONG_BALANCE]
    assert await lost.mend() == []


async def test_more_than_can_have_been_lost_is_a_restored_backup_and_left_alone(
    lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[P12]: presumed abort has a cap; without it good profiles are deleted."""
    monkeypatch.setattr(reconciler, "MENDED_AT_ONCE", 2)
    for number in range(3):
        lost.forget_user(await lost.register(f"u{number}@example.com"))
    with pytest.raises(TooManyError):
        await lost.mend()
    assert len(lost.sql("profile", "SELECT 1 FROM profiles")) == 3
    # The mutant: no cap.
    monkeypatch.setattr(reconciler, "MENDED_AT_ONCE", 10**6)
    await lost.mend()
    assert lost.sql("profile", "SELECT 1 FROM profiles") == []
