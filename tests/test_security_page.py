"""docs/security.md holds every requirement that it says it holds, and its lists are whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lockstep_clients.methods import descriptors

PAGE = (Path(__file__).parents[1] / "docs" / "security.md").read_text()
# The number of requirements in each section of the standard (OWASP ASVS 5.0.0).
SECTIONS = {
    "6.1": 3,
    "6.2": 12,
    "6.3": 8,
    "6.4": 6,
    "6.5": 8,
    "6.6": 4,
    "6.7": 2,
    "6.8": 4,
    "7.1": 3,
    "7.2": 4,
    "7.3": 2,
    "7.4": 5,
    "7.5": 3,
    "7.6": 2,
    "9.1": 3,
    "9.2": 4,
    "12.1": 5,
    "12.2": 2,
    "12.3": 5,
    "13.1": 4,
    "13.2": 6,
    "13.3": 4,
    "13.4": 7,
    "16.1": 1,
    "16.2": 5,
    "16.3": 4,
    "16.4": 3,
    "16.5": 4,
}
REQUIREMENTS = [f"{name}.{n + 1}" for name, count in SECTIONS.items() for n in range(count)]
STATES = {"met", "not met", "not applicable"}
NUMBER = re.compile(r"\d+\.\d+\.\d+")
# What opens a session, or gives tokens.
TOKENS = {"token", "refresh_token", "mfa_token"}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def named(cell: str) -> Iterator[str]:
    """Yield the requirements that a row is about; `to` means all between the two."""
    for part in cell.split(","):
        numbers = NUMBER.findall(part)
        assert numbers, cell
        first, last = REQUIREMENTS.index(numbers[0]), REQUIREMENTS.index(numbers[-1])
        yield from REQUIREMENTS[first : last + 1]


def test_the_table_has_each_requirement_once_and_in_order() -> None:
    found = [each for row in rows("OWASP ASVS 5.0") for each in named(row[0])]
    assert sorted(found, key=REQUIREMENTS.index) == REQUIREMENTS


def test_each_row_has_a_state_and_a_reason() -> None:
    for numbers, state, reason in rows("OWASP ASVS 5.0"):
        assert state in STATES, numbers
        assert reason, numbers


def test_every_link_of_the_page_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) - anchors == set()


def test_the_ways_in_are_all_methods_that_give_tokens() -> None:
    listed = {name for row in rows("The ways in") for name in re.findall(r"[A-Z]\w+", row[0])}
    giving = set[str]()
    fields = {
        f".{file.package}.{message.name}": {field.name for field in message.field}
        for file in descriptors().file
        for message in file.message_type
    }
    for file in descriptors().file:
        for service in file.service:
            giving |= {each.name for each in service.method if TOKENS & fields[each.output_type]}
    assert giving == listed - {"API", "ResetPassword"}
