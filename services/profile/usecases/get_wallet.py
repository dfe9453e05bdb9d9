"""Get a wallet: one's own, or any for administrators."""

from __future__ import annotations

from services.kernel.db.database import Database
from services.kernel.rpc.access import owned_id
from services.kernel.rpc.call import UserPrincipal
from services.profile.errors import WalletNotFound
from services.profile.model import Wallet
from services.profile.store import wallets


class GetWallet:
    """Gets wallets."""

    def __init__(self, database: Database) -> None:
        """Look there."""
        self._database = database

    async def __call__(self, *, caller: UserPrincipal, user_id: str) -> Wallet:
        """Return a wallet; `me` is the caller's.

        Raises:
            Forbidden: It is somebody else's, and the caller is no administrator.
            WalletNotFound: There is none.
        """
        wallet = await wallets.get(self._database, owned_id(user_id, caller))
        if wallet is None:
            raise WalletNotFound
        return wallet
