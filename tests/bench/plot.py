"""Plots of the run: lines over two logarithmic axes, as an SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 40, 50
# Colours that people who see few colours can tell apart, on a light and on a dark page.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLE = "font:13px sans-serif;fill:#767676"


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis.

    Attributes:
        label: What it shows, with the unit.
        begin: The coordinate of its smallest value.
        end: The coordinate of its largest value.
        low: The smallest value, a power of ten.
        high: The largest value, a power of ten.
    """

    label: str
    begin: float
    end: float
    low: float
    high: float

    @classmethod
    def around(cls, label: str, begin: float, end: float, values: Sequence[float]) -> Axis:
        """Return the axis that has all values."""
        low = 10.0 ** math.floor(math.log10(min(values)))
        high = 10.0 ** math.ceil(math.log10(max(values)))
        return cls(label, begin, end, low, max(high, 10 * low))

    def place(self, value: float) -> float:
        """Return the coordinate of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Give the coordinates and texts of the powers of ten."""
        value = self.low
        while value <= self.high * 1.01:
            yield self.place(value), f"{value:,.0f}" if value >= 1 else f"{value:g}"
            value *= 10


def draw(title: str, x_label: str, y_label: str, series: Mapping[str, Points]) -> str:
    """Return an SVG with a line for each series."""
    points = [point for each in series.values() for point in each]
    x_axis = Axis.around(x_label, LEFT, WIDTH - RIGHT, [x for x, _ in points])
    y_axis = Axis.around(y_label, HEIGHT - BOTTOM, TOP, [y for _, y in points])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        _text(LEFT, TOP - 16, title, weight="bold"),
        *_grid(x_axis, y_axis),
        *(_line(n, name, each, x_axis, y_axis) for n, (name, each) in enumerate(series.items())),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    for x, text in x_axis.ticks():
        yield _rule(x, y_axis.begin, x, y_axis.end)
        yield _text(x, y_axis.begin + 18, text, anchor="middle")
    for y, text in y_axis.ticks():
        yield _rule(x_axis.begin, y, x_axis.end, y)
        yield _text(x_axis.begin - 8, y + 4, text, anchor="end")
    middle = (x_axis.begin + x_axis.end) / 2
    yield _text(middle, HEIGHT - 12, x_axis.label, anchor="middle")
    yield _text(x_axis.end + 12, TOP + 4, f"up: {y_axis.label}")


def _line(number: int, name: str, points: Points, x_axis: Axis, y_axis: Axis) -> str:
    colour = COLOURS[number % len(COLOURS)]
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    key = _text(x_axis.end + 12, TOP + 30 + 20 * number, name, colour=colour)
    return f'<g fill="{colour}">{line}{dots}</g>\n{key}'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        ' stroke="#767676" stroke-opacity="0.3"/>'
    )


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "", colour: str = ""
) -> str:
    style = STYLE + (f";font-weight:{weight}" if weight else "")
    style += f";fill:{colour}" if colour else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} style="{style}">{escape(text)}</text>'
