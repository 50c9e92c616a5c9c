"""Checks of Soda 3, one a line: `missing_count(column) = 0`.

Source: Soda, "SodaCL metrics and checks" (v3).
"""

from __future__ import annotations

import re
from dataclasses import replace

from limnos.errors import LimnosError
from limnos.model.contract import RuleSpec
from limnos.project.nodes import Mapped, Node, Scalar
from limnos.project.notations.soda_checks import (
    METRICS,
    REFUSED,
    VALIDITY,
    Check,
    Threshold,
    duplicate,
    invalid,
    missing,
    no_variables,
    row_count,
)
from limnos.project.notations.translation import Arguments, Bounds, Number, Tables, malformed, refused, searching

_LINE = re.compile(
    r"(?P<metric>[a-z_]+)\s*(?:\(\s*(?P<columns>[^()]+?)\s*\))?\s*"
    r"(?P<operator><=|>=|=|<|>|between)\s*(?P<value>-?[0-9.]+)\s*(?P<unit>%|[smhdw])?(?:\s+and\s+(?P<most>-?[0-9.]+))?"
)
_V3 = {f"{metric}_{unit}": unit == "percent" for metric in ("missing", "invalid", "duplicate") for unit in ("count", "percent")}
_V3_KEYS = {word.replace("_", " "): word for word in VALIDITY} | {"valid regex": "valid_regex"}


def read_line(node: Node, tables: Tables) -> tuple[RuleSpec, ...]:
    """Translate one check of version 3: `metric(column) > 5`, with its configuration as a mapping."""
    text, inner = _written(node)
    match = _LINE.fullmatch(text.strip())
    if match is None:
        for word, why in REFUSED.items():
            if text.startswith(word):
                raise refused(text, node.place, why)
        raise refused(f"The check {text!r}", node.place, "a comparison such as missing_count(column) = 0")
    arguments = Arguments(text, Mapped(node.place, {_V3_KEYS.get(key, key): one for key, one in inner.entries.items()}))
    name, where = arguments.text("name"), arguments.text("filter")
    arguments.skip("attributes", "samples limit", "identity")
    no_variables(text, Mapped(node.place, arguments.node.entries))
    rules = _of_line(match, arguments, tables)
    arguments.done()
    single = name if len(rules) == 1 else ""
    return tuple(replace(rule, name=single or rule.name, where=where, place=node.place) for rule in rules)


def _written(node: Node) -> tuple[str, Mapped]:
    if isinstance(node, Scalar):
        return node.text, Mapped(node.place, {})
    if isinstance(node, Mapped) and len(node.entries) == 1:
        ((text, inner),) = node.entries.items()
        if isinstance(inner, Mapped):
            return text, inner
        raise refused(f"The check {text!r}", node.place, "a comparison such as missing_count(column) = 0")
    raise malformed("A check has the wrong form", node.place, seen=node.form, expected="- row_count > 0")


def _of_line(match: re.Match[str], arguments: Arguments, tables: Tables) -> tuple[RuleSpec, ...]:
    metric, columns = match["metric"], tuple(part.strip() for part in (match["columns"] or "").split(",") if part.strip())
    if metric == "freshness":
        if match["operator"] not in ("<", "<=") or not match["unit"] or match["unit"] == "%" or len(columns) != 1:
            raise arguments.refused("freshness(column) < 6h")
        return (RuleSpec("freshness", columns, {"max": f"{match['value']}{match['unit']}"}),)
    bounds = _line_bounds(match, arguments)
    threshold = Threshold(Arguments("its threshold", Mapped(arguments.place, {})))
    threshold.bounds, threshold.percent = bounds, _V3.get(metric)
    check = Check(arguments, columns[0] if columns else "", threshold, tables)
    if metric == "row_count" and not columns:
        return row_count(check)
    if metric in _V3 and columns:
        pattern = arguments.text("valid_regex")
        if metric.startswith("duplicate"):
            return (RuleSpec("unique", columns),) if threshold.share() == 1 else duplicate(check)
        if pattern:
            return (RuleSpec("regex", columns[:1], {"pattern": searching(pattern)}, at_least=threshold.share()),)
        return (missing if metric.startswith("missing") else invalid)(check)
    if metric in METRICS and len(columns) == 1:
        return (RuleSpec(METRICS[metric], columns, bounds.arguments()),)
    raise arguments.refused(f"one of {', '.join((*_V3, *METRICS, 'row_count', 'freshness'))}")


def _line_bounds(match: re.Match[str], arguments: Arguments) -> Bounds:
    try:
        values: list[Number] = [float(text) if "." in text else int(text) for text in (match["value"], match["most"]) if text]
    except ValueError as error:
        raise _no_number(arguments, match["value"]) from error
    bounds = Bounds.of(match["operator"], *values)
    if bounds is None:
        raise _no_number(arguments, match[0])
    return bounds


def _no_number(arguments: Arguments, seen: str) -> LimnosError:
    return malformed(f"{arguments.what} has no threshold", arguments.place, seen=seen, expected="a number")
