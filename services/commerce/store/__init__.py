"""All SQL of Commerce, one file an aggregate."""

from services.commerce.store.users import FORGETTING

CLEANUPS = FORGETTING.cleanups
