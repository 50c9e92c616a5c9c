"""DQDL as rules: the rule types of AWS Glue and Deequ, by name.

A `ColumnValues` rule fails on nulls, unless it is negated or names NULL; `matches` searches; `between` leaves its ends out.

Source: AWS Glue, "DQDL rule type reference"; awslabs/dqdl, rules-config.json; awslabs/deequ, DQDLRuleTranslator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod

from limnos.errors import LimnosError
from limnos.model.contract import RuleSpec
from limnos.model.names import literal, quoted
from limnos.model.place import Place
from limnos.project.notations.dqdl_syntax import (
    Condition,
    Dynamic,
    Joined,
    Keyword,
    Moment,
    Operand,
    Quantity,
    Rule,
    Tree,
    parse_document,
    parse_rule,
)
from limnos.project.notations.translation import (
    Bounds,
    Imported,
    Tables,
    TablesOf,
    collected,
    malformed,
    refused,
    searching,
    spelled,
    sql_rule,
)
from limnos.project.shape import nearest

_MOST_CLAUSES = 64
_DYNAMIC = "its threshold follows earlier runs; a fixed bound would be another rule"
_EXACTLY_ALL = "only `= 1.0` says the same here"
_MONITOR = "it learns from earlier runs and is no fixed rule"
_FILES = "it is about files, not about the rows of a table"
_NO_KIND = "no rule measures that; write it as `query` under `checks`"
REFUSED: Mapping[str, str] = {
    "DetectAnomalies": _MONITOR,
    "AllStatistics": "it reports and checks nothing",
    **dict.fromkeys(("FileFreshness", "FileMatch", "FileUniqueness", "FileSize", "FileCount"), _FILES),
    **dict.fromkeys(("JobStatus", "JobDuration"), "it is about a job, not about a table"),
    **dict.fromkeys(("ColumnCount", "DatasetColumnCount"), "no rule counts columns; `schema_match` says which there are"),
    "ColumnNamesMatchPattern": "no rule looks at the names of columns; `schema_match` says which there are",
    **dict.fromkeys(("Variance", "UniqueValueRatio", "Range", "InterquartileRange", "Skewness", "Kurtosis", "DuplicateRowCount"), _NO_KIND),
}
_TYPES = {"integer": "int"} | {name: name for name in ("boolean", "date", "timestamp", "double", "float", "long", "string")}


@dataclass(frozen=True, slots=True)
class _Meant:
    """What one DQDL rule means: rules that must all hold, and, where it judges each row by itself, that as SQL, never null."""

    rules: tuple[RuleSpec, ...]
    row: str = ""


def read_dqdl(text: str, name: str, tables_of: TablesOf) -> tuple[Imported, ...]:
    """Translate a DQDL document; it does not name its table.

    Raises:
        ProjectInvalid: If it is not DQDL.
    """
    document, tables = parse_document(text, name), tables_of("")
    checks: list[Callable[[], tuple[RuleSpec, ...]]] = [partial(_translated, tree, tables) for tree in document.rules]
    checks += [partial(_analyzer, rule) for rule in document.analyzers]
    rules, errors = collected(checks)
    return (Imported("", rules, errors),)


def read_dqdl_rule(text: str, place: Place, tables: Tables) -> tuple[RuleSpec, ...]:
    """Translate one line of DQDL.

    Raises:
        ProjectInvalid: If it is not DQDL.
        Unsupported: If it has no equal here.
    """
    return _translated(parse_rule(text, place), tables)


def _analyzer(rule: Rule) -> tuple[RuleSpec, ...]:
    raise refused(f"The analyzer {rule.type}", rule.place, "an analyzer reports and checks nothing")


def _translated(tree: Tree, tables: Tables) -> tuple[RuleSpec, ...]:
    """Translate a rule; what `and` and `or` join becomes clauses that must all hold, each of alternatives."""
    found: list[RuleSpec] = []
    for clause in _clauses(tree):
        if len(clause) == 1:
            found += _meant(clause[0], tables).rules
        else:
            found.append(_either(clause, tables))
    return tuple(found)


def _clauses(tree: Tree) -> list[list[Rule]]:
    if isinstance(tree, Rule):
        return [[tree]]
    parts = [_clauses(part) for part in tree.parts]
    if tree.word == "and":
        return [clause for part in parts for clause in part]
    if prod(map(len, parts)) > _MOST_CLAUSES:
        raise refused("A rule of so many alternatives", _first(tree).place, "a smaller rule")
    return [[rule for clause in chosen for rule in clause] for chosen in product(*parts)]


def _first(tree: Tree) -> Rule:
    while isinstance(tree, Joined):
        tree = tree.parts[0]
    return tree


def _either(clause: list[Rule], tables: Tables) -> RuleSpec:
    meant = [(rule, _meant(rule, tables)) for rule in clause]
    for rule, one in meant:
        if not one.row:
            raise refused(f"{rule.type} in an `or`", rule.place, "an `or` of rules that judge each row by itself")
    return sql_rule(" OR ".join(f"({one.row})" for _, one in meant), clause[0].place)


def _meant(rule: Rule, tables: Tables) -> _Meant:
    if rule.type in REFUSED:
        raise refused(rule.type, rule.place, REFUSED[rule.type])
    if rule.type not in _TRANSLATORS:
        expected = nearest(rule.type, (*_TRANSLATORS, *REFUSED))
        raise malformed(f"No DQDL rule is called {rule.type}", rule.place, seen=rule.type, expected=expected)
    for tag in rule.tags:
        if tag != "threshold" or rule.type not in _WITH_THRESHOLD:
            allowed = "threshold" if rule.type in _WITH_THRESHOLD else "no tag"
            raise malformed(f"{rule.type} has no tag {tag}", rule.place, seen=tag, expected=allowed)
    meant = _TRANSLATORS[rule.type](rule, tables)
    if not rule.where:
        return meant
    row = f"coalesce(NOT ({rule.where}), TRUE) OR ({meant.row})" if meant.row else ""
    return _Meant(tuple(_under(one, rule) for one in meant.rules), row)


def _under(spec: RuleSpec, rule: Rule) -> RuleSpec:
    if spec.kind in ("query", "schema_match"):
        raise refused(f"`where` of {rule.type}", rule.place, "the condition inside its SQL" if spec.kind == "query" else "no condition")
    return replace(spec, where=rule.where)


def _parameters(rule: Rule, least: int, most: int = 0) -> tuple[str, ...]:
    if not least <= len(rule.parameters) <= (most or least):
        expected = str(least) if most in (0, least) else f"{least} to {most}"
        raise malformed(
            f"{rule.type} has {len(rule.parameters)} parameters", rule.place, seen=", ".join(rule.parameters), expected=expected
        )
    return rule.parameters


def _no_condition(rule: Rule) -> None:
    if rule.condition:
        raise malformed(f"{rule.type} takes no comparison", rule.place, seen=rule.condition.operator, expected="nothing behind it")


def _condition(rule: Rule) -> Condition:
    if rule.condition is None:
        raise malformed(f"{rule.type} has no comparison", rule.place, expected="a comparison, such as > 0")
    return rule.condition


def _fixed(rule: Rule, condition: Condition) -> tuple[Operand, ...]:
    for operand in condition.operands:
        if isinstance(operand, Dynamic):
            raise refused(f"{rule.type} against {operand.text}", rule.place, _DYNAMIC)
    return condition.operands


def _numbers(rule: Rule, condition: Condition) -> Bounds:
    """Read bounds on a number; `!=` and the like have none."""
    values = [value for value in _fixed(rule, condition) if isinstance(value, int | float)]
    if len(values) != len(condition.operands):
        raise malformed(f"{rule.type} compares with what is no number", rule.place, expected="numbers")
    operator = {"between": "inside", "in": "=" if len(values) == 1 else "in"}.get(condition.operator, condition.operator)
    bounds = None if condition.negated else Bounds.of(operator, *values)
    if bounds is None:
        raise refused(f"{rule.type} {'not ' * condition.negated}{condition.operator}", rule.place, "one range: =, <, <=, >, >= or between")
    return bounds


def _unfit(rule: Rule) -> LimnosError:
    return refused(f"The comparison of {rule.type}", rule.place, "a bound that a value can meet")


def _counts(rule: Rule, condition: Condition) -> dict[str, object]:
    if condition.negated and condition.operator == "=" and condition.operands == (0,):
        return {"min": 1}
    try:
        return _numbers(rule, condition).whole()
    except (ValueError, OverflowError) as error:
        raise _unfit(rule) from error


def _share(rule: Rule, condition: Condition) -> float:
    try:
        return _numbers(rule, condition).share()
    except ValueError as error:
        raise refused(f"The comparison of {rule.type}", rule.place, "a least share of the rows, such as > 0.95") from error


def _threshold(rule: Rule) -> float:
    return _share(rule, rule.tags["threshold"]) if "threshold" in rule.tags else 1.0


def _one(*specs: RuleSpec, row: str = "") -> _Meant:
    return _Meant(specs, row)


def _complete(rule: Rule, _: Tables) -> _Meant:
    (column,) = _parameters(rule, 1)
    if rule.type == "IsComplete":
        _no_condition(rule)
        return _one(RuleSpec("not_null", (column,), place=rule.place), row=f"{quoted(column)} IS NOT NULL")
    return _one(RuleSpec("not_null", (column,), at_least=_share(rule, _condition(rule)), place=rule.place))


def _unique(rule: Rule, _: Tables) -> _Meant:
    columns = _parameters(rule, 1, 64)
    if rule.type == "Uniqueness":
        return _one(RuleSpec("unique", columns, at_least=_share(rule, _condition(rule)), place=rule.place))
    _no_condition(rule)
    return _one(RuleSpec("primary_key" if rule.type == "IsPrimaryKey" else "unique", columns, place=rule.place))


def _row_count(rule: Rule, _: Tables) -> _Meant:
    _parameters(rule, 0)
    return _one(RuleSpec("row_count", (), _counts(rule, _condition(rule)), place=rule.place))


_METRICS = {"Mean": "mean", "Sum": "sum", "StandardDeviation": "stddev", "Entropy": "entropy", "ColumnCorrelation": "correlation"}


def _metric(rule: Rule, _: Tables) -> _Meant:
    kind = _METRICS[rule.type]
    columns = _parameters(rule, 2 if kind == "correlation" else 1)
    bounds = _numbers(rule, _condition(rule))
    return _one(RuleSpec(kind, columns, bounds.arguments(), place=rule.place))


def _distinct_count(rule: Rule, _: Tables) -> _Meant:
    return _one(RuleSpec("distinct_count", _parameters(rule, 1), _counts(rule, _condition(rule)), place=rule.place))


def _zeros(rule: Rule, _: Tables) -> _Meant:
    (column,) = _parameters(rule, 1)
    if _counts(rule, _condition(rule)) != {"min": 0, "max": 0} and _counts(rule, _condition(rule)) != {"max": 0}:
        raise refused(rule.type, rule.place, "only `= 0`: no zero at all")
    return _one(RuleSpec("rejected_values", (column,), {"values": [0]}, place=rule.place))


def _column_exists(rule: Rule, _: Tables) -> _Meant:
    columns = _parameters(rule, 1)
    _no_condition(rule)
    return _one(RuleSpec("schema_match", (), {"columns": list(columns), "extra": "allow"}, place=rule.place))


def _column_type(rule: Rule, _: Tables) -> _Meant:
    (column,) = _parameters(rule, 1)
    condition = _condition(rule)
    if rule.tags or condition.negated or condition.operator != "=" or not isinstance(condition.operands[0], str):
        raise refused(f"This form of {rule.type}", rule.place, '= "TYPE" without a threshold: a column of the lake has one type')
    type_ = condition.operands[0].lower()
    if type_ not in _TYPES:
        raise malformed(f"{rule.type} names no type", rule.place, seen=condition.operands[0], expected=nearest(type_, _TYPES))
    return _one(RuleSpec("schema_match", (), {"columns": {column: _TYPES[type_]}, "extra": "allow"}, place=rule.place))


def _values(rule: Rule, _: Tables) -> _Meant:
    (column,) = _parameters(rule, 1)
    condition, least = _condition(rule), _threshold(rule)
    _fixed(rule, condition)
    truth = f"coalesce({_truth(rule, quoted(column), condition)}, {'TRUE' if _passes_null(condition) else 'FALSE'})"
    spec = _plain_rule(rule, column, condition)
    nulls = RuleSpec("not_null", (column,), place=rule.place)
    if spec is None or (least < 1 and not _passes_null(condition)):
        return _one(replace(sql_rule(truth, rule.place), at_least=least), row=truth)
    if _nulls(condition) and condition.negated:
        return _one(*([] if spec.kind == "not_null" else [nulls]), spec, row=truth)
    return _one(replace(spec, at_least=least), *([] if _passes_null(condition) else [nulls]), row=truth)


def _nulls(condition: Condition) -> bool:
    return Keyword("NULL") in condition.operands


def _passes_null(condition: Condition) -> bool:
    return condition.negated is not _nulls(condition)


def _plain_rule(rule: Rule, column: str, condition: Condition) -> RuleSpec | None:
    """Give the rule on values that says the same of what is not null; nothing where only SQL does."""
    values = [value.word if isinstance(value, Keyword) else value for value in condition.operands if value != Keyword("NULL")]
    values = ["" if value == "EMPTY" and Keyword("EMPTY") in condition.operands else value for value in values]
    texts = [value for value in values if isinstance(value, int | float | str)]
    if len(texts) != len(values) or Keyword("WHITESPACES_ONLY") in condition.operands:
        return None
    match condition.operator:
        case "matches" if not condition.negated:
            return RuleSpec("regex", (column,), {"pattern": searching(str(texts[0]))}, place=rule.place)
        case "=" | "in" if not texts:
            return RuleSpec("not_null", (column,), place=rule.place) if condition.negated else None
        case "=" | "in":
            kind = "rejected_values" if condition.negated else "accepted_values"
            return RuleSpec(kind, (column,), {"values": texts}, place=rule.place)
        case _:
            operator = "inside" if condition.operator == "between" else condition.operator
            bounds = None if condition.negated else Bounds.of(operator, *texts)
            return RuleSpec("range", (column,), bounds.arguments(), place=rule.place) if bounds else None


def _truth(rule: Rule, value: str, condition: Condition) -> str:
    """Write a comparison as SQL; null where the value is null and no NULL is named."""
    if condition.operator == "matches":
        said = f"regexp_matches({value}, {literal(str(condition.operands[0]))})"
    elif condition.operator in ("=", "in"):
        said = " OR ".join(_equal(rule, value, operand) for operand in condition.operands)
    else:
        operands = [_moment(rule, operand) for operand in condition.operands]
        if condition.operator == "between":
            said = f"{value} > {operands[0]} AND {value} < {operands[1]}"
        else:
            said = f"{value} {condition.operator} {operands[0]}"
    return f"NOT ({said})" if condition.negated else said


def _equal(rule: Rule, value: str, operand: Operand) -> str:
    match operand:
        case Keyword("NULL"):
            return f"{value} IS NULL"
        case Keyword("EMPTY"):
            return f"{value} = ''"
        case Keyword():
            return f"({value} <> '' AND trim({value}) = '')"
        case _:
            return f"{value} = {_moment(rule, operand)}"


def _moment(rule: Rule, operand: Operand) -> str:
    match operand:
        case Moment(offset=None):
            return "now()"
        case Moment(offset=Quantity(count, unit)):
            return f"(now() {'-' if count < 0 else '+'} INTERVAL {abs(count)} {unit.upper()})"
        case int() | float() | str():
            return spelled(operand)
        case _:
            raise refused(f"{rule.type} with such a value", rule.place, "a number, a text, a date, or now() and a duration")


def _length(rule: Rule, _: Tables) -> _Meant:
    (column,) = _parameters(rule, 1)
    condition = _condition(rule)
    size = f"coalesce(length({quoted(column)}), 0)"
    truth = _truth(rule, size, condition)
    if condition.negated or condition.operator == "in":
        return _one(sql_rule(truth, rule.place), row=truth)
    counts = _counts(rule, condition)
    spec = RuleSpec("length", (column,), counts, place=rule.place)
    # A null is a text without a character.
    nulls = [RuleSpec("not_null", (column,), place=rule.place)] if counts.get("min") else []
    return _one(spec, *nulls, row=truth)


def _freshness(rule: Rule, _: Tables) -> _Meant:
    (column,) = _parameters(rule, 1)
    condition = _condition(rule)
    ages = [value for value in _fixed(rule, condition) if isinstance(value, Quantity) and value.unit in ("days", "hours", "minutes")]
    if len(ages) != len(condition.operands) or condition.operator in ("in", "matches"):
        raise malformed(f"{rule.type} compares with what is no age", rule.place, expected="such as <= 24 hours")
    value = f"(now() - CAST({quoted(column)} AS TIMESTAMPTZ))"
    spans = [f"INTERVAL {age.count} {age.unit.upper()}" for age in ages]
    said = f"{value} {condition.operator} {spans[0]}"
    if condition.operator == "between":
        said = f"{value} > {spans[0]} AND {value} < {spans[1]}"
    truth = f"coalesce({f'NOT ({said})' if condition.negated else said}, FALSE)"
    return _one(sql_rule(truth, rule.place), row=truth)


def _custom_sql(rule: Rule, tables: Tables) -> _Meant:
    (statement,) = _parameters(rule, 1)
    if rule.condition is None or rule.tags:
        raise refused(f"{rule.type} that gives the good rows", rule.place, "`query` gives the bad ones: turn the condition round")
    sql = re.sub(r"\b(from|join)\s+primary\b", rf"\1 {tables.own}", statement.strip().rstrip(";"), flags=re.IGNORECASE)
    if re.search(r"\bprimary\b", sql, re.IGNORECASE):
        raise refused(f"{rule.type} that says `primary` beside FROM and JOIN", rule.place, f"an alias: FROM primary AS p, or {tables.own}")
    _fixed(rule, rule.condition)
    truth = _truth(rule, "measured.value", rule.condition)
    said = f"SELECT * FROM ({sql}) AS measured(value) WHERE NOT coalesce({truth}, FALSE)"
    return _one(RuleSpec("query", (), {"sql": said}, name=f"query:{' '.join(statement.split())}", place=rule.place))


_REFERENCE = re.compile(r"(?P<table>[^{}]+)\.(?:\{(?P<many>[^{}]+)\}|(?P<one>[^.{}]+))")


def _reference(rule: Rule, text: str, tables: Tables) -> tuple[str, tuple[str, ...]]:
    match = _REFERENCE.fullmatch(text.strip())
    if match is None:
        raise malformed(f"{rule.type} names no columns of another table", rule.place, seen=text, expected="table.{column, column}")
    return str(tables.find(match["table"], rule.place)), _split(match["many"] or match["one"])


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _referential(rule: Rule, tables: Tables) -> _Meant:
    own, other = _parameters(rule, 2)
    columns = _split(own)
    table, parents = _reference(rule, other, tables)
    if len(columns) != len(parents):
        raise malformed(f"{rule.type} pairs each column with one column", rule.place, seen=f"{own} and {other}", expected="equally many")
    arguments = {"references": table, "columns": list(parents)}
    return _one(RuleSpec("foreign_key", columns, arguments, at_least=_share(rule, _condition(rule)), place=rule.place))


def _exactly_all(rule: Rule) -> None:
    bounds = _numbers(rule, _condition(rule))
    if bounds != Bounds(1, 1):
        raise refused(f"{rule.type} of another ratio", rule.place, _EXACTLY_ALL)


def _row_count_match(rule: Rule, tables: Tables) -> _Meant:
    (other,) = _parameters(rule, 1)
    _exactly_all(rule)
    return _one(
        RuleSpec(
            "aggregate_match", (), {"function": "count", "table": str(tables.find(other, rule.place)), "tolerance": 0}, place=rule.place
        )
    )


def _schema_match(rule: Rule, tables: Tables) -> _Meant:
    (other,) = _parameters(rule, 1)
    _exactly_all(rule)
    return _one(RuleSpec("schema_match", (), {"table": str(tables.find(other, rule.place)), "extra": "refuse"}, place=rule.place))


def _dataset_match(rule: Rule, tables: Tables) -> _Meant:
    other, key, *match = _parameters(rule, 2, 3)
    keys = _mapped(key)
    arguments: dict[str, object] = {"table": str(tables.find(other, rule.place)), "key": list(keys.values())}
    if match:
        arguments["compare"] = _mapped(match[0])
    return _one(RuleSpec("matches_reference", tuple(keys), arguments, at_least=_share(rule, _condition(rule)), place=rule.place))


def _mapped(text: str) -> dict[str, str]:
    """Pair columns here with columns there: `a` or `a->b`."""
    pairs = (pair.partition("->") for pair in _split(text))
    return {own.strip(): (other or own).strip() for own, _, other in pairs}


_AGGREGATE = re.compile(r"\s*(?P<function>[A-Za-z]+)\s*\(\s*(?P<column>.*?)\s*\)\s*")
_FUNCTIONS = {"avg": "mean", "mean": "mean", "sum": "sum", "min": "min", "max": "max"}


def _aggregate_match(rule: Rule, tables: Tables) -> _Meant:
    first, second = (_AGGREGATE.fullmatch(text) for text in _parameters(rule, 2))
    if not first or not second or first["function"].lower() not in _FUNCTIONS:
        raise malformed(
            f"{rule.type} compares two sums or means", rule.place, seen=", ".join(rule.parameters), expected='"sum(a)" "sum(t.b)"'
        )
    if first["function"].lower() != second["function"].lower():
        raise refused(f"{rule.type} of two different functions", rule.place, "one function on both sides")
    _exactly_all(rule)
    table, (column,) = _reference(rule, second["column"].replace("{", "").replace("}", ""), tables)
    arguments = {"function": _FUNCTIONS[first["function"].lower()], "table": table, "other_column": column, "tolerance": 0}
    return _one(RuleSpec("aggregate_match", (first["column"],), arguments, place=rule.place))


_WITH_THRESHOLD = ("ColumnValues", "ColumnDataType", "CustomSql", "CustomSQL")
_TRANSLATORS: Mapping[str, Callable[[Rule, Tables], _Meant]] = {
    **dict.fromkeys(("IsComplete", "Completeness"), _complete),
    **dict.fromkeys(("IsUnique", "Uniqueness", "IsPrimaryKey"), _unique),
    **dict.fromkeys(_METRICS, _metric),
    **dict.fromkeys(("CustomSql", "CustomSQL"), _custom_sql),
    "RowCount": _row_count,
    "DistinctValuesCount": _distinct_count,
    "ZerosCount": _zeros,
    "ColumnExists": _column_exists,
    "ColumnDataType": _column_type,
    "ColumnValues": _values,
    "ColumnLength": _length,
    "DataFreshness": _freshness,
    "ReferentialIntegrity": _referential,
    "RowCountMatch": _row_count_match,
    "SchemaMatch": _schema_match,
    "DatasetMatch": _dataset_match,
    "AggregateMatch": _aggregate_match,
}
