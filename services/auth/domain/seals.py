"""Seals: what must be read again is encrypted with keys that follow from a secret.

A secret has two keys while it is replaced. What the old one has sealed is lost with it, so
`reseal` comes before it is dropped.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from services.auth.store import sealed
from services.auth.store.sealed import SealedRow, SealedTable
from services.kernel.db.database import Database, Transaction
from services.kernel.secret import Secret

ROWS_AT_ONCE: Final = 200

# The tables that each secret of Auth seals, by the name of the secret.
TABLES: Final = {"outbox": sealed.MAILS, "totp": sealed.SEEDS, "webhooks": sealed.SECRETS}


@dataclass(frozen=True, slots=True)
class Resealed:
    """What became of the sealed rows of a table.

    Attributes:
        rows: How many are sealed with the newest key now.
        left: How many only the old key can open, because a process still seals with it.
        unreadable: How many no key can open.
    """

    rows: int = 0
    left: int = 0
    unreadable: int = 0


def seal_of(secret: Secret, name: str) -> MultiFernet:
    """Return what seals with the newest key of a secret, and opens with each of them."""
    return MultiFernet([_fernet(key) for key in secret.digests(name.encode())])


async def reseal(database: Database, secret: Secret, name: str) -> Resealed:
    """Seal with the newest key what an older one has sealed.

    Args:
        database: Auth's database.
        secret: The secret, with all its keys.
        name: The name of the secret, a key of `TABLES`.
    """
    await _pass(database, secret, name)
    return await _pass(database, secret, name, changes=False)


async def _pass(database: Database, secret: Secret, name: str, *, changes: bool = True) -> Resealed:
    newest, every = _fernet(secret.digest(name.encode())), seal_of(secret, name)
    table, after = TABLES[name], None
    rows = left = unreadable = 0
    while batch := await sealed.page(database, table, after=after, limit=ROWS_AT_ONCE):
        after = batch[-1].id
        for row in batch:
            if _opens(newest, row):
                rows += 1
            elif not _opens(every, row):
                unreadable += 1
            elif changes:
                await _replace(database, table, row, every.rotate(row.sealed))
            else:
                left += 1
    return Resealed(rows, left, unreadable)


async def _replace(database: Database, table: SealedTable, row: SealedRow, anew: bytes) -> None:
    async def work(tx: Transaction) -> None:
        await sealed.replace(tx, table, row, anew)

    await database.transact("reseal", work)


def _opens(seal: Fernet | MultiFernet, row: SealedRow) -> bool:
    try:
        seal.decrypt(row.sealed)
    except InvalidToken:
        return False
    return True


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))
