"""Commerce's SQL, one file an aggregate."""

from services.commerce.store.orders import OLD_FAILED
from services.commerce.store.users import FORGETTING

CLEANUPS = (*FORGETTING.cleanups, OLD_FAILED)
