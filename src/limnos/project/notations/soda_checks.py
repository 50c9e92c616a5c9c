"""The checks of a Soda contract, and what they are held to.

A value that counts as missing is not judged as invalid; a count may only be held to 0, a percentage becomes a share.

Source: Soda, "Contract language reference" (v4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import quoted
from limnos.project.nodes import Listed, Mapped, Node, Scalar
from limnos.project.notations.translation import Arguments, Bounds, Tables, malformed, refused, searching, spelled, sql_rule

VALIDITY = (
    *("valid_values", "invalid_values", "valid_format", "invalid_format", "valid_min", "valid_max", "valid_length", "valid_min_length"),
    *("valid_max_length", "valid_reference_data", "missing_values", "missing_format"),
)
_NO_KIND = "no rule measures that; write it as `query` under `checks`"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("group_by", "reconciliation", "reconciliation_metric_diff", "reconciliation_rows_diff"), _NO_KIND),
    **dict.fromkeys(("anomaly detection", "distribution"), "it learns from earlier scans and is no fixed rule"),
}
METRICS = {"avg": "mean", "sum": "sum", "min": "minimum", "max": "maximum", "stddev": "stddev"}
_LENGTHS = {"min_length": "min", "max_length": "max"}
_UNITS = {"minute": "m", "hour": "h", "day": "d"}
_OPERATORS = {
    "must_be": "=",
    "must_be_greater_than": ">",
    "must_be_greater_than_or_equal": ">=",
    "must_be_less_than": "<",
    "must_be_less_than_or_equal": "<=",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its arguments, the column it is about (empty for the table), its threshold, and where it stands."""

    arguments: Arguments
    column: str
    threshold: Threshold
    tables: Tables
    columns: tuple[Mapped, ...] = ()


def no_variables(kind: str, node: Node) -> None:
    """Refuse a value that Soda would fill in."""
    match node:
        case Scalar() if "${" in node.text:
            raise refused(f"The variable in {node.text!r} of {kind}", node.place, "the value itself")
        case Listed():
            for item in node.items:
                no_variables(kind, item)
        case Mapped():
            for item in node.entries.values():
                no_variables(kind, item)
        case _:
            return


class Threshold:
    """Read what a metric is held to; at most one comparison."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.percent = {"": None, "count": False, "percent": True}.get(arguments.text("metric"))
        self.unit = arguments.text("unit")
        level = arguments.text("level")
        if level not in ("", "warn", "fail"):
            raise malformed("A threshold has no such level", arguments.place, seen=level, expected="warn or fail")
        self.severity = Severity.WARN if level == "warn" else None
        for word in ("must_not_be", "must_be_not_between", "additional"):
            if arguments.take(word) is not None:
                raise refused(f"{word} of a threshold", arguments.place, "one range of values")
        given = {word: arguments.number(word) for word in _OPERATORS}
        found = [Bounds.of(_OPERATORS[word], value) for word, value in given.items() if value is not None]
        between = arguments.node_of("must_be_between")
        if between is not None:
            found.append(_between(arguments, between))
        if len(found) > 1:
            raise malformed("A threshold has several comparisons", arguments.place, expected="one")
        self.bounds = found[0] if found else None

    def share(self) -> float:
        """Give the least share of good rows, where the threshold is on the bad ones: none of them, or less than a percentage."""
        bounds = self.bounds
        if bounds is None or bounds in (Bounds(0, 0), Bounds(None, 0)):
            return 1.0
        if not self.percent:
            raise self.arguments.refused("none, or `metric: percent` with must_be_less_than: a count is no share")
        low = bounds.low if isinstance(bounds.low, int | float) else 0
        if low > 0 or (low == 0 and bounds.low_strict and bounds.low is not None) or not isinstance(bounds.high, int | float):
            raise self.arguments.refused("at most a percentage of bad rows")
        try:
            return Bounds((100 - bounds.high) / 100, None, low_strict=bounds.high_strict).share()
        except ValueError as error:
            raise self.arguments.refused("a percentage from 0 to 100") from error

    def needed(self) -> Bounds:
        """Give the bounds on a metric that has no threshold of its own."""
        if self.bounds is None:
            raise malformed("The threshold has no comparison", self.arguments.place, expected=", ".join(_OPERATORS))
        return self.bounds

    def whole(self) -> dict[str, object]:
        """Give the bounds on a count."""
        try:
            return self.needed().whole()
        except (ValueError, OverflowError) as error:
            raise self.arguments.refused("a bound that a count can meet") from error


def _between(arguments: Arguments, node: Node) -> Bounds:
    if not isinstance(node, Mapped):
        raise arguments.wrong("must_be_between", "greater_than and less_than")
    inner = Arguments("must_be_between", node)
    low, low_equal = inner.number("greater_than"), inner.number("greater_than_or_equal")
    high, high_equal = inner.number("less_than"), inner.number("less_than_or_equal")
    inner.done()
    if (low is None) == (low_equal is None) or (high is None) == (high_equal is None):
        raise malformed("must_be_between has two bounds", node.place, expected="one of greater_than..., one of less_than...")
    return Bounds(low_equal if low is None else low, high_equal if high is None else high, low is not None, high is not None)


def missing(check: Check) -> tuple[RuleSpec, ...]:
    """Count what is missing."""
    missing, form = _missing_values(check.arguments), check.arguments.take("missing_format")
    share = check.threshold.share()
    if form is not None:
        pattern = _pattern(check.arguments, form)
        said = f"{quoted(check.column)} IS NOT NULL AND NOT coalesce(regexp_matches({quoted(check.column)}, {spelled(pattern)}), FALSE)"
        said += f" AND {quoted(check.column)} NOT IN ({', '.join(map(spelled, missing))})" if missing else ""
        return (replace(sql_rule(said, check.arguments.place), at_least=share),)
    return (RuleSpec("not_null", (check.column,), {"missing": missing} if missing else {}, at_least=share),)


def _missing_values(arguments: Arguments) -> list[object]:
    if "missing_values" not in arguments.node.entries:
        arguments.skip("missing_values")
        return []
    return [value for value in arguments.values("missing_values") if value is not None]


def _pattern(arguments: Arguments, form: object) -> str:
    if not isinstance(form, dict):
        raise arguments.refused("a format with regex and name")
    said: dict[object, object] = {**form}
    if set(said) - {"regex", "name"} or not isinstance(said.get("regex"), str):
        raise arguments.refused("a format with regex and name: what a name alone means is in Soda's configuration")
    return str(said["regex"])


def invalid(check: Check) -> tuple[RuleSpec, ...]:
    """Read each validity key as a rule; all of them together are one count, so a share is one rule at most."""
    missing, form = _missing_values(check.arguments), check.arguments.take("missing_format")
    if form is not None:
        raise check.arguments.refused("missing_values: a format of missing values has no equal in a condition")
    rules = list(_valid(check))
    if not rules:
        raise malformed("The check invalid says nothing of what is valid", check.arguments.place, expected=", ".join(VALIDITY[:4]))
    share = check.threshold.share()
    if share < 1 and len(rules) > 1:
        raise check.arguments.refused("a percentage of one validity key: of several it is one count")
    if missing and [rule.kind for rule in rules] != ["accepted_values"]:
        raise check.arguments.refused("missing_values beside valid_values only; else write `where` under `checks`")
    if missing:
        # What counts as missing is passed over.
        rules = [replace(rules[0], arguments={"values": [*check.arguments.listed("valid_values"), *missing]})]
    return tuple(replace(rule, at_least=share) for rule in rules)


def _valid(check: Check) -> Iterator[RuleSpec]:
    arguments, name = check.arguments, (check.column,)
    for word, kind in (("valid_values", "accepted_values"), ("invalid_values", "rejected_values")):
        if word in arguments.node.entries:
            yield RuleSpec(kind, name, {"values": arguments.values(word)})
    if (form := arguments.take("valid_format")) is not None:
        yield RuleSpec("regex", name, {"pattern": searching(_pattern(arguments, form))})
    if (form := arguments.take("invalid_format")) is not None:
        yield sql_rule(f"NOT regexp_matches({quoted(check.column)}, {spelled(_pattern(arguments, form))})", arguments.place)
    ends = {"min": arguments.number("valid_min"), "max": arguments.number("valid_max")}
    if bounds := {word: value for word, value in ends.items() if value is not None}:
        yield RuleSpec("range", name, bounds)
    yield from _lengths(arguments, name)
    if (reference := arguments.take("valid_reference_data")) is not None:
        yield _reference(arguments, reference, name, check.tables)


def _lengths(arguments: Arguments, name: tuple[str, ...]) -> list[RuleSpec]:
    exact = arguments.number("valid_length")
    words = (("min", arguments.number("valid_min_length")), ("max", arguments.number("valid_max_length")))
    given = {word: exact if exact is not None else value for word, value in words if exact is not None or value is not None}
    return [RuleSpec("length", name, given)] if given else []


def _reference(arguments: Arguments, said: object, name: tuple[str, ...], tables: Tables) -> RuleSpec:
    if not isinstance(said, dict) or set(said) != {"dataset", "column"} or not all(isinstance(one, str) for one in said.values()):
        raise arguments.refused("valid_reference_data with dataset and column")
    words: dict[str, str] = {**said}
    found = tables.find(words["dataset"].rpartition("/")[2], arguments.place)
    return RuleSpec("foreign_key", name, {"references": str(found), "columns": [words["column"]]})


def duplicate(check: Check) -> tuple[RuleSpec, ...]:
    """Count what occurs twice."""
    columns = (check.column,) if check.column else check.arguments.texts("columns")
    share = check.threshold.share()
    if share < 1:
        raise check.arguments.refused("none: Soda counts surplus values, `unique` every copy of them")
    return (RuleSpec("unique", columns),)


def _aggregate(check: Check) -> tuple[RuleSpec, ...]:
    function = check.arguments.need("function")
    if function in _LENGTHS:
        counts = check.threshold.whole()
        word = _LENGTHS[function]
        if set(counts) == {word}:
            return (RuleSpec("length", (check.column,), counts),)
        raise check.arguments.refused(f"{function} {'at least' if word == 'min' else 'at most'} a number")
    if function not in METRICS:
        raise check.arguments.refused(f"one of {', '.join((*METRICS, *_LENGTHS))}")
    return (RuleSpec(METRICS[function], (check.column,), check.threshold.needed().arguments()),)


def _failed_rows(check: Check) -> tuple[RuleSpec, ...]:
    share = check.threshold.share()
    if "keys_query" in check.arguments.node.entries:
        raise check.arguments.refused("expression or query")
    check.arguments.skip("rows_tested_query")
    if expression := check.arguments.text("expression"):
        # The expression finds the bad rows; where it is null, Soda counts none.
        said = f"NOT ({expression})" if share == 1 else f"coalesce(NOT ({expression}), TRUE)"
        return (replace(sql_rule(said, check.arguments.place), at_least=share),)
    if share < 1:
        raise check.arguments.refused("none: a query gives no number of good rows")
    return (RuleSpec("query", (), {"sql": check.arguments.need("query")}),)


def _metric(check: Check) -> tuple[RuleSpec, ...]:
    condition = check.threshold.needed().sql("measured.value")
    query = check.arguments.text("query") or f"SELECT {check.arguments.need('expression')} FROM {check.tables.own}"
    sql = f"SELECT * FROM ({query.strip().rstrip(';')}) AS measured(value) WHERE NOT coalesce({condition}, FALSE)"
    return (RuleSpec("query", (), {"sql": sql}, name=f"query:{' '.join(query.split())}"),)


def row_count(check: Check) -> tuple[RuleSpec, ...]:
    """Count the rows."""
    return (RuleSpec("row_count", (), {"min": 1} if check.threshold.bounds is None else check.threshold.whole()),)


def _freshness(check: Check) -> tuple[RuleSpec, ...]:
    bounds = check.threshold.needed()
    check.arguments.skip("now_variable")
    if bounds.low is not None or not isinstance(bounds.high, int) or bounds.high < 1:
        raise check.arguments.refused("must_be_less_than a whole number of units")
    unit = _UNITS.get(check.threshold.unit or "hour")
    if unit is None:
        raise malformed("A freshness has no such unit", check.arguments.place, seen=check.threshold.unit, expected=", ".join(_UNITS))
    return (RuleSpec("freshness", (check.arguments.need("column"),), {"max": f"{bounds.high}{unit}"}),)


def _schema(check: Check) -> tuple[RuleSpec, ...]:
    extra, free = check.arguments.flag("allow_extra_columns"), check.arguments.flag("allow_other_column_order")
    for column in check.columns:
        if column.value("optional") is True:
            raise check.arguments.refused("columns that are all required")
        if column.text("data_type"):
            raise check.arguments.refused("columns without data_type: a type is another system's word; the contract of the table says it")
    names = [column.text("name") for column in check.columns]
    said: dict[str, object] = {"columns": names, "extra": "allow" if extra else "refuse"}
    return (RuleSpec("schema_match", (), said | ({} if free else {"order": True})),)


_Translator = Callable[[Check], tuple[RuleSpec, ...]]
NEEDED = {"missing": ("missing_values", "missing_format"), "invalid": VALIDITY}
OF_COLUMN: Mapping[str, _Translator] = {
    "missing": missing,
    "invalid": invalid,
    "duplicate": duplicate,
    "aggregate": _aggregate,
    "failed_rows": _failed_rows,
    "metric": _metric,
}
OF_TABLE: Mapping[str, _Translator] = {
    "schema": _schema,
    "row_count": row_count,
    "freshness": _freshness,
    "duplicate": duplicate,
    "failed_rows": _failed_rows,
    "metric": _metric,
}
