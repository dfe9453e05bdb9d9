"""The whole of Lockstep over HTTP, as an external app uses it: `lockstep up` and REST."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.commerce.drawing import small_picture
from tests.e2e.stack import Stack

PASSWORD = "SecurePass123!"
PROFILE_PATHS = ("/register", "/api/auth/register", "/auth/register", "/v1/auth/register")

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    """Connect to the gateway."""
    with httpx.Client(base_url=stack.url, timeout=15) as client:
        yield client


@pytest.fixture(scope="module")
def admin(stack: Stack, http: httpx.Client) -> dict[str, str]:
    """Return the headers of an administrator."""
    email = "chief@example.com"
    stack.command("admin", "create", "--email", email, "--password-stdin", text=PASSWORD)
    return login(http, email)


def new_email() -> str:
    return f"person{next(_numbers)}@example.com"


def register(http: httpx.Client, path: str = "/register", **fields: Any) -> httpx.Response:
    body = {"email": new_email(), "password": PASSWORD, **fields}
    return http.post(path, json=body)


def student(http: httpx.Client, email: str) -> dict[str, Any]:
    made = register(http, email=email, fullName="Alice Johnson", course="Computer Science")
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


def login(http: httpx.Client, email: str, password: str = PASSWORD) -> dict[str, str]:
    answer = http.post("/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["details"][0]["reason"])


def fields(answer: httpx.Response) -> set[str]:
    return {each["field"] for each in answer.json()["details"][1]["fieldViolations"]}


@pytest.mark.parametrize("path", PROFILE_PATHS)
def test_the_registrations_of_the_four_documents_are_answered_as_they_say(
    http: httpx.Client, path: str
) -> None:
    a = register(http, path, fullName="Alice Johnson", course="Computer Science")
    assert (a.status_code, a.json()["user"]["role"]) == (201, "student")
    assert a.headers["location"] == f"/v1/users/{a.json()['user']['id']}"
    phone = f"+1{uuid.uuid4().int % 10**10:010d}"
    b = http.post(
        path,
        json={
            "Email": (email := new_email()),
            "Password": PASSWORD,
            "ConfirmPassword": PASSWORD,
            "FullName": "John Doe",
            "PhoneNumber": phone,
            "Address": "123 Main St",
        },
    )
    assert b.status_code == 201
    assert b.json()["user"].items() >= {"email": email, "fullName": "John Doe"}.items()
    c = register(http, path, role="creator", firstName="John", lastName="Doe")
    assert c.json()["user"]["role"] == "creator"
    assert c.json()["profile"]["status"] == "pending"
    d = register(
        http,
        path,
        role="brand",
        firstName="Jane",
        lastName="Smith",
        company="Acme Corp",
        companySize="51-200",
        userRole="marketing-manager",
    )
    assert d.json()["user"]["role"] == "brand"
    assert d.json()["brand"]["name"] == "Acme Corp"
    again = http.post(
        path, json={"email": email, "password": PASSWORD, "fullName": "J", "course": "x"}
    )
    assert (again.status_code, reason(again)) == (409, "EMAIL_TAKEN")
    taken = register(http, path, fullName="J D", phoneNumber=phone)
    assert (taken.status_code, reason(taken)) == (409, "PHONE_TAKEN")
    broken = http.post(path, json={"email": "x", "password": "y", "confirmPassword": "z"})
    assert (broken.status_code, reason(broken)) == (400, "INVALID_FIELD")
    assert fields(broken) == {"email", "password", "confirmPassword", "fullName", "phoneNumber"}


def test_with_profile_stopped_nothing_is_registered(stack: Stack, http: httpx.Client) -> None:
    email = new_email()
    with stack.stopped("profile"):
        for details in ({"course": "x"}, {"phoneNumber": "+1999999999"}):
            answer = register(http, email=email, fullName="A B", **details)
            assert (answer.status_code, reason(answer)) == (503, "PROFILE_UNAVAILABLE")
            assert int(answer.headers["retry-after"]) >= 1
    student(http, email)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"email": "a@example.com", "emial": "b"}', 400),
        (b'{"email": "a", "email": "b"}', 400),
        (b'{"email": "\\ud800"}', 400),
        (b'{"email": "a\\u0000@example.com", "password": "x"}', 400),
        (b"[" * 100_000, 400),
        (b'{"email": "' + b"x" * 10_000_000 + b'"}', 413),
    ],
)
def test_a_broken_body_is_the_callers_fault(http: httpx.Client, body: bytes, status: int) -> None:
    answer = http.post("/register", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["message"]


def test_a_form_is_no_json(http: httpx.Client) -> None:
    answer = http.post("/register", data={"email": "a@example.com"})
    assert answer.status_code == 415


def test_in_by_code_then_refresh_out_and_refused(stack: Stack, http: httpx.Client) -> None:
    """D1 to D4, B9."""
    email = new_email()
    sent = http.post("/v1/auth/otp", json={"email": email, "password": PASSWORD})
    assert sent.status_code == 200, sent.text
    proof = {"flowId": sent.json()["flowId"], "email": email, "otp": stack.code(email)}
    made = http.post("/v1/auth/otp/verify", json=proof)
    assert made.status_code == 201, made.text
    assert made.json()["profile"]["status"] == "active"
    assert http.post("/v1/auth/otp/verify", json=proof).json() == made.json()
    answer = http.post("/api/auth/login", json={"Email": email, "Password": PASSWORD}).json()
    assert answer["userId"] == made.json()["user"]["id"]
    assert (answer["email"], answer["expiresIn"]) == (email, 21600)
    bearer = {"Authorization": f"Bearer {answer['token']}"}
    assert http.get("/v1/users/me", headers=bearer).json()["email"] == email
    renewed = http.post("/v1/auth/refresh", json={"refreshToken": answer["refreshToken"]}).json()
    bearer = {"Authorization": f"Bearer {renewed['token']}"}
    assert http.post("/v1/auth/logout", json={}, headers=bearer).status_code == 200
    refused = http.get("/v1/users/me", headers=bearer)
    assert (refused.status_code, reason(refused)) == (401, "SESSION_ENDED")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    wrong = http.post("/v1/auth/login", json={"email": email, "password": "Wrong-Pass-1"})
    assert (wrong.status_code, reason(wrong)) == (401, "INVALID_CREDENTIALS")
    missing = http.get("/v1/users/me")
    assert (missing.status_code, reason(missing)) == (401, "INVALID_TOKEN")


def test_a_profile_is_its_owners_and_the_administrators(
    http: httpx.Client, admin: dict[str, str]
) -> None:
    """B10, C3."""
    owner, other = new_email(), new_email()
    user_id = student(http, owner)["user"]["id"]
    student(http, other)
    mine = login(http, owner)
    for path in (f"/v1/profiles/{user_id}", "/v1/profiles/me", f"/api/users/{user_id}"):
        assert http.get(path, headers=mine).json()["userId"] == user_id
    assert http.get(f"/v1/profiles/{user_id}", headers=admin).status_code == 200
    refused = http.get(f"/v1/profiles/{user_id}", headers=login(http, other))
    assert (refused.status_code, reason(refused)) == (403, "FORBIDDEN")
    changed = http.patch("/v1/profiles/me", json={"bio": "Hello.", "lastName": None}, headers=mine)
    assert changed.status_code == 200, changed.text
    assert changed.json()["bio"] == "Hello."
    stale = http.patch("/v1/profiles/me", json={"bio": "x", "etag": "1"}, headers=mine)
    assert (stale.status_code, reason(stale)) == (409, "ETAG_MISMATCH")


def test_from_the_catalog_to_an_order_and_back(http: httpx.Client, admin: dict[str, str]) -> None:
    """D5 to D10."""
    category = http.post("/v1/categories", json={"name": uuid.uuid4().hex}, headers=admin)
    assert category.status_code == 201, category.text
    product = http.post(
        "/v1/products",
        json={
            "categoryId": category.json()["id"],
            "name": "Blue lamp",
            "price": {"currencyCode": "USD", "units": "19", "nanos": 990000000},
            "stock": 3,
        },
        headers=admin,
    ).json()
    listed = http.get(
        "/v1/products", params={"category": category.json()["id"], "q": "lamp"}
    ).json()
    assert [each["id"] for each in listed["products"]] == [product["id"]]
    assert listed["products"][0]["category"]["name"] == category.json()["name"]
    assert listed["metadata"]["total"] == 1

    email = new_email()
    user_id = student(http, email)["user"]["id"]
    mine = login(http, email)
    assert http.get("/v1/cart", headers=mine).json()["items"] == []
    item = {"productId": product["id"], "quantity": 1}
    dear = {"price": {"units": "25"}, "etag": product["etag"]}
    product = http.patch(f"/v1/products/{product['id']}", json=dear, headers=admin).json()
    assert product["price"] == {"currencyCode": "USD", "units": "25", "nanos": 0}
    cheap = {"price": {"units": "19", "nanos": 990000000}}
    http.patch(f"/v1/products/{product['id']}", json=cheap, headers=admin)
    assert http.post("/v1/cart/items", json=item, headers=mine).json()["items"][0]["quantity"] == 1
    assert http.post("/v1/cart/items", json=item, headers=mine).json()["items"][0]["quantity"] == 2
    path = f"/v1/cart/items/{product['id']}"
    assert http.patch(path, json={"quantity": -1}, headers=mine).status_code == 400
    assert http.patch(path, json={}, headers=mine).status_code == 400
    assert http.patch(path, json={"quantity": 0}, headers=mine).json()["items"] == []
    gone = http.patch(path, json={"quantity": 1}, headers=mine)
    assert (gone.status_code, reason(gone)) == (404, "CART_ITEM_NOT_FOUND")
    http.post("/v1/cart/items", json={**item, "quantity": 2}, headers=mine)

    poor = http.post("/v1/orders", json={}, headers=mine)
    assert (poor.status_code, reason(poor)) == (400, "INSUFFICIENT_FUNDS")
    money = {"currencyCode": "USD", "units": "100"}
    top_up = {"transferId": str(uuid.uuid4()), "amount": money}
    for _ in range(2):  # the repeat moves no money
        answer = http.post(f"/v1/wallets/{user_id}/transfers", json=top_up, headers=admin)
        assert answer.status_code == 201, answer.text
    key = {**mine, "Idempotency-Key": uuid.uuid4().hex}
    order = http.post("/v1/orders", json={}, headers=key)
    assert order.status_code == 201, order.text
    assert order.headers["location"] == f"/v1/orders/{order.json()['id']}"
    assert http.post("/v1/orders", json={}, headers=key).json() == order.json()
    assert order.json()["total"] == {"currencyCode": "USD", "units": "39", "nanos": 980000000}
    assert http.get("/v1/wallets/me", headers=mine).json()["balance"]["units"] == "60"
    assert http.get(f"/v1/products/{product['id']}").json()["stock"] == 1
    assert http.get("/v1/cart", headers=mine).json()["items"] == []
    cancelled = http.post(f"/v1/orders/{order.json()['id']}:cancel", json={}, headers=mine)
    assert cancelled.json()["state"] == "ORDER_STATE_CANCELLED", cancelled.text
    assert http.get("/v1/wallets/me", headers=mine).json()["balance"]["units"] == "100"
    assert http.get(f"/v1/products/{product['id']}").json()["stock"] == 3


def test_an_order_goes_on_after_its_payment(http: httpx.Client, admin: dict[str, str]) -> None:
    """It is cancelled in part, shipped, and partly comes back."""
    assert http.get("/v1/currency").json() == {"code": "USD", "digits": 2}
    email = new_email()
    user_id = student(http, email)["user"]["id"]
    mine = login(http, email)
    top_up = {"transferId": str(uuid.uuid4()), "amount": {"units": "100"}}
    assert http.post(f"/v1/wallets/{user_id}/transfers", json=top_up, headers=admin).is_success
    category = http.post("/v1/categories", json={"name": f"Life of {email}"}, headers=admin).json()
    fields = {"categoryId": category["id"], "name": "Cup", "price": {"units": "10"}, "stock": 9}
    cup = http.post("/v1/products", json=fields, headers=admin).json()["id"]
    shown = http.get("/v1/products:batchGet", params={"ids": [cup, str(uuid.uuid4())]}).json()
    assert [each["id"] for each in shown["products"]] == [cup]
    guest = {"items": [{"productId": cup, "quantity": 4}]}
    merged = http.post("/v1/cart:merge", json=guest, headers=mine).json()
    assert (merged["cart"]["items"][0]["quantity"], merged["skipped"]) == (4, [])
    placed = http.post("/v1/orders", json={"shippingAddress": "1 Main St"}, headers=mine).json()
    path, one = f"/v1/orders/{placed['id']}", [{"productId": cup, "quantity": 1}]
    assert len(placed["number"]) == 8

    part = http.post(f"{path}:cancel", json={"items": one}, headers=mine)
    assert part.json()["refunded"]["units"] == "10", part.text
    early = http.post(f"{path}:refund", json={"items": one, "reason": "x"}, headers=admin)
    assert (early.status_code, reason(early)) == (400, "ILLEGAL_STATE")
    for name, who, code in (("fulfil", mine, 403), ("fulfil", login_of_other(http), 404)):
        assert http.post(f"{path}:{name}", json={}, headers=who).status_code == code
    shipped = http.post(f"{path}:fulfil", json={"tracking": "RM 1"}, headers=admin).json()
    assert (shipped["state"], shipped["shipments"][0]["tracking"]) == (
        "ORDER_STATE_FULFILLED",
        "RM 1",
    )
    late = http.post(f"{path}:cancel", json={}, headers=mine)
    assert (late.status_code, reason(late)) == (400, "ILLEGAL_STATE")
    wrong = http.post(f"{path}:refund", json={"items": [], "reason": ""}, headers=admin)
    assert (wrong.status_code, reason(wrong)) == (400, "INVALID_FIELD")
    back = {"items": one, "reason": "Broken.", "restock": False}
    returned = http.post(f"{path}:refund", json=back, headers=admin).json()
    assert returned["refunded"]["units"] == "20"
    assert http.get("/v1/wallets/me", headers=mine).json()["balance"]["units"] == "80"
    assert http.get(f"/v1/products/{cup}").json()["stock"] == 6
    # What has no seller is in nobody's list.
    own = http.get("/v1/sales", params={"fulfilled": "false", "productId": cup}, headers=admin)
    assert own.json() == {"sales": [], "nextPageToken": ""}, own.text
    other = http.get("/v1/sales", params={"sellerId": str(uuid.uuid4())}, headers=mine)
    assert (other.status_code, reason(other)) == (403, "FORBIDDEN")
    assert http.get("/v1/products", params={"seller": user_id}).json()["products"] == []
    named = http.get("/v1/brands:batchGet", params={"userIds": [user_id]})
    assert named.json() == {"brands": []}, named.text


def test_a_picture_is_uploaded_as_it_is_and_kept_by_browsers(
    http: httpx.Client, admin: dict[str, str]
) -> None:
    category = http.post("/v1/categories", json={"name": "Pictures"}, headers=admin).json()
    fields = {"categoryId": category["id"], "name": "Cup", "price": {"units": "10"}}
    cup = http.post("/v1/products", json=fields, headers=admin).json()
    path, picture = f"/v1/products/{cup['id']}:setImage", small_picture()
    sent = {**admin, "Content-Type": "image/png"}
    shown = http.post(path, content=picture, headers=sent)
    assert shown.status_code == 200, shown.text
    for name in ("imageUrl", "thumbnailUrl"):
        got = http.get(shown.json()[name])
        assert (got.headers["content-type"], got.content[:4]) == ("image/webp", b"RIFF")
        assert got.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert got.headers["x-content-type-options"] == "nosniff"
    script = b"<script>alert(1)</script>"
    refused = http.post(path, content=script, headers={**admin, "Content-Type": "text/html"})
    assert (refused.status_code, reason(refused)) == (400, "INVALID_FIELD")
    large = http.post(path, content=bytes(1024 * 1024 + 1), headers=sent)
    assert large.status_code in (400, 413)
    assert http.post(path, content=picture).status_code == 401
    none = http.get("/v1/images/" + "0" * 64)
    assert (none.status_code, reason(none)) == (404, "IMAGE_NOT_FOUND")
    assert "immutable" not in none.headers["cache-control"]


def login_of_other(http: httpx.Client) -> dict[str, str]:
    email = new_email()
    student(http, email)
    return login(http, email)


def test_a_disabled_account_is_out_at_once_and_back_when_it_is_enabled(
    http: httpx.Client, admin: dict[str, str]
) -> None:
    email = new_email()
    user_id = student(http, email)["user"]["id"]
    mine = login(http, email)
    assert http.post(f"/v1/users/{user_id}:disable", json={}, headers=admin).json()["disabled"]
    assert http.get("/v1/users/me", headers=mine).status_code == 401
    refused = http.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert (refused.status_code, reason(refused)) == (403, "ACCOUNT_DISABLED")
    http.post(f"/v1/users/{user_id}:enable", json={}, headers=admin)
    assert http.get("/v1/profiles/me", headers=login(http, email)).json()["status"] == "pending"


def test_a_deleted_account_is_gone_everywhere_and_its_address_is_free(
    http: httpx.Client, admin: dict[str, str]
) -> None:
    email = new_email()
    user_id = student(http, email)["user"]["id"]
    assert http.delete("/v1/users/me", headers=login(http, email)).status_code == 200
    for path in (f"/v1/users/{user_id}", f"/v1/profiles/{user_id}", f"/v1/wallets/{user_id}"):
        assert http.get(path, headers=admin).status_code == 404
    student(http, email)


def test_what_is_served_is_described_and_what_is_not_is_not_reachable(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()["paths"]
    assert "/v1/auth/register" in described
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").status_code == 200
    assert http.get("/docs").status_code == 200
    assert http.get("/").headers["content-type"].startswith("text/html")
    hidden = http.post("/lockstep.profile.v1.ProfileService/CreateProfile", json={})
    assert (hidden.status_code, reason(hidden)) == (404, "ROUTE_NOT_FOUND")


def test_operators_see_the_sagas_and_the_mail(stack: Stack, http: httpx.Client) -> None:
    email = new_email()
    student(http, email)
    assert "registration" in stack.command("sagas", "list")
    assert stack.code(email).isdecimal()
    assert "LOCKSTEP_AUTH_DATABASE_URL" in stack.command("settings", "--json")


def test_an_app_acts_for_its_owner_by_an_api_key(http: httpx.Client) -> None:
    user = student(http, email := new_email())["user"]
    wish = {"name": "app", "scopes": ["lockstep.auth.v1.AuthService"], "days": 1}
    made = http.post("/v1/users/me/apiKeys", json=wish, headers=login(http, email))
    assert made.status_code == 201, made.text
    proof = {"Authorization": f"Bearer {made.json()['key']}"}
    assert http.get("/v1/users/me", headers=proof).json()["id"] == user["id"]
    assert reason(http.get("/v1/users/me/apiKeys", headers=proof)) == "FORBIDDEN"
    assert reason(http.get("/v1/orders", headers=proof)) == "FORBIDDEN"
    path = f"/v1/users/{user['id']}/apiKeys"
    [listed] = http.get(path, headers=login(http, email)).json()["apiKeys"]
    assert listed["lastUseIp"] == "127.0.0.1"
    ended = http.delete(f"{path}/{listed['id']}", headers=login(http, email))
    assert ended.status_code == 200, ended.text
    answer = http.get("/v1/users/me", headers=proof)
    assert (answer.status_code, reason(answer)) == (401, "INVALID_TOKEN")
