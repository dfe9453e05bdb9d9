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


# The test that shows, for each limit, that strangers may spend it and the owner gets in.
HELD_BY = {
    "wrong passwords of an account from a place": (
        "test_lockout",
        "test_wrong_passwords_hold_up_the_place_that_they_come_from_alone",
    ),
    "wrong passwords of an account from all places": (
        "test_lockout",
        "test_many_strangers_share_one_try_a_minute_and_the_owner_gets_in",
    ),
    "wrong second factors of a login": (
        "test_second_factor",
        "test_wrong_codes_count_as_wrong_passwords_and_a_right_password_clears_none",
    ),
    "wrong second factors of a Reauthenticate": (
        "test_second_factor",
        "test_wrong_codes_of_a_session_end_it_and_strangers_hold_up_none",
    ),
    "wrong passwords in a session (ChangePassword, ChangeEmail, Reauthenticate)": (
        "test_lockout",
        "test_strangers_cannot_hold_up_a_session",
    ),
    "wrong codes": (
        "test_lockout",
        "test_codes_of_strangers_neither_replace_nor_block_those_of_the_owner",
    ),
    "wrong codes of an address and purpose": (
        "test_lockout",
        "test_a_hundred_wrong_codes_a_day_spare_the_known_places",
    ),
    "codes sent to an address for a purpose from a place": (
        "test_lockout",
        "test_a_place_has_two_open_flows_and_five_codes_an_hour",
    ),
    "the same from all places": (
        "test_lockout",
        "test_all_places_together_have_twenty_and_the_known_ones_are_spared",
    ),
    "changes of address that one account asks for": (
        "test_verification",
        "test_one_account_mails_five_addresses_an_hour",
    ),
    "invitations of an address": (
        "test_invitations",
        "test_strangers_spend_nothing_of_an_invitation",
    ),
    "invitations that one administrator makes": (
        "test_invitations",
        "test_one_administrator_mails_a_hundred_strangers_an_hour",
    ),
}
# These count calls of one IP for each method: one test walks all methods.
OF_AN_IP = "test_an_ip_may_call_each_method_as_often_as_its_proto_says"


def test_each_limit_has_a_test_in_which_the_owner_gets_in() -> None:
    auth = Path(__file__).parent / "auth"
    limits = {row[0]: row[1] for row in rows("Who may try, and how often")}
    of_an_ip = {name for name, limit in limits.items() if "a minute for a place" in limit}
    assert f"async def {OF_AN_IP}(" in (auth / "test_limits.py").read_text()
    assert limits.keys() - of_an_ip == HELD_BY.keys()
    for module, name in HELD_BY.values():
        assert f"async def {name}(" in (auth / f"{module}.py").read_text(), name
