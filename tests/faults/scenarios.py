"""What clients ask for in the schedules."""

from __future__ import annotations

from tests.faults.accounts import Deletion, RefusedDeletion, Verification
from tests.faults.orders import Cancellation, Checkout, RefusedCheckout
from tests.faults.registrations import RefusedRegistration, Registration
from tests.faults.scenario import Scenario

SCENARIOS: dict[str, type[Scenario]] = {
    each.name: each
    for each in (
        Registration,
        RefusedRegistration,
        Checkout,
        RefusedCheckout,
        Cancellation,
        Verification,
        Deletion,
        RefusedDeletion,
    )
}
