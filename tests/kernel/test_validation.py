from __future__ import annotations

import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.vocabulary import phone
from services.kernel import validation
from services.kernel.errors import InvalidField, Violation
from services.kernel.ids import new_id
from services.kernel.validation import URL_MAX, Violations

TEXTS = st.none() | st.text(st.characters(codec=None), max_size=300)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Ada", "Ada"),
        ("  Ada \n", "Ada"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("x" * 10, "x" * 10),
        ("", None),
        ("   ", None),
        (None, None),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
    ],
)
def test_good_texts_are_trimmed_and_in_nfc(value: str | None, found: str | None) -> None:
    v = Violations()
    assert v.text(value, "name", max_length=10) == found
    assert v.violations == []


@pytest.mark.parametrize(
    "value", ["x" * 11, "a\0b", "a\nb", "a\tb", "a\x1bb", "a\x7fb", "a\x85b", "a\ud800b"]
)
def test_wrong_texts_are_named(value: str) -> None:
    v = Violations()
    v.text(value, "name", max_length=10)
    assert [v.field for v in v.violations] == ["name"]


HIDDEN_CATEGORIES = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
HIDDEN = [chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) in HIDDEN_CATEGORIES]


@pytest.mark.parametrize("category", HIDDEN_CATEGORIES)
def test_a_character_that_shows_nothing_is_named(category: str) -> None:
    for each in [each for each in HIDDEN if unicodedata.category(each) == category][:300]:
        v = Violations()
        v.text(f"a{each}1", "name", max_length=10)
        assert [v.field for v in v.violations] == ["name"], hex(ord(each))


@pytest.mark.parametrize(
    "value", ["\u3164", "\u115f\u1160", "\uffa0", "\u2800", "\u0301", "\ufe0f", "\u2060", "\u200d"]
)
def test_a_text_must_show_something(value: str) -> None:
    v = Violations()
    v.text(value, "name", max_length=10)
    assert [v.field for v in v.violations] == ["name"]


@pytest.mark.parametrize(
    "value",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "\U0001f468\u200d\U0001f469",
    ],
)
def test_joiners_stay_between_letters(value: str) -> None:
    v = Violations()
    assert v.text(value, "name", max_length=20) == value
    v.text(f"{value}\u200d", "name", max_length=20)
    assert [v.field for v in v.violations] == ["name"]


def test_texts_whose_normal_form_takes_long_are_named_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    formed: list[str] = []
    noted = SimpleNamespace(normalize=lambda _, text: formed.append(text))
    monkeypatch.setattr(validation, "unicodedata", noted)
    for marks in ("\u0315\u0300" * 2_000, "\u0315\u0300" * 500_000):
        v = Violations()
        v.text("a" + marks, "bio", max_length=5000)
        assert [v.field for v in v.violations] == ["bio"]
    assert formed == []


@pytest.mark.parametrize(("value", "good"), [("a\nb\r\n\tc", True), ("a\0b", False)])
def test_lines_are_welcome_where_it_is_said(value: str, good: bool) -> None:
    v = Violations()
    v.text(value, "bio", max_length=100, multiline=True)
    assert (not v.violations) is good


@pytest.mark.parametrize("value", [None, "", " "])
def test_what_is_required_and_missing_is_named(value: str | None) -> None:
    v = Violations()
    v.text(value, "a", max_length=10, required=True)
    phone(v, value, "b", required=True)
    assert [(v.field, v.description) for v in v.violations] == [
        ("a", "is required"),
        ("b", "is required"),
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("+1234567890", "+1234567890"),
        ("1234567890", "+1234567890"),
        (" +1 (234) 567-890 ", "+1234567890"),
        ("[123] 4567890", "+1234567890"),
        ("123456789012345", "+123456789012345"),
        ("", None),
        (None, None),
        ("--", None),
    ],
)
def test_phones_are_digits_after_a_plus(value: str | None, found: str | None) -> None:
    v = Violations()
    assert phone(v, value, "phone_number") == found
    assert v.violations == []


@pytest.mark.parametrize(
    "value",
    [
        "123456789",
        "1234567890123456",
        "++1234567890",
        "12345+67890",
        "12345678a0",
        "1234567890x",
        "1234567890\n1",
        "\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff10",
        "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660",
        "1234567890\0",
    ],
)
def test_wrong_phones_are_named(value: str) -> None:
    v = Violations()
    assert phone(v, value, "phone_number") is None
    assert [v.field for v in v.violations] == ["phone_number"]


@pytest.mark.parametrize("value", ["+16502530000", "0016502530000", "00 1 (650) 253-0000"])
def test_a_number_has_one_spelling(value: str) -> None:
    v = Violations()
    assert phone(v, value, "phone_number") == "+16502530000"
    assert v.violations == []


@pytest.mark.parametrize("value", ["+0123456789", "000123456789", "+0016502530000"])
def test_no_country_code_begins_with_zero(value: str) -> None:
    v = Violations()
    assert phone(v, value, "phone_number") is None
    assert [v.field for v in v.violations] == ["phone_number"]


@pytest.mark.parametrize(
    "value",
    [
        "http://a.example",
        "https://a.example/x?y=z#w",
        "https://[::1]:8080/",
        "https://\u00e4.example",
    ],
)
def test_web_addresses_are_good(value: str) -> None:
    v = Violations()
    assert v.url(value, "url") == value
    assert v.violations == []


@pytest.mark.parametrize(
    "value",
    [
        "a.example",
        "ftp://a.example",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "https://a b.example",
        "http://[::1",
        "https://a.example/" + "x" * URL_MAX,
        "//a.example",
        "https://a.example/\nx",
        "https://a.example/\0",
        "https://a.example:port/",
        "https://a.example:0/",
        "https://a.example:99999/",
    ],
)
def test_wrong_web_addresses_are_named(value: str) -> None:
    v = Violations()
    v.url(value, "url")
    assert {v.field for v in v.violations} == {"url"}


@pytest.mark.parametrize(
    ("value", "required", "found", "good"),
    [
        ("a", False, "a", True),
        ("", False, None, True),
        (None, False, None, True),
        ("", True, None, False),
        ("A", False, None, False),
        ("a ", False, None, False),
        ("c", True, None, False),
    ],
)
def test_a_choice_is_one_of_its_vocabulary(
    value: str | None, required: bool, found: str | None, good: bool
) -> None:
    v = Violations()
    assert v.choice(value, "kind", ("a", "b"), required=required) == found
    assert (not v.violations) is good
    assert all("a, b" in v.description for v in v.violations)


def test_all_problems_are_raised_at_once() -> None:
    v = Violations()
    v.raise_any()
    v.add("a", "is bad")
    v.text("\0", "b", max_length=1)
    with pytest.raises(InvalidField) as caught:
        v.raise_any()
    assert [v.field for v in caught.value.violations] == ["a", "b"]
    assert caught.value.message == "Invalid: a, b. See the field violations."


@given(TEXTS, st.integers(0, 50), st.booleans(), st.booleans())
def test_any_text_is_good_or_named(
    value: str | None, max_length: int, required: bool, multiline: bool
) -> None:
    v = Violations()
    found = v.text(value, "t", max_length=max_length, required=required, multiline=multiline)
    if v.violations:
        with pytest.raises(InvalidField):
            v.raise_any()
    elif found is not None:
        assert 0 < len(found) <= max_length
        assert found == unicodedata.normalize("NFC", found)
        assert "\0" not in found
        found.encode()  # no lone surrogate


@given(TEXTS, st.booleans())
def test_any_phone_is_good_or_named(value: str | None, required: bool) -> None:
    v = Violations()
    found = phone(v, value, "p", required=required)
    if found is not None:
        assert found[0] == "+"
        assert found[1:].isascii()
        assert 10 <= len(found[1:]) <= 15
        assert not v.violations


@given(TEXTS | st.text(max_size=60).map(lambda rest: f"https://{rest}"))
def test_any_web_address_is_good_or_named(value: str | None) -> None:
    v = Violations()
    found = v.url(value, "u")
    if not v.violations and found is not None:
        assert found.lower().startswith(("http://", "https://"))
        found.encode()


@given(TEXTS)
def test_any_choice_is_good_or_named(value: str | None) -> None:
    v = Violations()
    found = v.choice(value, "c", ("a", "b"))
    assert found in ("a", "b", None)
    assert bool(v.violations) is (bool(value) and found is None)


def test_a_mask_names_fields_to_change_and_may_repeat_which_resource_is_meant() -> None:
    v = Violations()
    assert v.mask(["bio", "user_id", "etag", "bio"], ("name", "bio"), identity="user_id") == ["bio"]
    assert v.mask(["*"], ("name", "bio"), identity="user_id") == ["name", "bio"]
    assert v.mask([], ("name", "bio"), identity="user_id") == []
    v.raise_any()
    v.mask(["status"], ("name", "bio"), identity="user_id")
    assert [v.field for v in v.violations] == ["update_mask"]


def test_a_path_into_a_value_means_all_of_it() -> None:
    v = Violations()
    paths = ["price.units", "price.nanos", "name"]
    assert v.mask(paths, ("name", "price"), identity="id", values={"price"}) == [
        "price",
        "name",
    ]
    v.raise_any()


def test_a_form_names_every_wrong_field_at_its_end() -> None:
    def form() -> None:
        with Violations() as v:
            v.uuid("x", "id")
            v.at_least(1, 0, "quantity")
            v.text("", "name", max_length=10, required=True)

    with pytest.raises(InvalidField) as caught:
        form()
    assert [(each.field, each.description) for each in caught.value.violations] == [
        ("id", "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057"),
        ("quantity", "must be at least 1"),
        ("name", "is required"),
    ]


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (InvalidField(Violation("page_token", "is damaged")), ["quantity", "page_token"]),
        (RuntimeError("ours"), None),
    ],
)
def test_a_form_takes_in_the_fields_of_an_error_and_lets_others_pass(
    error: Exception, fields: list[str] | None
) -> None:
    def form() -> None:
        with Violations() as v:
            v.at_least(1, 0, "quantity")
            raise error

    with pytest.raises(type(error)) as caught:
        form()
    if isinstance(caught.value, InvalidField):
        assert [each.field for each in caught.value.violations] == fields


def test_a_form_without_a_wrong_field_raises_nothing() -> None:
    with Violations() as v:
        assert v.at_least(1, 1, "quantity") == 1


def test_me_and_ones_own_id_name_oneself() -> None:
    mine, other = new_id(), new_id()
    with Violations() as v:
        assert v.user_id("me", "user_id", me=mine) == mine
        assert v.user_id(str(mine), "user_id", me=mine) == mine
        assert v.user_id(str(other), "user_id", me=mine) == other


def test_what_is_no_id_is_named() -> None:
    with pytest.raises(InvalidField) as caught, Violations() as v:
        v.user_id("you", "profile.user_id", me=new_id())
    assert caught.value.violations[0].field == "profile.user_id"
