"""Rows of sagas, as literal JSON: what processes of the first version write and read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from services.kernel.ids import new_id
from services.kernel.sagas.model import Saga, SagaKind, SagaState

P = TypeVar("P")
R = TypeVar("R")

NOW = datetime.now(UTC)
NO_DATABASE: Any = None  # to read a payload


def row(
    kind: SagaKind[P, R],
    *,
    payload: object = None,
    result: object = None,
    state: SagaState = SagaState.DONE,
    version: int = 1,
) -> Saga:
    """Return a saga with this JSON in its row."""
    return Saga(
        id=new_id(),
        kind=kind.name,
        version=version,
        state=state,
        payload=payload,
        result=result,
        kept_error=None,
        user_id=new_id(),
        attempts=1,
        lease_epoch=1,
        not_after=None,
        expires=None,
        create_time=NOW,
        update_time=NOW,
    )


def written_again(
    kind: SagaKind[P, R], *, payload: object, result: object
) -> tuple[object, object]:
    """Read a row and return its JSON as it would be written now."""
    saga = row(kind, payload=payload, result=result)
    outcome = kind.outcome_of(saga)
    return (
        kind.payload_json(kind.running(saga, NO_DATABASE).payload),
        kind.result_json(outcome.unwrap()),
    )
