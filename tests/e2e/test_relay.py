"""`lockstep up` runs the relay if it is told where NATS is."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import running_stack
from tests.environment import variables
from tests.ports import free_port
from tests.relay.broker import Nats, until
from tests.waiting import until_found

PERSON = {
    "email": "relayed@example.com",
    "password": "Documented-Horse-42",
    "fullName": "Ada Lovelace",
    "course": "Maths",
}


@pytest.mark.processes
async def test_a_registration_is_told_over_nats(tmp_path: Path) -> None:
    nats, port = Nats(tmp_path / "nats"), free_port()
    ready = f"http://127.0.0.1:{port}/readyz"
    settings = variables(nats_url=nats.url, relay_metrics_port=str(port))
    with nats.running(), running_stack(**settings) as stack:
        async with httpx.AsyncClient(timeout=30) as client, nats.connected() as jetstream:
            # As the answer says, a call is repeated that a busy machine has cut off.
            made = await until_found(
                lambda: client.post(
                    f"{stack.url}/v1/auth/register", json=PERSON, headers={"Idempotency-Key": "one"}
                ),
                lambda it: it.status_code != 503,
            )
            assert made.status_code == 201, made.text
            [told] = await until(jetstream, "LOCKSTEP_AUTH", 1)
            # A service that was not there yet when the relay looked is looked for again.
            await until_found(lambda: client.get(ready), lambda it: it.text == "ok\n", seconds=30)
    assert (told.headers or {})["ce-subject"] == f"users/{made.json()['user']['id']}"
