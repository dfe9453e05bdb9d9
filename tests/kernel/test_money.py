from __future__ import annotations

import pytest
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import Violation
from services.kernel.money import MINOR_UNITS_MAX, Currency, from_wire, to_wire

USD, JPY, KWD = Currency("USD", 2), Currency("JPY", 0), Currency("KWD", 3)
CURRENCIES = st.sampled_from([USD, JPY, KWD, Currency("CLF", 4)])


@given(st.integers(0, MINOR_UNITS_MAX), CURRENCIES)
def test_minor_units_survive_the_wire(minor: int, currency: Currency) -> None:
    wire = Money.FromString(to_wire(minor, currency).SerializeToString())
    assert from_wire(wire, currency, field="price") == minor


@given(st.integers(-(10**15), 10**15), CURRENCIES)
def test_units_and_nanos_say_exactly_the_amount_and_share_its_sign(
    minor: int, currency: Currency
) -> None:
    wire = to_wire(minor, currency)
    assert wire.units * 10**9 + wire.nanos == minor * 10 ** (9 - currency.digits)
    assert wire.units * wire.nanos >= 0
    assert abs(wire.nanos) < 10**9


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.text(max_size=3).filter(lambda text: text.isprintable()),
    CURRENCIES,
    st.booleans(),
)
def test_any_money_is_an_amount_within_bounds_or_a_violation(
    units: int, nanos: int, code: str, currency: Currency, positive: bool
) -> None:
    money = Money(currency_code=code, units=units, nanos=nanos)
    found = from_wire(money, currency, field="price", positive=positive)
    if isinstance(found, Violation):
        assert found.field.startswith("price")
    else:
        assert int(positive) <= found <= MINOR_UNITS_MAX
        assert to_wire(found, currency).units == units


def money(units: int = 0, nanos: int = 0, code: str = "USD") -> Money:
    return Money(currency_code=code, units=units, nanos=nanos)


@pytest.mark.parametrize(
    ("wire", "currency", "minor"),
    [
        (money(12, 340_000_000), USD, 1234),
        (money(12, 340_000_000, code=""), USD, 1234),
        (money(), USD, 0),
        (money(0, 10_000_000), USD, 1),
        (money(7, code="JPY"), JPY, 7),
        (money(1, 1_000_000, code="KWD"), KWD, 1001),
        (money(MINOR_UNITS_MAX // 100), USD, MINOR_UNITS_MAX),
    ],
)
def test_what_money_is_worth(wire: Money, currency: Currency, minor: int) -> None:
    assert from_wire(wire, currency, field="price") == minor


@pytest.mark.parametrize(
    ("wire", "currency", "field"),
    [
        (money(1, code="EUR"), USD, "price.currency_code"),
        (money(1, code="usd"), USD, "price.currency_code"),
        (money(-1), USD, "price"),
        (money(0, -10_000_000), USD, "price"),
        (money(1, -10_000_000), USD, "price"),
        (money(1, 1), USD, "price.nanos"),
        (money(1, 5_000_000), USD, "price.nanos"),
        (money(1, 1_000_000_000), USD, "price.nanos"),
        (money(1, 500_000_000, code="JPY"), JPY, "price.nanos"),
        (money(1, 100_000, code="KWD"), KWD, "price.nanos"),
        (money(MINOR_UNITS_MAX // 100, 10_000_000), USD, "price"),
        (money(2**63 - 1), USD, "price"),
    ],
)
def test_wrong_money_is_named(wire: Money, currency: Currency, field: str) -> None:
    found = from_wire(wire, currency, field="price")
    assert isinstance(found, Violation)
    assert found.field == field


def test_nothing_is_not_positive() -> None:
    found = from_wire(money(), USD, field="price", positive=True)
    assert found == Violation("price", "must be positive")
