"""The simulation reproduces what was measured, and the page shows what the simulation says."""

from __future__ import annotations

import pytest

from tests.scale.__main__ import BEGIN, END, PAGE, lines, needed, reproduced
from tests.scale.figures import ONE
from tests.scale.model import SHAPE, closed, opened, replicas


def test_it_reproduces_rates_and_times_within_a_fifth() -> None:
    for name, _, measured, simulated in reproduced():
        assert simulated == pytest.approx(measured, rel=0.2), name


def test_the_page_shows_what_the_simulation_says() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == "\n".join(lines())


def test_one_core_serves_no_more_than_its_time() -> None:
    assert closed([1], [0.01], clients=4, requests=4000).rate == pytest.approx(100, rel=0.05)
    # A queue of one core that is busy half of its time, by the formula of Pollaczek and Khinchine.
    waits = 0.01 * (1 + 1 / SHAPE) / 2
    assert opened(0.01, rate=50).mean == pytest.approx(0.01 + waits, rel=0.05)


def test_more_traffic_or_less_patience_needs_more_replicas() -> None:
    assert replicas(0.01, rate=300, p99=1) > replicas(0.01, rate=100, p99=1)
    assert replicas(0.01, rate=300, p99=0.06) > replicas(0.01, rate=300, p99=1)
    assert needed(ONE.times(100))["Auth"] > needed(ONE.times(10))["Auth"]
