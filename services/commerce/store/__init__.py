"""Commerce's SQL, one file an aggregate."""

from sqlalchemy import select

from services.commerce.model import PRODUCTS
from services.commerce.store.orders import OLD_FAILED
from services.commerce.store.users import FORGETTING
from services.common.ledger import Ledger
from services.kernel.db import cleaner

MONEY = Ledger(select(PRODUCTS.c.price))
CLEANUPS = (
    cleaner.ENDED_SAGAS,
    cleaner.OLD_BARRIERS,
    cleaner.OLD_KEYS,
    cleaner.OLD_AUDIT,
    *FORGETTING.cleanups,
    OLD_FAILED,
)
