"""The facts of an RPC stand in its proto, and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lockstep.options.v1 import options_pb2 as options_pb
from lockstep_clients.methods import descriptors, methods

ROOT = Path(__file__).parents[1]
RPC_PATH = re.compile(r"/lockstep\.\w+\.v\d+\.\w+|lockstep\.\w+\.v\d+\.\w+/\w*")

# As they were before the protos named them. A later method has the deadline that it likes.
SECONDS = {
    "/lockstep.auth.v1.AuthService/CheckSession": 2.0,
    "/lockstep.profile.v1.ProfileService/PhoneExists": 2.0,
    "/lockstep.profile.v1.ProfileService/CreateProfile": 3.0,
    "/lockstep.profile.v1.ProfileService/CancelProfile": 3.0,
    "/lockstep.profile.v1.ProfileService/SetProfileStatus": 3.0,
    "/lockstep.profile.v1.ProfileService/ForgetProfile": 3.0,
    "/lockstep.profile.v1.ProfileService/GetHoldings": 2.0,
    "/lockstep.profile.v1.WalletService/DebitWallet": 3.0,
    "/lockstep.profile.v1.WalletService/VoidTransfer": 3.0,
    "/lockstep.profile.v1.WalletService/RefundWallet": 3.0,
    "/lockstep.commerce.v1.OrderService/ForgetUser": 3.0,
    "/lockstep.auth.v1.AuthService/Register": 10.0,
    "/lockstep.auth.v1.AuthService/VerifyOtp": 10.0,
    "/lockstep.auth.v1.AuthService/DeleteUser": 10.0,
    "/lockstep.commerce.v1.OrderService/PlaceOrder": 10.0,
    "/lockstep.commerce.v1.OrderService/CancelOrder": 10.0,
    "/lockstep.auth.v1.AuthService/SendOtp": 10.0,
    "/lockstep.auth.v1.AuthService/Login": 10.0,
    "/lockstep.auth.v1.AuthService/ChangeEmail": 10.0,
    "/lockstep.auth.v1.AuthService/ResetPassword": 10.0,
    "/lockstep.auth.v1.AuthService/ChangePassword": 10.0,
    "/lockstep.commerce.v1.CatalogService/BatchCreateProducts": 10.0,
    "/lockstep.profile.v1.ProfileService/GetProfile": 5.0,
    "/lockstep.profile.v1.ProfileService/UpdateProfile": 5.0,
    "/lockstep.profile.v1.ProfileService/ListProfiles": 5.0,
    "/lockstep.profile.v1.ProfileService/GetBrand": 5.0,
    "/lockstep.profile.v1.ProfileService/UpdateBrand": 5.0,
    "/lockstep.auth.v1.AuthService/RefreshToken": 5.0,
    "/lockstep.auth.v1.AuthService/Logout": 5.0,
    "/lockstep.auth.v1.AuthService/VerifyEmail": 5.0,
    "/lockstep.auth.v1.AuthService/SendEmailVerification": 5.0,
    "/lockstep.auth.v1.AuthService/RequestPasswordReset": 5.0,
    "/lockstep.auth.v1.AuthService/GetUser": 5.0,
    "/lockstep.auth.v1.AuthService/ListUsers": 5.0,
    "/lockstep.auth.v1.AuthService/DisableUser": 5.0,
    "/lockstep.auth.v1.AuthService/EnableUser": 5.0,
    "/lockstep.auth.v1.AuthService/GetJwks": 5.0,
    "/lockstep.commerce.v1.CatalogService/CreateCategory": 5.0,
    "/lockstep.commerce.v1.CatalogService/ListCategories": 5.0,
    "/lockstep.commerce.v1.CatalogService/CreateProduct": 5.0,
    "/lockstep.commerce.v1.CatalogService/UpdateProduct": 5.0,
    "/lockstep.commerce.v1.CatalogService/DeleteProduct": 5.0,
    "/lockstep.commerce.v1.CatalogService/GetProduct": 5.0,
    "/lockstep.commerce.v1.CatalogService/ListProducts": 5.0,
    "/lockstep.commerce.v1.CartService/GetCart": 5.0,
    "/lockstep.commerce.v1.CartService/AddCartItem": 5.0,
    "/lockstep.commerce.v1.CartService/UpdateCartItem": 5.0,
    "/lockstep.commerce.v1.CartService/RemoveCartItem": 5.0,
    "/lockstep.commerce.v1.CartService/ClearCart": 5.0,
    "/lockstep.commerce.v1.OrderService/GetOrder": 5.0,
    "/lockstep.commerce.v1.OrderService/ListOrders": 5.0,
    "/lockstep.profile.v1.WalletService/GetWallet": 5.0,
    "/lockstep.profile.v1.WalletService/ListWalletTransfers": 5.0,
    "/lockstep.profile.v1.WalletService/TopUpWallet": 5.0,
    "/lockstep.saga.v1.SagaService/ListSagas": 5.0,
    "/lockstep.saga.v1.SagaService/GetSaga": 5.0,
    "/lockstep.saga.v1.SagaService/RetrySaga": 5.0,
    "/lockstep.saga.v1.SagaService/GetSagaOutcome": 5.0,
}


def test_every_method_has_the_deadline_that_it_had_before_the_protos_named_it() -> None:
    assert {path: methods()[path].timeout_seconds for path in SECONDS} == SECONDS


def test_only_money_needs_a_session_that_was_checked_just_now() -> None:
    fresh = [
        f"{file.package}.{service.name}/{method.name}"
        for file in descriptors().file
        for service in file.service
        for method in service.method
        if method.options.Extensions[options_pb.method].fresh_session
    ]
    assert fresh == ["lockstep.commerce.v1.OrderService/PlaceOrder"]


def test_no_code_names_an_rpc_by_its_path() -> None:
    sources = [*(ROOT / "services").rglob("*.py"), *(ROOT / "gateway").rglob("*.py")]
    sources += (ROOT / "clients" / "python" / "src" / "lockstep_clients").rglob("*.py")
    assert [each for source in sources for each in paths_in(source)] == []


def paths_in(source: Path) -> Iterator[str]:
    """Yield each string of a file that begins an RPC's path, whole or as part of a name."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (f"{source}:{node.lineno}: {path}" for path in RPC_PATH.findall(node.value))
