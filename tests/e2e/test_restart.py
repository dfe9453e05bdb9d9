"""`lockstep restart`: callers of the gateway reach the restarted service at once."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_rest import http, login, new_email, student

pytestmark = pytest.mark.processes

__all__ = ["http"]


@pytest.mark.parametrize("service", ["auth", "profile", "commerce"])
def test_a_service_is_reached_at_once_after_its_restart(
    stack: Stack, http: httpx.Client, service: str
) -> None:
    stack.command("restart", service)
    email = new_email()
    made = student(http, email)
    user = http.get(f"/v1/users/{made['user']['id']}", headers=(own := login(http, email)))
    cart = http.get("/v1/cart", headers=own)
    assert (user.status_code, cart.status_code) == (200, 200), (user.text, cart.text)
