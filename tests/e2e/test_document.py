"""The API document is enough for a client that knows nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from requests import Response

from tests.e2e.stack import Stack

EMAIL = "from-the-document@example.com"
PASSWORD = "SecurePass123!"


@pytest.fixture(scope="module")
def document(stack: Stack) -> Any:
    """Return a client of the document that the gateway serves."""
    return schemathesis.openapi.from_url(f"{stack.url}/openapi.json")


def call(document: Any, path: str, method: str, **given: Any) -> Response:
    """Make a call that the document describes, and compare the answer with it."""
    response: Response = document[path][method].Case(**given).call_and_validate()
    return response


def test_register_log_in_and_list_products(document: Any) -> None:
    body = {"email": EMAIL, "password": PASSWORD, "fullName": "Ann Lee", "course": "Maths"}
    made = call(document, "/v1/auth/register", "POST", body=body)
    assert made.status_code == 201
    again = call(document, "/v1/auth/register", "POST", body=body)
    assert again.status_code == 409
    credentials = {"email": EMAIL, "password": PASSWORD}
    token = call(document, "/v1/auth/login", "POST", body=credentials).json()["token"]
    mine = call(
        document,
        "/v1/users/{userId}",
        "GET",
        path_parameters={"userId": "me"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert mine.json()["email"] == EMAIL
    listed = call(document, "/v1/products", "GET", query={"limit": 5, "sort": "newest"})
    assert listed.json()["metadata"]["limit"] == 5
