"""A whole Lockstep once more, with mutual TLS: the tests that cross each of its channels.

They are gateway to each service, Auth to Profile and Commerce, Commerce to Auth and Profile,
Profile to Auth, and the command to each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running_stack
from tests.e2e.test_documented_lines import CERTIFICATES, PAGES, commands, run
from tests.e2e.test_rest import (
    admin,
    http,
    test_a_deleted_account_is_gone_everywhere_and_its_address_is_free,
    test_from_the_catalog_to_an_order_and_back,
    test_operators_see_the_sagas_and_the_mail,
)

pytestmark = pytest.mark.processes
SERVICES = ("auth", "profile", "commerce", "gateway")

__all__ = [
    "admin",
    "http",
    "test_a_deleted_account_is_gone_everywhere_and_its_address_is_free",
    "test_from_the_catalog_to_an_order_and_back",
    "test_operators_see_the_sagas_and_the_mail",
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Run `lockstep up` with mutual TLS; it makes the certificates by itself."""
    with running_stack(LOCKSTEP_TLS="mutual") as stack:
        yield stack


@pytest.mark.parametrize("service", SERVICES)
def test_the_command_finds_each_service_serving(stack: Stack, service: str) -> None:
    assert stack.command("health", service) == f"{service} is serving\n"


def test_the_documented_lines_about_certificates_work(stack: Stack) -> None:
    lines = [line for page in PAGES for line in commands(page) if CERTIFICATES.search(line)]
    assert any(line.startswith("grpcurl") for line in lines)
    assert any("certs renew" in line for line in lines)
    run(lines, stack)
    assert stack.command("health", "auth") == "auth is serving\n"
