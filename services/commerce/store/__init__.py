"""Commerce's SQL, one file an aggregate."""

from services.commerce.store.users import FORGETTING

CLEANUPS = FORGETTING.cleanups
