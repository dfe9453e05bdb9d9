"""The forgetting of users at Auth: the users' own rows go with them."""

from __future__ import annotations

from services.auth.model import IDEMPOTENCY, SAGAS
from services.common.forgetting import Forgetting

FORGETTING = Forgetting(IDEMPOTENCY, sagas=SAGAS)
