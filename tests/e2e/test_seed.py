"""`lockstep seed --people`: a shop that works in the first minute."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.stack import Stack

pytestmark = pytest.mark.processes


class Visitor:
    """Somebody who was printed, signed in."""

    def __init__(self, url: str, email: str, password: str) -> None:
        body = {"email": email, "password": password}
        tokens = httpx.post(f"{url}/v1/auth/login", json=body).raise_for_status().json()
        self.id = tokens["userId"]
        self._url, self._headers = url, {"authorization": f"Bearer {tokens['token']}"}

    def get(self, path: str, **query: Any) -> Any:
        """Get a resource."""
        answer = httpx.get(f"{self._url}{path}", params=query, headers=self._headers)
        return answer.raise_for_status().json()


def test_people_are_made_and_can_sign_in(stack: Stack) -> None:
    output = stack.command("seed", "--products", "2", "--categories", "1", "--people")
    assert f"these people sign in at {stack.url}:" in output
    lines = [line.split("\t") for line in output.splitlines() if "@" in line]
    people = {does: Visitor(stack.url, email, password) for does, email, password in lines}
    buyer, seller, admin = (people[does] for does in ("buys", "sells", "administers"))
    assert buyer.get("/v1/wallets/me")["balance"]["units"] == "500"
    assert len(buyer.get("/v1/orders")["orders"]) == 2
    products = seller.get("/v1/products", seller=seller.id)["products"]
    assert len(products) == 6
    assert all(product["thumbnailUrl"] for product in products)
    assert len(seller.get("/v1/sales", fulfilled="false")["sales"]) == 2
    assert admin.get("/v1/users/me")["role"] == "admin"


def test_the_passwords_are_told_even_if_the_catalog_cannot_be_filled(stack: Stack) -> None:
    nowhere = {"LOCKSTEP_COMMERCE_MIGRATE_DATABASE_URL": "postgresql://u@127.0.0.1:1/none"}
    done = Stack(stack.environment | nowhere).run("seed", "--products", "2", "--people")
    assert done.returncode == 1
    lines = [line.split("\t") for line in done.stdout.splitlines() if "@" in line]
    assert len([Visitor(stack.url, email, password) for _, email, password in lines]) == 3


def test_people_are_never_made_in_production(stack: Stack) -> None:
    production = Stack(stack.environment | {"LOCKSTEP_ENV": "prod", "LOCKSTEP_BCRYPT_COST": "12"})
    done = production.run("seed", "--products", "2", "--people")
    assert done.returncode == 1
    assert "LOCKSTEP_ENV must be test for --people" in done.stderr
    assert "added" not in done.stdout
