"""Put money into a wallet."""

from __future__ import annotations

from pydantic import TypeAdapter

from services.kernel.db.database import Database, Transaction
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import RequestKey
from services.profile.domain.repeats import repeated
from services.profile.errors import WalletNotFound
from services.profile.model import NewTransfer, Transfer
from services.profile.store import ledger, transfers
from services.profile.store.ledger import IdTaken

_CODEC = TypeAdapter(Transfer)


class TopUpWallet:
    """Tops wallets up; the same id never moves money twice."""

    def __init__(self, database: Database) -> None:
        """Top up there."""
        self._database = database

    async def __call__(self, *, new: NewTransfer, key: RequestKey | None) -> Transfer:
        """Put money into a wallet.

        Raises:
            WalletNotFound: There is none.
            InvalidField: The id was used for something else.
        """
        try:
            return await self._once(new, key)
        except IdTaken:
            # Somebody else was faster with the same id: now it is there to be found.
            return await self._once(new, key)

    async def _once(self, new: NewTransfer, key: RequestKey | None) -> Transfer:
        async def top_up(tx: Transaction) -> Transfer:
            found = await transfers.find(tx, new.id)
            if found is not None:
                return repeated(found, new)
            posted = await ledger.top_up(tx, new)
            if posted is None:
                raise WalletNotFound
            return posted

        return await idempotency.once(self._database, "TopUpWallet", key, top_up, _CODEC)
