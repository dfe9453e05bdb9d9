"""List the transfers of a wallet, newest first."""

from __future__ import annotations

from services.kernel.db.database import Database
from services.kernel.paging import PageTokens, page_size
from services.kernel.rpc.call import UserPrincipal
from services.profile.model import Transfer
from services.profile.store import transfers
from services.profile.usecases.get_wallet import GetWallet


class ListWalletTransfers:
    """Lists transfers in pages.

    Args:
        database: Where they are.
        tokens: Makes and reads page tokens.
    """

    def __init__(self, database: Database, tokens: PageTokens) -> None:
        """See the class."""
        self._database = database
        self._tokens = tokens
        self._get_wallet = GetWallet(database)

    async def __call__(
        self, *, caller: UserPrincipal, user_id: str, size: int, token: str
    ) -> tuple[list[Transfer], str]:
        """Return a page, and the token of the next one or "".

        Raises:
            Forbidden: It is somebody else's, and the caller is no administrator.
            WalletNotFound: There is none.
            InvalidField: The size is negative, or the token not one of this list.
        """
        limit = page_size(size)
        wallet = await self._get_wallet(caller=caller, user_id=user_id)
        listing = f"transfers {wallet.id}"
        found = await transfers.list_newest(
            self._database,
            wallet.id,
            before=self._tokens.newest_first(token, listing=listing),
            limit=limit + 1,
        )
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1]
        return found[:limit], self._tokens.after(last.create_time, last.id, listing=listing)
