"""A request of the schedules: how it is watched while it runs, and the answer to its client."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import LockstepError

from services.auth.domain.codes import code_hmac
from services.auth.model import CanonicalEmail
from services.kernel.ids import new_id
from services.kernel.rpc.call import Principal
from tests.faults.edges import Actor
from tests.faults.world import PASSWORD_HASH, SECRETS, World

PASSWORD = "Secure-Horse-42"
CODE = "123456"
_numbers = itertools.count(1)

# Reasons that promise nothing: the client learns the outcome by the same key.
UNKNOWN = {
    "",
    "DATABASE_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REGISTRATION_IN_PROGRESS",
    "REQUEST_IN_PROGRESS",
}
# A refusal with one of these codes is kept with the request's key.
KEPT = {
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
}
# Success may follow a refusal with one of these codes, which speaks of one try.
PASSING = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}
SCHEMAS = {"a": "auth", "c": "commerce"}
_MOVES = {("RUNNING", "DONE"), ("RUNNING", "COMPENSATING"), ("COMPENSATING", "ABORTED")}


def hmac_of(flow_id: UUID, email: str) -> bytes:
    """Return what Auth keeps of the code of a flow."""
    return code_hmac(SECRETS["codes"], flow_id, CanonicalEmail(email), CODE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a client: ok, fail (with a reason) or unknown."""

    kind: str
    reason: str = ""
    answer: Any = None
    is_kept: bool = False
    may_pass: bool = False

    @classmethod
    def of(cls, error: LockstepError) -> Outcome:
        kind = "unknown" if error.reason in UNKNOWN else "fail"
        code = error.code
        return cls(kind, error.reason, is_kept=code in KEPT, may_pass=code in PASSING)


@dataclass(frozen=True, slots=True)
class SagaRow:
    """The watched part of a saga."""

    state: str
    epoch: int
    next_run_at: datetime


class Scenario:
    """One request, its needs, and the promises about it.

    Attributes:
        name: In schedules.
        coordinator: The letters of the services that are asked.
        refused: Whether a participant is going to refuse.
        keyed: Whether the request takes an idempotency key.
        is_repeated: Whether the same request is sent again in the end.
        own_edges: A pattern of the edges that another scenario does not pass in the same way.
        turned_edges: A pattern of those at which the short form plays one fault each, by turns.
        readers: Who reads events: "webhooks", "order-mails" or "relay". With any of them,
            services number their events.
    """

    name = ""
    coordinator = "a"
    refused = False
    principal: Principal = None
    keyed = True
    is_repeated = True
    own_edges = ""
    turned_edges = ""
    readers: tuple[str, ...] = ()
    # Parts of the names of edges before the saga begins: what fails there, the client repeats.
    tried_once: tuple[str, ...] = (".PhoneExists.", ".code.", ".GetHoldings.")

    def __init__(self, world: World) -> None:
        self.number = next(_numbers)
        self.key = f"key-{new_id()}"
        self.world = world
        # Before it, as clocks may differ.
        self.begin: datetime = world.ground.one(
            "SELECT now() - interval '30 minutes' AS begin"
        ).begin
        self.sagas: dict[UUID, SagaRow] = {}
        self.prepare()

    @property
    def replicas(self) -> list[str]:
        """Who takes part."""
        return [f"{letter}{n}" for letter in (*self.coordinator, "p") for n in (1, 2)]

    @property
    def schemas(self) -> list[str]:
        """The databases of the coordinators."""
        return [SCHEMAS[letter] for letter in self.coordinator]

    def prepare(self) -> None:
        """Make the rows that the request needs."""

    async def ask(self, wire: Any) -> Any:
        """Send the request."""
        raise NotImplementedError

    def always(self) -> Iterator[str]:
        """Yield the promises that are broken at this instant."""
        yield from ()

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        """Yield the promises that are broken when everything has come to rest."""
        yield from ()

    def happened(self) -> bool:
        """Return whether the request has had its effect."""
        raise NotImplementedError

    def take_reason_away(self) -> None:
        """Take away the reason why the request was refused.

        A message that comes late must be refused all the same, and so must a repeat with the
        same key.
        """

    # --- watching

    def committed(self, world: World, actor: Actor, edge: str) -> None:
        for problem in self._moves():
            world.run.blame(f"{problem}, after {edge}")
        if ".K." in edge or ".renewal." in edge:  # changes leases, and nothing else
            return
        for problem in self.always():
            world.run.blame(f"{problem}, after {edge}")

    def _moves(self) -> Iterator[str]:
        columns = "id, state, lease_epoch, next_run_at, {schema}.saga_now() AS now"
        for row in self._sagas(columns):
            seen = self.sagas.get(row.id)
            self.sagas[row.id] = SagaRow(row.state, row.lease_epoch, row.next_run_at)
            if seen is None:
                continue
            if seen.state != row.state and (seen.state, row.state) not in _MOVES:
                yield f"a saga went from {seen.state} to {row.state}"
            was_good = seen.next_run_at > row.now and not self.world.run.has_met("behind")
            if row.lease_epoch > seen.epoch and was_good:
                yield "a lease was taken while it was good"

    def sending(self, world: World, method: str, message: bytes) -> None:
        saga_id, schema = None, ""
        if method == "CancelProfile":
            saga_id = profile_pb.CancelProfileRequest.FromString(message).saga_id
            schema = "auth"
        if method == "VoidTransfer":
            saga_id = wallet_pb.VoidTransferRequest.FromString(message).transfer_id
            schema = "commerce"
        if saga_id is not None:
            saga = world.saga(saga_id, schema)
            if saga is None or saga.state not in ("COMPENSATING", "ABORTED"):
                world.run.blame(f"{method} was sent before the turn was committed")

    def saga_ids(self) -> list[Any]:
        """Return the ids of all sagas of this run."""
        return [row.id for row in self._sagas("id")]

    def forget_opening(self, world: World) -> None:
        """Do what a failover to a standby without T1 does."""

    def unfinished(self) -> int:
        """Return how many sagas of this run have not ended."""
        states = [row.state for row in self._sagas("state")]
        return states.count("RUNNING") + states.count("COMPENSATING")

    def secrets(self) -> Iterator[str]:
        """Yield what a saga's row holds that it must not."""
        for row in self._sagas("sagas::text AS text"):
            for secret in (PASSWORD, PASSWORD_HASH, CODE):
                if f'"{secret}"' in row.text.replace('""', '"'):
                    yield "a saga's row holds a secret"

    def _sagas(self, columns: str) -> list[Any]:
        """Return columns of all sagas of this run; `{schema}` in them is a service's part."""
        return [
            row
            for schema in self.schemas
            for row in self.world.ground.rows(
                f"SELECT {columns.format(schema=schema)} FROM {schema}.sagas"
                " WHERE create_time >= %(begin)s",
                begin=self.begin,
            )
        ]
