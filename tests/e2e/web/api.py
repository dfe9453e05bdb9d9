"""The REST API, which prepares the data of the tests in the browser."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import jwt
import pyotp
from playwright.sync_api import StorageState

from tests.e2e.stack import Stack

PASSWORD = "Copper-Kettle-7"
NEW_PASSWORD = "Silver-Teapot-9"
_PHONES = itertools.count(4_915_100_000_000)
_NAMES = itertools.count(1)


@dataclass
class Account:
    """A user who has registered."""

    email: str = field(default_factory=lambda: f"ada{next(_NAMES)}@example.com")
    phone: str = field(default_factory=lambda: f"+{next(_PHONES)}")
    full_name: str = "Ada Lovelace"
    password: str = PASSWORD
    id: str = ""
    verification_flow_id: str = ""


class Api:
    """Calls of the REST API, and assertions that they work."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._tokens: dict[str, str] = {}
        self._client = httpx.Client(base_url=stack.url, timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(
        self, method: str, path: str, body: Any = None, *, by: Account | None = None, **query: Any
    ) -> Any:
        """Call a method, perhaps signed in."""
        answer = self.try_call(method, path, body, by=by, **query)
        assert answer.is_success, answer.text
        return answer.json()

    def try_call(
        self, method: str, path: str, body: Any = None, *, by: Account | None = None, **query: Any
    ) -> httpx.Response:
        """Call a method and return the answer, also that of an error."""
        headers = {"authorization": f"Bearer {self._token(by)}"} if by else {}
        return self._client.request(method, path, json=body, params=query, headers=headers)

    def upload(self, path: str, image: bytes, *, by: Account) -> Any:
        """Send a picture, and return what it belongs to."""
        headers = {"authorization": f"Bearer {self._token(by)}", "content-type": "image/webp"}
        answer = self._client.post(path, content=image, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    def _token(self, account: Account) -> str:
        if account.email not in self._tokens:
            self._tokens[account.email] = self.login(account)["token"]
        return self._tokens[account.email]

    def login(self, account: Account) -> Any:
        """Open a session."""
        body = {"email": account.email, "password": account.password}
        return self.call("POST", "/v1/auth/login", body)

    def register(self, **details: str) -> Account:
        """Register a customer, or the user of the details."""
        account = Account()
        body = {
            "email": account.email,
            "password": account.password,
            "fullName": account.full_name,
            "phoneNumber": account.phone,
            "address": "12 St James's Square, London",
        }
        made = self.call("POST", "/v1/auth/register", body | details)
        account.id = made["user"]["id"]
        account.verification_flow_id = made["verificationFlowId"]
        return account

    def second_factor(self, account: Account) -> list[str]:
        """Let an account sign in with an authenticator app, and return its recovery codes."""
        secret = self.call("POST", "/v1/users/me/totp", {}, by=account)["secret"]
        code = {"code": pyotp.TOTP(secret).now()}
        confirmed = self.call("POST", "/v1/users/me/totp:confirm", code, by=account)
        return list(confirmed["recoveryCodes"])

    def brand(self) -> Account:
        """Register a brand, which can sell."""
        details = {"firstName": "Ada", "lastName": "King", "company": "Engines Ltd"}
        return self.register(role="brand", companySize="1-10", userRole="founder", **details)

    def administrator(self) -> Account:
        """Make an administrator."""
        account = Account(full_name="Grace Hopper")
        arguments = ("admin", "create", "--email", account.email, "--password-stdin")
        self._stack.command(*arguments, text=account.password)
        account.id = self.login(account)["userId"]
        return account

    def signed_in(self, account: Account) -> StorageState:
        """Return the storage of a browser after a user has signed in by hand."""
        session = json.dumps(_kept(self.login(account)))
        return {
            "origins": [
                {
                    "origin": self._stack.url,
                    "localStorage": [{"name": "lockstep.session", "value": session}],
                }
            ]
        }

    def category(self, name: str, *, by: Account) -> str:
        """Make a category and return its id."""
        return str(self.call("POST", "/v1/categories", {"name": name}, by=by)["id"])

    def products(self, products: list[dict[str, Any]], *, by: Account) -> list[Any]:
        """Make products and return them."""
        made = self.call("POST", "/v1/products:batchCreate", {"products": products}, by=by)
        return list(made["products"])

    def product(self, category: str, name: str, *, units: int, stock: int = 9, by: Account) -> Any:
        """Make a product of whole units of money, and return it."""
        product = {"categoryId": category, "name": name, "price": price(units), "stock": stock}
        return self.products([product], by=by)[0]

    def sell(self, category: str, name: str, *, units: int, by: Account) -> Any:
        """Make a product of a brand, and return it."""
        product = {"categoryId": category, "name": name, "price": price(units), "stock": 9}
        return self.call("POST", "/v1/products", product, by=by)

    def top_up(self, account: Account, units: int, *, by: Account) -> None:
        """Put money into a wallet."""
        body = {"transferId": str(uuid.uuid4()), "amount": {"units": str(units)}}
        self.call("POST", f"/v1/wallets/{account.id}/transfers", body, by=by)

    def add_to_cart(self, account: Account, product_id: str, quantity: int = 1) -> None:
        """Put a product into a cart."""
        body = {"productId": product_id, "quantity": quantity}
        self.call("POST", "/v1/cart/items", body, by=account)

    def balance(self, account: Account) -> int:
        """Return the whole units that a wallet holds."""
        return int(self.call("GET", "/v1/wallets/me", by=account)["balance"]["units"])

    def orders(self, account: Account) -> list[Any]:
        """Return the orders of a user."""
        return list(self.call("GET", "/v1/orders", by=account)["orders"])


def _kept(tokens: dict[str, Any]) -> dict[str, Any]:
    role = jwt.decode(tokens["token"], options={"verify_signature": False})["role"]
    end = time.time() * 1000 + tokens["expiresIn"] * 1000
    names = ("token", "refreshToken", "userId", "email")
    return {name: tokens[name] for name in names} | {
        "role": role,
        "expiresAt": end,
        "renewAt": end - 300_000,
    }


def price(units: int, cents: int = 0) -> dict[str, Any]:
    """Return Money as JSON."""
    return {"units": str(units), "nanos": cents * 10_000_000}
