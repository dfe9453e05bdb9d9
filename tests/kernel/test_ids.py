from __future__ import annotations

import contextlib
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import InvalidField
from services.kernel.ids import new_id, parse_id


def test_our_ids_are_version_7_and_sort_by_time() -> None:
    made = [new_id() for _ in range(1000)]
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}
    assert made == sorted(set(made))
    assert {type(each) for each in made} == {UUID}


@given(st.uuids())
def test_any_uuid_is_accepted_in_either_case(value: UUID) -> None:
    assert parse_id(str(value), field="id") == value
    assert parse_id(str(value).upper(), field="id") == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "me",
        "01890a5dac96774bbcceb302099a8057",
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
        "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a805",
        "01890a5d-ac96-774b-bcce-b302099a80570",
        " 01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a8057\n",
        "01890a5d-ac96-774b-bcce-b302099a805g",
        "\uff10" * 8 + "-ac96-774b-bcce-b302099a8057",
        "0" * 8 + "\0ac96-774b-bcce-b302099a8057",
    ],
)
def test_what_is_no_id_is_named(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_id(text, field="product_id")
    assert [v.field for v in caught.value.violations] == ["product_id"]


@given(st.text(st.characters(codec=None)))
def test_no_text_breaks_the_reading_of_an_id(text: str) -> None:
    with contextlib.suppress(InvalidField):
        assert str(parse_id(text, field="id")) == text.lower()
