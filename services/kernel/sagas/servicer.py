"""SagaService: the sagas of a coordinator, for its operators."""

from __future__ import annotations

from typing import Final

from lockstep.saga.v1 import saga_service_pb2 as saga_pb

from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState, SagaNotFound
from services.kernel.ids import parse_id
from services.kernel.paging import PageTokens, page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import timestamp
from services.kernel.sagas.listing import SagaSummary, get_summary, list_sagas, retry_now
from services.kernel.sagas.model import SagaState
from services.kernel.validation import Violations

SAGA = saga_pb.DESCRIPTOR.services_by_name["SagaService"]

KIND_MAX: Final = 100


class SagaServicer:
    """Serves the sagas of one coordinator."""

    def __init__(self, database: Database, tokens: PageTokens) -> None:
        """Serve those of this database."""
        self._database = database
        self._tokens = tokens

    async def ListSagas(
        self, request: saga_pb.ListSagasRequest, call: Call
    ) -> saga_pb.ListSagasResponse:
        """List sagas, newest first."""
        v = Violations()
        kind = v.text(request.kind, "kind", max_length=KIND_MAX)
        state = _state(request.state, v)
        v.raise_any()
        size = page_size(request.page_size)
        listing = f"sagas {state} {kind} {request.parked}"
        found = await list_sagas(
            self._database,
            state=state,
            kind=kind,
            parked=request.parked,
            before=self._tokens.newest_first(request.page_token, listing=listing),
            limit=size + 1,
        )
        response = saga_pb.ListSagasResponse(sagas=[_message(saga) for saga in found[:size]])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = self._tokens.after(
                last.create_time, last.id, listing=listing
            )
        return response

    async def GetSaga(self, request: saga_pb.GetSagaRequest, call: Call) -> saga_pb.Saga:
        """Get a saga."""
        saga = await get_summary(self._database, parse_id(request.saga_id, field="saga_id"))
        if saga is None:
            raise SagaNotFound
        return _message(saga)

    async def RetrySaga(self, request: saga_pb.RetrySagaRequest, call: Call) -> saga_pb.Saga:
        """Make a saga due now."""
        saga_id = parse_id(request.saga_id, field="saga_id")

        async def retry(tx: Transaction) -> SagaSummary | None:
            saga = await retry_now(tx, saga_id)
            if saga is not None:
                facts = {"saga": str(saga_id), "kind": saga.kind}
                await log.write(
                    tx, "saga_retried", facts, user_id=saga.user_id, **log.by(call.origin)
                )
            return saga

        saga = await self._database.transact("retry", retry)
        if saga is None:
            if await get_summary(self._database, saga_id) is None:
                raise SagaNotFound
            raise IllegalState("The saga has ended; there is nothing to retry.")
        return _message(saga)

    async def GetSagaOutcome(
        self, request: saga_pb.GetSagaOutcomeRequest, call: Call
    ) -> saga_pb.GetSagaOutcomeResponse:
        """Say how a saga ended."""
        saga = await get_summary(self._database, parse_id(request.saga_id, field="saga_id"))
        state = saga_pb.SAGA_STATE_UNSPECIFIED if saga is None else _wire_state(saga.state)
        return saga_pb.GetSagaOutcomeResponse(state=state)


def _message(saga: SagaSummary) -> saga_pb.Saga:
    message = saga_pb.Saga(
        id=str(saga.id),
        kind=saga.kind,
        state=_wire_state(saga.state),
        attempts=saga.attempts,
        reason=saga.reason or "",
        last_error=saga.last_error or "",
        parked=saga.is_parked,
        user_id=str(saga.user_id) if saga.user_id else "",
        create_time=timestamp(saga.create_time),
        update_time=timestamp(saga.update_time),
    )
    if not saga.state.is_final:
        message.next_run_time.CopyFrom(timestamp(saga.next_run_at))
    if saga.deadline_at is not None:
        message.deadline_time.CopyFrom(timestamp(saga.deadline_at))
    return message


def _wire_state(state: SagaState) -> saga_pb.SagaState.ValueType:
    return saga_pb.SagaState.Value(f"SAGA_STATE_{state}")


def _state(wire: saga_pb.SagaState.ValueType, v: Violations) -> SagaState | None:
    if wire == saga_pb.SAGA_STATE_UNSPECIFIED:
        return None
    if wire not in saga_pb.SagaState.values():  # enums are open: any number may come
        v.add("state", "must be a state of sagas")
        return None
    return SagaState(saga_pb.SagaState.Name(wire).removeprefix("SAGA_STATE_"))
