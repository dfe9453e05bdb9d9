"""The documentation is held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lockstep.errors.v1 import error_reason_pb2 as error_pb

from services.kernel import errors as kernel_errors
from services.kernel.errors import DomainError

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_the_page_of_errors_has_every_reason() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    missing = [
        name for name in error_pb.ErrorReason.keys()[1:] if not re.search(rf"\b{name}\b", page)
    ]
    assert missing == []


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


@pytest.mark.parametrize(
    "page",
    sorted(
        str(page.relative_to(ROOT))
        for page in (
            *ROOT.glob("*.md"),
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "clients").glob("*/*.md"),
        )
    ),
)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    text = CODE.sub("", path.read_text())
    broken = [link for link in NAMED.findall(text) if not (path.parent / link).exists()]
    assert broken == []
