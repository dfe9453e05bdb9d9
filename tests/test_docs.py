"""The documentation is held against the code."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from lockstep.errors.v1 import error_reason_pb2 as error_pb

from services.auth.domain import code_limits as limits
from services.auth.domain import codes, ip_limits, passwords, tokens
from services.auth.store import codes as code_store
from services.auth.store import places, sessions
from services.kernel import errors as kernel_errors
from services.kernel.errors import DomainError
from services.kernel.rpc import access
from tests.faults.documented import reasons

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# A link to a page, to a heading of it, or to one of the same page.
NAMED = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


def test_the_page_of_errors_has_every_reason() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    missing = [
        name for name in error_pb.ErrorReason.keys()[1:] if not re.search(rf"\b{name}\b", page)
    ]
    assert missing == []


def test_the_manual_names_every_loop() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    sources = "".join(file.read_text() for file in (ROOT / "services").rglob("*.py"))
    named_by_class = re.findall(
        r'class \w+\(BackgroundTask, Loop\):.*?name=f?"([\w-]*)', sources, re.DOTALL
    )
    loops = {*filter(None, named_by_class), *re.findall(r'Pulse\("([\w-]+)"', sources)}
    assert len(loops) >= 5
    assert [name for name in loops if f"`{name}`" not in page] == []


def test_the_page_of_security_has_the_numbers_of_the_code() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    hours, minutes = tokens.ACCESS_SECONDS // 3600, int(codes.LIFE.total_seconds() // 60)
    assert timedelta(minutes=1) == limits.BETWEEN_SENDS
    assert sessions.PASSWORD_TRIES == 10  # "the tenth"
    for said in (
        f"| password | {passwords.LENGTH_MIN} characters at least, {passwords.BYTES_MAX} bytes",
        f"| access token | {hours} hours |",
        f"| session | {sessions.IDLE.days} days without a refresh",
        f" {sessions.LIFE.days} days at most |",
        f"within {int(sessions.GRACE.total_seconds())} seconds",
        f"more than {access.SERVICE_TOKEN_SECONDS_MAX} are refused",
        f"| mailed code | six digits, {minutes} minutes, {code_store.TRIES_MAX} tries",
        f"from a place | one a minute and {limits.SENDS_AN_HOUR} an hour",
        f"an hour; {limits.OPEN_FLOWS} may be open",
        f"| {limits.SENDS_AN_HOUR_EVERYWHERE} an hour; {limits.OPEN_FLOWS_EVERYWHERE} may be open",
        f"one account asks for | {limits.CHANGES_AN_HOUR} an hour",
        f"of an address and purpose | {limits.FAILURES_A_DAY} a day",
        f"from a place | {places.FREE_FAILURES} are free",
        f"{places.WAIT_SECONDS_MAX} s at most. Each quiet {places.FORGIVEN_EVERY} take one off",
        f"from {places.FAILURES_A_DAY} a day on",
        f"to an account for {places.KNOWN_FOR} after",
        f"without a token | {ip_limits.CALLS_A_MINUTE} a minute",
        f"answers a repeat for {code_store.REPEATABLE}",
    ):
        assert said in page, said


def test_every_error_that_is_raised_has_a_reason_of_the_list() -> None:
    import services.auth.errors
    import services.commerce.errors
    import services.profile.errors

    known = set(error_pb.ErrorReason.keys())
    modules = (
        kernel_errors,
        services.auth.errors,
        services.commerce.errors,
        services.profile.errors,
    )
    found = {
        each.reason
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, DomainError) and hasattr(each, "reason")
    }
    assert found
    assert found <= known


def test_every_request_that_a_copy_waits_for_documents_that_it_may_be_in_progress() -> None:
    # Without a key of the client, a copy of an import is told REGISTRATION_IN_PROGRESS.
    waiting = [
        path.stem
        for path in ROOT.glob("services/*/usecases/*.py")
        if ".run_once(" in path.read_text() and path.stem != "import_user"
    ]
    methods = {name: "".join(map(str.capitalize, name.split("_"))) for name in waiting}

    assert "delete_user" in waiting
    assert [
        name for name, method in methods.items() if "REQUEST_IN_PROGRESS" not in reasons()[method]
    ] == []


def anchors(page: Path) -> set[str]:
    """Return the names by which links lead to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def leads(page: Path, link: str, anchor: str) -> bool:
    target = page.parent / link if link else page
    return target.exists() and (not anchor or anchor in anchors(target))


@pytest.mark.parametrize(
    "page",
    sorted(
        str(page.relative_to(ROOT))
        for page in (
            *ROOT.glob("*.md"),
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "clients").glob("*/*.md"),
            *(ROOT / "deploy").glob("*/*.md"),
        )
    ),
)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = NAMED.findall(CODE.sub("", path.read_text()))
    assert [link for link in links if not leads(path, *link)] == []
