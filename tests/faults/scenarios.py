"""What clients ask for in the schedules."""

from __future__ import annotations

from tests.faults.accounts import (
    Deletion,
    Disabling,
    Enabling,
    RefusedDeletion,
    RichDeletion,
    Verification,
)
from tests.faults.mails import OrderMails
from tests.faults.meetings import MEETINGS
from tests.faults.orders import (
    Cancellation,
    Checkout,
    Fulfilment,
    PartialCancellation,
    RefusedCheckout,
    RefusedReturn,
    Return,
)
from tests.faults.registrations import RefusedRegistration, Registration, SignUp
from tests.faults.relayed import Relayed
from tests.faults.scenario import Scenario
from tests.faults.webhooks import Webhooks

_ALL: tuple[type[Scenario], ...] = (
    Registration,
    RefusedRegistration,
    Checkout,
    RefusedCheckout,
    Cancellation,
    PartialCancellation,
    Return,
    RefusedReturn,
    Fulfilment,
    Verification,
    Deletion,
    RefusedDeletion,
    RichDeletion,
    SignUp,
    Disabling,
    Enabling,
    Webhooks,
    OrderMails,
    Relayed,
    *MEETINGS,
)
SCENARIOS: dict[str, type[Scenario]] = {each.name: each for each in _ALL}
