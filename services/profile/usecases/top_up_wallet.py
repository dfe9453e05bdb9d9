"""Put money into a wallet."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.rpc.call import Origin
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.requests import transact_once
from services.profile.domain.repeats import repeated
from services.profile.errors import WalletNotFound
from services.profile.model import NewTransfer, Transfer
from services.profile.store import ledger, transfers
from services.profile.store.ledger import IdTaken

_CODEC = TypeAdapter(Transfer)


@dataclass(frozen=True, slots=True)
class TopUpWallet:
    """Top a wallet up; the same id never moves money twice."""

    database: Database

    async def __call__(
        self, *, new: NewTransfer, origin: Origin, key: RequestKey | None
    ) -> Transfer:
        """Put money into a wallet.

        Raises:
            WalletNotFound: The user has no wallet.
            InvalidField: The id was used for another transfer.
        """
        try:
            return await self._once(new, origin, key)
        except IdTaken:
            # Another call was faster with the same id; the second try finds its transfer.
            return await self._once(new, origin, key)

    async def _once(self, new: NewTransfer, origin: Origin, key: RequestKey | None) -> Transfer:
        async def top_up(tx: Transaction) -> Transfer:
            found = await transfers.find(tx, new.id)
            if found is not None:
                return repeated(found, new)
            posted = await ledger.top_up(tx, new)
            if posted is None:
                raise WalletNotFound
            await tell(tx, ledger.fact_of(new, wallet_id=posted.wallet_id))
            await log.write(
                tx,
                "wallet_topped_up",
                {"transfer": str(new.id), "amount": new.amount},
                user_id=new.user_id,
                **log.by(origin),
            )
            return posted

        return await transact_once(self.database, "TopUpWallet", key, top_up, _CODEC)
