"""List the transfers of a wallet, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller
from services.profile.errors import WalletNotFound
from services.profile.model import Transfer
from services.profile.store import transfers, wallets


@dataclass(frozen=True, slots=True)
class ListWalletTransfers:
    """List transfers in pages."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, *, caller: Caller, user_id: UUID, limit: int, token: str
    ) -> tuple[list[Transfer], str]:
        """Return a page and the token of the next one, empty on the last.

        Raises:
            Forbidden: The wallet is another user's, and the caller is not an administrator.
            WalletNotFound: The user has no wallet.
            InvalidField: The token is not one of this list.
        """
        require_own(user_id, caller)
        wallet = await wallets.get(self.database, user_id)
        if wallet is None:
            raise WalletNotFound
        listing = f"transfers {wallet.id}"
        found = await transfers.list_newest(
            self.database,
            wallet.id,
            before=self.tokens.newest_first(token, listing=listing),
            limit=limit + 1,
        )
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1]
        return found[:limit], self.tokens.after(last.create_time, last.id, listing=listing)
