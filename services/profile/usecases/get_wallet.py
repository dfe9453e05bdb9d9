"""Get a wallet: one's own, or any for administrators."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller
from services.profile.errors import WalletNotFound
from services.profile.model import Wallet
from services.profile.store import wallets


@dataclass(frozen=True, slots=True)
class GetWallet:
    """Get a wallet with its balance."""

    database: Database

    async def __call__(self, *, caller: Caller, user_id: UUID) -> Wallet:
        """Return a user's wallet.

        Raises:
            Forbidden: The wallet is another user's, and the caller is not an administrator.
            WalletNotFound: The user has no wallet.
        """
        require_own(user_id, caller)
        wallet = await wallets.get(self.database, user_id)
        if wallet is None:
            raise WalletNotFound
        return wallet
