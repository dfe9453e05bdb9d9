"""Auth, with stand-ins for the services that take part in its sagas, and a mail sink."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from services.auth.settings import AuthSettings
from tests.auth.together import All, serving_all
from tests.auth.world import Sink, World, serving_auth, serving_mail, settings_for
from tests.fakes.participants import FakeOrders, FakeProfile, serving_orders, serving_profile


@pytest.fixture
def profile() -> FakeProfile:
    """The stand-in for Profile."""
    return FakeProfile()


@pytest.fixture
def orders() -> FakeOrders:
    """The stand-in for Commerce."""
    return FakeOrders()


@pytest.fixture
async def profile_target(profile: FakeProfile, keys: Path) -> AsyncIterator[str]:
    """The gRPC target of the stand-in for Profile."""
    async with serving_profile(profile, keys) as target:
        yield target


@pytest.fixture
async def commerce_target(orders: FakeOrders, keys: Path) -> AsyncIterator[str]:
    """The gRPC target of the stand-in for Commerce."""
    async with serving_orders(orders, keys) as target:
        yield target


@pytest.fixture
async def mail() -> AsyncIterator[tuple[Sink, int]]:
    """A mail sink and its port."""
    async with serving_mail() as sink:
        yield sink


@pytest.fixture
def address_limits_factor() -> int:
    """How high the limits per IP are: all tests have one IP."""
    return 30


@pytest.fixture
def make_settings(
    auth_url: str, keys: Path, mail: tuple[Sink, int], profile_target: str, commerce_target: str
) -> Callable[..., AuthSettings]:
    """Settings of an Auth beside these stand-ins; more can be named."""
    return partial(
        settings_for,
        auth_url,
        keys,
        profile=profile_target,
        commerce=commerce_target,
        smtp_url=f"smtp://127.0.0.1:{mail[1]}",
    )


@pytest.fixture
async def world(
    address_limits_factor: int,
    make_settings: Callable[..., AuthSettings],
    mail: tuple[Sink, int],
) -> AsyncIterator[World]:
    """An Auth that runs."""
    settings = make_settings(address_limits_factor=address_limits_factor)
    async with serving_auth(settings, mail[0]) as world:
        yield world


@pytest.fixture
async def lockstep(
    auth_url: str, profile_url: str, commerce_url: str, keys: Path, mail: tuple[Sink, int]
) -> AsyncIterator[All]:
    """Auth, Profile and Commerce that run."""
    async with serving_all(auth_url, profile_url, commerce_url, keys, mail) as services:
        yield services
