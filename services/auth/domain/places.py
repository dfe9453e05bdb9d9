"""Places: what tells an account's owner from a stranger before a password is right.

A place is the client's IP, of IPv6 its site. It is known to an account for 90 days after a
right password, or a reset, from there. Limits count for a place, so that a stranger spends
those of a place of his own, and those that count for all places spare the known ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.model import CanonicalEmail
from services.auth.store import places as store
from services.auth.store.places import Pair
from services.kernel.db.database import Reader
from services.kernel.rpc.client_ips import site_of
from services.kernel.secret import Secret


@dataclass(frozen=True, slots=True)
class Places:
    """Names accounts and places by pseudonyms, and knows which belong together."""

    pseudonyms: Secret

    def account(self, email: CanonicalEmail) -> bytes:
        """Return the pseudonym of an account, or of an e-mail that has none."""
        return self.pseudonyms.lasting_digest(b"attempts\0" + email.encode())

    def place(self, client_ip: str | None) -> bytes:
        """Return the pseudonym of a place. Callers without an IP are one place."""
        site = "" if client_ip is None else site_of(client_ip)
        return self.pseudonyms.lasting_digest(b"place\0" + site.encode())

    def pair(self, email: CanonicalEmail, client_ip: str | None) -> Pair:
        """Return the pseudonyms of an account and a place."""
        return Pair(self.account(email), self.place(client_ip))

    async def is_known(self, reader: Reader, email: CanonicalEmail, client_ip: str | None) -> bool:
        """Return whether the owner of an account has been at a place."""
        return await store.is_known(reader, self.pair(email, client_ip))
