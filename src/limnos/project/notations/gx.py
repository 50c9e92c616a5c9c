"""Suites of Great Expectations: JSON, as versions 0.x (`expectation_type`) and 1.x (`type`) write it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from limnos.errors import LimnosError
from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import quoted
from limnos.model.place import Place
from limnos.project.nodes import Listed, Mapped, Node, Scalar, parse_nodes
from limnos.project.notations.expectations import expectation
from limnos.project.notations.translation import Arguments, Imported, Tables, TablesOf, collected, malformed, spelled

_SUITE = (
    *("name", "expectation_suite_name", "meta", "id", "ge_cloud_id", "data_asset_type", "notes", "suite_parameters"),
    "evaluation_parameters",
)
_PAIRED = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_DOCUMENTATION = ("batch_id", "result_format", "catch_exceptions", "include_config", "windows")
_TABLE_WIDE = (
    "row_count",
    "aggregate_match",
    "schema_match",
    "distinct_count",
    "unique_ratio",
    "mean",
    "sum",
    "stddev",
    "minimum",
    "maximum",
)
_NO_SHARE = (*_TABLE_WIDE, "quantile", "correlation", "monotonic")


def read_gx(text: str, name: str, tables_of: TablesOf) -> tuple[Imported, ...]:
    """Translate a suite; it does not name its table.

    Raises:
        ProjectInvalid: If it is not a suite.
    """
    suite = _suite(text, name)
    if not isinstance(suite, Mapped):
        raise malformed("The file is not a suite of expectations", suite.place, seen=suite.form, expected='{"expectations": [...]}')
    top = Arguments("a suite", suite)
    entries = top.node_of("expectations")
    top.skip(*_SUITE)
    top.done()
    if not isinstance(entries, Listed):
        raise malformed("The suite has no list of expectations", suite.place, expected='"expectations": [...]')
    checks: list[Callable[[], list[RuleSpec]]] = [partial(_read, entry, tables_of("")) for entry in entries.items]
    rules, errors = collected(checks)
    return (Imported("", rules, errors),)


def _suite(text: str, name: str) -> Node:
    try:
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        place = Place(name, error.lineno) if isinstance(error, json.JSONDecodeError) else Place(name)
        seen = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise malformed("The file is not JSON", place, seen=seen, expected="a suite of expectations, as JSON") from error
    # JSON is YAML, which keeps the lines, but for tabs between its words and for halves of characters.
    return parse_nodes(_PAIRED.sub(_whole, text.replace("\t", " ")), name)


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _whole(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return json.loads(f'"\\u{match[1]}\\u{match[2]}"')  # type: ignore[no-any-return]


def _read(node: Node, tables: Tables) -> list[RuleSpec]:
    if not isinstance(node, Mapped):
        raise malformed("An expectation is not an object", node.place, seen=node.form, expected='{"type": ..., "kwargs": {...}}')
    entry = Arguments("an expectation", node)
    name = entry.text("type") or entry.need("expectation_type")
    severity = entry.text("severity")
    kwargs = entry.node_of("kwargs") or Mapped(node.place, {})
    entry.skip("type", "expectation_type", "meta", "id", "ge_cloud_id", "notes", "description", "expectation_context", "rendered_content")
    entry.done()
    if severity not in ("", "critical", "warning", "info"):
        raise malformed(f"{name} has no such severity", node.place_of("severity"), seen=severity, expected="critical, warning or info")
    if not isinstance(kwargs, Mapped):
        raise malformed(f"kwargs of {name} are not an object", kwargs.place, seen=kwargs.form, expected="{...}")
    arguments = Arguments(name, replace(kwargs, place=node.place))
    arguments.skip(*_DOCUMENTATION)
    if name == "expect_column_values_to_be_unique":
        arguments.skip("ignore_row_if")
    mostly = arguments.number("mostly")
    where = _condition(arguments)
    rule = expectation(name, arguments, tables)
    own = arguments.text("severity")
    arguments.done()
    if mostly is not None and mostly != 1 and (rule.kind in _NO_SHARE or not 0 <= mostly <= 1):
        raise arguments.refused("no `mostly`: the table is judged as a whole" if rule.kind in _NO_SHARE else "mostly from 0 to 1")
    if where and rule.kind == "schema_match":
        raise arguments.refused("no row_condition: columns have no rows")
    warns = Severity.WARN if (severity or own) in ("warning", "info") else None
    return [replace(rule, at_least=1.0 if mostly is None else float(mostly), where=where, severity=warns)]


def _condition(arguments: Arguments) -> str:
    parser = arguments.text("condition_parser")
    node = arguments.node_of("row_condition")
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return ""
    if isinstance(node, Mapped):
        return _tree(node, arguments, 0)
    if not isinstance(node, Scalar):
        raise arguments.wrong("row_condition", "a condition")
    if parser == "spark":
        return node.text
    return _written(node.text, arguments)


_COLUMN = r"""col\(\s*(?:"(?P<a>[^"]+)"|'(?P<b>[^']+)')\s*\)"""
_NULLITY = re.compile(rf"{_COLUMN}\.(?P<not>notNull|notnull|isNull|isnull)\(\)")
_COMPARED = re.compile(rf"""{_COLUMN}\s*(?P<op>==|!=|>=|<=|>|<)\s*(?P<value>-?[0-9]+(?:\.[0-9]+)?|"[^"']*"|'[^"']*')""")


def _written(text: str, arguments: Arguments) -> str:
    """Read what `col("a").notNull() & col("b") > 5` says; what pandas would evaluate as Python is refused."""
    parts: list[str] = []
    for part in re.split(r"\s*&\s*", text.strip()):
        bare = part.strip()
        if match := _NULLITY.fullmatch(bare):
            parts.append(f"{quoted(match['a'] or match['b'])} IS {'NOT ' if match['not'].lower() == 'notnull' else ''}NULL")
        elif match := _COMPARED.fullmatch(bare):
            value = match["value"]
            said = spelled(value[1:-1]) if value[0] in "\"'" else value
            parts.append(f"{quoted(match['a'] or match['b'])} {match['op'].replace('==', '=').replace('!=', '<>')} {said}")
        else:
            raise arguments.refused('a row_condition of `condition_parser: spark` (SQL), or such as col("a").notNull() & col("b") > 5')
    return " AND ".join(parts)


def _tree(node: Mapped, arguments: Arguments, depth: int) -> str:
    """Read a condition as GX 1.x writes it: comparisons and nullities of columns, joined by `and` and `or`."""
    parts = Arguments("a row_condition", node)
    kind = parts.need("type")
    if depth > 20:
        raise arguments.refused("a smaller row_condition")
    match kind:
        case "and" | "or":
            inner = parts.node_of("conditions")
            if not isinstance(inner, Listed) or not inner.items:
                raise parts.wrong("conditions", "a list of conditions")
            said = [_tree(one, arguments, depth + 1) for one in inner.items if isinstance(one, Mapped)]
            if len(said) != len(inner.items):
                raise parts.wrong("conditions", "a list of conditions")
            text = f" {kind.upper()} ".join(f"({one})" for one in said)
        case "nullity":
            text = f"{_name(parts)} IS {'NULL' if parts.flag('is_null') else 'NOT NULL'}"
        case "comparison":
            column, operator, value = _name(parts), parts.need("operator"), parts.take("parameter")
            text = _comparison(column, operator, value, parts)
        case _:
            raise arguments.refused("a row_condition of comparisons, nullities, `and` and `or`")
    parts.done()
    return text


def _name(parts: Arguments) -> str:
    node = parts.node_of("column")
    name = node.text("name") if isinstance(node, Mapped) else node.text if isinstance(node, Scalar) else ""
    if not name:
        raise parts.wrong("column", '{"name": ...}')
    return quoted(name)


def _comparison(column: str, operator: str, value: object, parts: Arguments) -> str:
    if operator.lower() in ("in", "not_in", "not in") and isinstance(value, list) and value:
        return f"{column} {'NOT ' if operator.lower() != 'in' else ''}IN ({', '.join(map(spelled, value))})"
    if operator not in ("==", "!=", ">", ">=", "<", "<=") or isinstance(value, list | dict) or value is None:
        raise _unknown(operator, parts)
    return f"{column} {operator.replace('==', '=').replace('!=', '<>')} {spelled(value)}"


def _unknown(operator: str, parts: Arguments) -> LimnosError:
    return malformed(
        "A comparison in a row_condition is not known", parts.place, seen=operator, expected="==, !=, >, >=, <, <=, in, not_in"
    )
