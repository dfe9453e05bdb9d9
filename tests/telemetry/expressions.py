"""The alerts and the dashboard: what their expressions name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES: Final = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
ALERTS: Final[list[dict[str, Any]]] = [each for group in RULES["groups"] for each in group["rules"]]
DASHBOARD: Final = json.loads((DEPLOY / "grafana" / "lockstep.json").read_text())
EXPRESSIONS: Final = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
]
# Given by Prometheus itself.
BUILT_IN: Final = {"job", "instance"}
UP: Final = "up"


def parsed(expression: str) -> Any:
    """Return the tree of an expression of an alert or of the dashboard."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m"))


def named_in(expression: str) -> set[tuple[str, str]]:
    """Return each metric with each label that an expression names; "" stands for no label."""
    return set(_named(parsed(expression), frozenset()))


def labels_told(alert: dict[str, Any]) -> set[str]:
    """Return the labels that the texts of an alert name."""
    return set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))


def _named(tree: Any, grouped: frozenset[str]) -> Iterator[tuple[str, str]]:
    match tree:
        case promql_parser.BinaryExpr():
            yield from _named(tree.lhs, grouped)
            yield from _named(tree.rhs, grouped)
        case promql_parser.AggregateExpr():
            by = tree.modifier.labels if tree.modifier is not None else ()
            yield from _named(tree.expr, grouped | frozenset(by))
        case promql_parser.ParenExpr():
            yield from _named(tree.expr, grouped)
        case promql_parser.Call():
            for each in tree.args:
                yield from _named(each, grouped)
        case promql_parser.MatrixSelector():
            yield from _named(tree.vector_selector, grouped)
        case promql_parser.VectorSelector():
            labels = {each.name for each in tree.matchers.matchers} | grouped
            yield from ((str(tree.name), label) for label in (labels - BUILT_IN) | {""})
        case promql_parser.NumberLiteral():
            return
        case _:
            raise AssertionError(f"{type(tree).__name__} is not known here")
