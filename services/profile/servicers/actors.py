"""Who asks for a transfer."""

from __future__ import annotations

from services.kernel.rpc.call import Call


def actor_of(call: Call) -> str:
    """Return the caller as the ledger has it: a user by id, or a service by name."""
    kind = "service" if call.caller.own_id is None else "user"
    return f"{kind}:{call.caller.actor}"
