from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from limnos.errors import LimnosError, ProjectInvalid
from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import TableName
from limnos.model.project import Project
from limnos.project.words import RULES
from limnos.quality.rules import KINDS

Load = Callable[..., Project]

TEXT = "version: 1\nsources: {s: {type: x}}\ntables:\n  s.t:\n    checks:\n"


def _rules(load: Load, *lines: str) -> tuple[RuleSpec, ...]:
    return load(TEXT + "".join(f"      {line}\n" for line in lines)).tables[TableName("s", "t")].rules


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- not_null: [a, b]", [("not_null", ("a",), {}), ("not_null", ("b",), {})]),
        ("- not_null: a", [("not_null", ("a",), {})]),
        ("- not_null: {columns: [a, b]}", [("not_null", ("a",), {}), ("not_null", ("b",), {})]),
        ("- unique: a", [("unique", ("a",), {})]),
        ("- unique: [a, b]", [("unique", ("a", "b"), {})]),
        ("- primary_key: [a, b]", [("primary_key", ("a", "b"), {})]),
        ("- foreign_key: {column: a, references: s.u.id}", [("foreign_key", ("a",), {"references": "s.u", "columns": ["id"]})]),
        ("- foreign_key: {columns: [a, b], references: s.u}", [("foreign_key", ("a", "b"), {"references": "s.u", "columns": ["a", "b"]})]),
        (
            "- foreign_key: {columns: [a, b], references: {table: s.u, columns: [x, y]}}",
            [("foreign_key", ("a", "b"), {"references": "s.u", "columns": ["x", "y"]})],
        ),
        ("- range: {column: a, min: 0, max: 2013-12-31}", [("range", ("a",), {"min": 0, "max": "2013-12-31"})]),
        ("- accepted_values: {column: a, values: [no, 1, true]}", [("accepted_values", ("a",), {"values": ["no", 1, True]})]),
        ("- range: {column: a, min: 0, exclusive: true}", [("range", ("a",), {"min": 0, "exclusive": True})]),
        ("- length: {column: a, max: 3}", [("length", ("a",), {"max": 3})]),
        ('- regex: {column: a, pattern: "[A-Z]+"}', [("regex", ("a",), {"pattern": "[A-Z]+"})]),
        ("- row_count: {min: 1}", [("row_count", (), {"min": 1})]),
        ("- freshness: {column: a, max: 6h}", [("freshness", ("a",), {"max": "6h"})]),
        ('- sql: "a <= b"', [("sql", (), {"expression": "a <= b"})]),
        ("- sql: {expression: a <= b, name: ordered}", [("sql", (), {"expression": "a <= b"})]),
        ("- not_null: {columns: [a, b], missing: ['', N/A]}", [("not_null", (name,), {"missing": ["", "N/A"]}) for name in ("a", "b")]),
        ("- rejected_values: {column: a, values: [x]}", [("rejected_values", ("a",), {"values": ["x"]})]),
        ('- compare: {columns: [a, b], operator: "<="}', [("compare", ("a", "b"), {"operator": "<="})]),
        ("- format: {column: a, as: phone, region: FR}", [("format", ("a",), {"as": "phone", "region": "FR"})]),
        ("- mean: {column: a, min: 1, max: 2.5}", [("mean", ("a",), {"min": 1, "max": 2.5})]),
        ("- quantile: {column: a, q: 0.95, max: 9}", [("quantile", ("a",), {"q": 0.95, "max": 9})]),
        ("- correlation: {columns: [a, b], min: 0.9}", [("correlation", ("a", "b"), {"min": 0.9})]),
        (
            "- monotonic: {column: a, order_by: [b, c], direction: down, strict: true, per: d}",
            [("monotonic", ("a",), {"order_by": ["b", "c"], "direction": "down", "strict": True, "per": "d"})],
        ),
        ("- sequence: {column: a, step: 2, per: [b]}", [("sequence", ("a",), {"step": 2, "per": ["b"]})]),
        ("- referenced_by: {column: a, by: s.u.id}", [("referenced_by", ("a",), {"table": "s.u", "columns": ["id"]})]),
        ("- referenced_by: {columns: [a, b], by: s.u}", [("referenced_by", ("a", "b"), {"table": "s.u", "columns": ["a", "b"]})]),
        (
            "- matches_reference: {column: a, table: s.u, key: id, compare: {b: c}, tolerance: 1%}",
            [("matches_reference", ("a",), {"table": "s.u", "key": "id", "compare": {"b": "c"}, "tolerance": "1%"})],
        ),
        (
            "- aggregate_match: {function: sum, column: a, table: s.u, other_column: b, other_where: c > 0, tolerance: 0.5}",
            [
                (
                    "aggregate_match",
                    ("a",),
                    {"function": "sum", "table": "s.u", "other_column": "b", "other_where": "c > 0", "tolerance": 0.5},
                )
            ],
        ),
        ("- aggregate_match: {function: count, table: s.u}", [("aggregate_match", (), {"function": "count", "table": "s.u"})]),
        ("- row_change: {min: -10%, max: 50%}", [("row_change", (), {"min": "-10%", "max": "50%"})]),
        ("- row_change: {min: -5}", [("row_change", (), {"min": -5})]),
        ("- schema_match: {columns: {a: int}, order: true}", [("schema_match", (), {"columns": {"a": "int"}, "order": True})]),
        ("- schema_match: {table: s.u, extra: refuse}", [("schema_match", (), {"table": "s.u", "extra": "refuse"})]),
        ("- query: SELECT * FROM s.t", [("query", (), {"sql": "SELECT * FROM s.t"})]),
        (
            "- any_of: [not_null: a, {range: {column: b, min: 0}, where: c > 0}]",
            [
                (
                    "any_of",
                    (),
                    {
                        "rules": [
                            {"kind": "not_null", "columns": ["a"]},
                            {"kind": "range", "columns": ["b"], "arguments": {"min": 0}, "where": "c > 0"},
                        ]
                    },
                )
            ],
        ),
    ],
)
def test_each_form_of_a_check_is_read(load: Load, line: str, expected: list[tuple[str, tuple[str, ...], dict[str, object]]]) -> None:
    assert [(rule.kind, rule.columns, dict(rule.arguments)) for rule in _rules(load, line)] == expected


@pytest.mark.parametrize(
    "lines",
    [
        ("- not_null: {column: a, severity: warn, where: b > 0, at_least: 98%, name: mostly}",),
        ("- not_null: a", "  severity: warn", "  where: b > 0", "  at_least: 0.98", "  name: mostly"),
        ("- not_null: {column: a, severity: warn}", "  where: b > 0", "  at_least: '98 %'", "  name: mostly"),
    ],
)
def test_severity_where_share_and_name_stand_inside_or_beside(load: Load, lines: tuple[str, ...]) -> None:
    (rule,) = _rules(load, *lines)
    assert (rule.severity, rule.where, rule.at_least, rule.name) == (Severity.WARN, "b > 0", 0.98, "mostly")


def test_a_rule_has_a_name_of_its_own(load: Load) -> None:
    assert [rule.name for rule in _rules(load, "- sql: a <=   b", "- unique: [a, b]", "- row_count: {min: 1}")] == [
        "sql:a <= b",
        "unique:a,b",
        "row_count",
    ]
    lines = (
        "- query: SELECT  1",
        "- quantile: {column: a, q: 0.5, min: 1}",
        "- quantile: {column: a, q: 0.9, min: 1}",
        "- aggregate_match: {function: count, table: s.u}",
        "- any_of: [not_null: a, not_null: b]",
        "- mean: {column: a, min: 1}",
    )
    assert [rule.name for rule in _rules(load, *lines)] == [
        "query:SELECT 1",
        "quantile:a:0.5",
        "quantile:a:0.9",
        "aggregate_match:count:s.u",
        "any_of:not_null(a) or not_null(b)",
        "mean:a",
    ]


@pytest.mark.parametrize(
    ("lines", "line", "what", "expected"),
    [
        (("- not_nul: a",), 6, "Unknown key 'not_nul' in tables.s.t.checks", "not_null (did you mean this?)"),
        (("- not_null: a", "  unique: b"), 6, "exactly one of these", "not_null"),
        (("- severity: warn",), 6, "exactly one of these", "not_null"),
        (("- not_null",), 6, "checks has the wrong form", "not_null: [a, b]"),
        (("- not_null: []",), 6, "is empty", "at least one"),
        (("- not_null: 5",), 6, "not_null has the wrong form", "a text"),
        (("- not_null: {severity: warn}",), 6, "exactly one of these", "column, columns"),
        (("- not_null: {column: a, columns: [b]}",), 6, "exactly one of these", "column, columns"),
        (("- not_null: {columns: [a, b], name: x}",), 6, "One name cannot be that of several rules", "one rule for each name"),
        (("- unique: [a, a]",), 6, "names a column twice", "each column once"),
        (("- range: a",), 6, "range has the wrong form", "a mapping of arguments"),
        (("- range: {min: 0}",), 6, "has no 'column'", "column: a text"),
        (("- range: {column: a}",), 6, "has no bound", "min, max or both"),
        (("- range: {column: a, minimum: 0}",), 6, "Unknown key 'minimum'", "min (did you mean this?)"),
        (("- range: {column: a, min: }",), 6, "min has the wrong form", "a text, number or truth value"),
        (("- row_count: {column: a, min: 1}",), 6, "Unknown key 'column'", ""),
        (("- row_count: {min: -1}",), 6, "min has the wrong form", "a number"),
        (("- length: {column: a, max: 1.5}",), 6, "max has the wrong form", "a number"),
        (("- regex: {column: a}",), 6, "has no 'pattern'", "pattern"),
        (("- foreign_key: {column: a}",), 6, "has no 'references'", "shop.customers.customer_id"),
        (("- foreign_key: {column: a, references: u}",), 6, "references has the wrong form", "shop.customers.customer_id"),
        (("- foreign_key: {columns: [a, b], references: s.u.id}",), 6, "pairs each column with one column", "equally many"),
        (("- mean: {column: a}",), 6, "has no bound", "min, max or both"),
        (("- mean: {column: a, mni: 1}",), 6, "Unknown key 'mni'", "min (did you mean this?)"),
        (("- format: {column: a, as: emial}",), 6, "as has the wrong form", "email (did you mean this?)"),
        (("- compare: {columns: [a, b], operator: like}",), 6, "operator has the wrong form", "<="),
        (("- compare: {column: a, operator: <}",), 6, "Unknown key 'column'", "columns (did you mean this?)"),
        (("- row_change: {min: 10.5}",), 6, "min has the wrong form", "a number of rows"),
        (("- any_of: [unique: a]",), 6, "Unknown key 'unique'", ""),
        (("- any_of: [{not_null: a, severity: warn}]",), 6, "Unknown key 'severity'", ""),
        (("- referenced_by: {columns: [a, b], by: s.u.id}",), 6, "pairs each column with one column", "equally many"),
        (("- aggregate_match: {function: sum, column: a, table: u}",), 6, "table has the wrong form", "shop.orders"),
        (("- aggregate_match: {function: count, table: x.u}",), 6, "No source fills the table x.u", ""),
        (("- not_null: {column: a, severity: warning}",), 6, "severity has the wrong form", "warn (did you mean this?)"),
        (("- not_null: {column: a, at_least: 98}",), 6, "at_least has the wrong form", "0.98"),
        (("- not_null: {column: a, at_least: 101%}",), 6, "at_least has the wrong form", "98%"),
        (("- not_null: {column: a, severity: warn}", "  severity: block"), 7, "'severity' is given twice", "once"),
        (("- range: {column: a, min: 1}", "- range: {column: a, max: 2}"), 7, "Two rules are called 'range:a'", "a `name` for one of them"),
    ],
)
def test_a_check_that_makes_no_sense_is_said(load: Load, lines: tuple[str, ...], line: int, what: str, expected: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        _rules(load, *lines)
    assert what in caught.value.what
    assert caught.value.subject == f"limnos.yml:{line}"
    assert expected in caught.value.expected


def _column(load: Load, checks: str) -> tuple[RuleSpec, ...]:
    text = (
        f"version: 1\nsources: {{s: {{type: x}}}}\ntables: {{s.t: {{columns: [{{name: a, type: int, required: true, checks: {checks}}}]}}}}"
    )
    return load(text).tables[TableName("s", "t")].rules


def test_a_check_under_a_column_is_about_that_column(load: Load) -> None:
    rules = _column(load, "[unique, {range: {min: 0, severity: warn}}, {foreign_key: {references: s.u.id}}]")
    assert [(rule.name, rule.severity) for rule in rules] == [
        ("not_null:a", None),
        ("unique:a", None),
        ("range:a", Severity.WARN),
        ("foreign_key:a", None),
    ]


@pytest.mark.parametrize(
    ("checks", "what", "expected"),
    [
        ("[uniqe]", "wrong form", "unique (did you mean this?)"),
        ("[{range: {column: b, min: 0}}]", "Unknown key 'column'", ""),
        ("[{row_count: {min: 1}}]", "Unknown key 'row_count'", ""),
        ("[{unique: b}]", "wrong form", "a mapping of arguments"),
    ],
)
def test_a_check_under_a_column_is_about_nothing_else(load: Load, checks: str, what: str, expected: str) -> None:
    with pytest.raises(ProjectInvalid, match=what) as caught:
        _column(load, checks)
    assert expected in caught.value.expected


def test_a_rule_may_say_again_what_is_implied_and_add_a_severity(load: Load) -> None:
    assert [(rule.name, rule.severity) for rule in _column(load, "[not_null]")] == [("not_null:a", None)]
    assert [(rule.name, rule.severity) for rule in _column(load, "[{not_null: {severity: warn}}]")] == [("not_null:a", Severity.WARN)]
    with pytest.raises(ProjectInvalid, match="Two rules are called 'not_null:a'"):
        _rules(load, "- not_null: {column: a, severity: warn}", "- not_null: {column: a, severity: block}")


def test_a_key_becomes_a_rule(load: Load) -> None:
    config = load("version: 1\nsources: {s: {type: x}}\ntables: {s.t: {key: [a, b]}}").tables[TableName("s", "t")]
    assert config.key == ("a", "b")
    assert [rule.name for rule in config.rules] == ["primary_key:a,b"]


def test_the_words_name_exactly_the_rules_that_there_are() -> None:
    assert set(RULES) == set(KINDS)


def test_a_line_of_dqdl_is_a_check(load: Load) -> None:
    rules = _rules(
        load,
        '- dqdl: IsComplete "a"',
        '- dqdl: \'Completeness "b" > 0.95 where "y > 1"\'',
        "  severity: warn",
        "  name: mostly",
        '- dqdl: ReferentialIntegrity "c" "t.id" = 1.0',
    )
    assert [(rule.kind, rule.name, rule.where, rule.severity) for rule in rules] == [
        ("not_null", "not_null:a", "", None),
        ("not_null", "mostly", "y > 1", Severity.WARN),
        ("foreign_key", "foreign_key:c", "", None),
    ]
    assert rules[1].at_least > 0.95
    assert rules[2].arguments == {"references": "s.t", "columns": ["id"]}


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (['- dqdl: IsComplet "a"'], "No DQDL rule is called IsComplet"),
        (["- dqdl: FileSize > 2 MB"], "FileSize cannot be translated"),
        (['- dqdl: IsComplete "a"', "  where: b > 1"], "'where' stands beside DQDL"),
        (['- dqdl: (IsComplete "a") and (IsUnique "a")', "  name: both"], "One name cannot be that of several rules"),
        (['- IsComplete "a"'], "tables.s.t.checks has the wrong form"),
        (['- dqdl: IsComplete "a"', "  not_null: a"], "needs exactly one of these"),
    ],
)
def test_a_line_that_is_no_dqdl_is_an_error_with_its_place(load: Load, lines: list[str], what: str) -> None:
    with pytest.raises(LimnosError, match=re.escape(what)) as caught:
        _rules(load, *lines)
    assert caught.value.subject.startswith("limnos.yml:")
