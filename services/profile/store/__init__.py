"""The SQL of Profile, in a file for each aggregate."""

from sqlalchemy import select

from services.common.ledger import Ledger
from services.kernel.db import cleaner
from services.profile.model import ACCOUNTS
from services.profile.store import transfers
from services.profile.store.profiles import FORGETTING

# A wallet holds money, perhaps none yet. Every user has one.
MONEY = Ledger(select(ACCOUNTS.c.balance).where(ACCOUNTS.c.user_id.is_not(None)))
CLEANUPS = (
    cleaner.OLD_BARRIERS,
    cleaner.OLD_KEYS,
    cleaner.OLD_AUDIT,
    transfers.OLD_TOMBSTONES,
    *FORGETTING.cleanups,
)
