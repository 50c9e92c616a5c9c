"""Soda: contracts of version 4, checks of version 3."""

from __future__ import annotations

import math

import pytest

from limnos.errors import ProjectInvalid
from limnos.model.contract import Severity


def column(check: str, beside: str = "") -> str:
    return f"dataset: pg/db/shop/orders\ncolumns:\n  - name: a\n{beside}    checks:\n      - {check}\n"


def whole(check: str) -> str:
    return f"dataset: pg/db/shop/orders\ncolumns: [{{name: a}}, {{name: b}}]\nchecks:\n  - {check}\n"


ABOVE_95 = math.nextafter(0.95, 1)
PERCENT = "threshold: {metric: percent, must_be_less_than: 5}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (column("missing:"), ("not_null", ("a",), {})),
        (column("missing: {threshold: {must_be: 0, level: warn}}"), ("not_null", ("a",), {}, {"severity": Severity.WARN})),
        (column(f"missing: {{{PERCENT}}}"), ("not_null", ("a",), {}, {"at_least": ABOVE_95})),
        (column("missing: {missing_values: [N/A, '']}"), ("not_null", ("a",), {"missing": ["N/A", ""]})),
        (column("missing:", "    missing_values: [N/A]\n"), ("not_null", ("a",), {"missing": ["N/A"]})),
        (column("duplicate: {filter: b > 1}"), ("unique", ("a",), {}, {"where": "b > 1"})),
        (column("invalid: {valid_values: [x, y]}"), ("accepted_values", ("a",), {"values": ["x", "y"]})),
        (column("invalid: {valid_values: [x], missing_values: ['-']}"), ("accepted_values", ("a",), {"values": ["x", "-"]})),
        (column("invalid: {invalid_values: [x]}"), ("rejected_values", ("a",), {"values": ["x"]})),
        (column("invalid: {valid_min: 0, valid_max: 9}"), ("range", ("a",), {"min": 0, "max": 9})),
        (column("invalid: {valid_length: 3}"), ("length", ("a",), {"min": 3, "max": 3})),
        (column("invalid: {valid_format: {regex: '^x+$', name: xs}}"), ("regex", ("a",), {"pattern": "x+"})),
        (
            column("invalid: {valid_reference_data: {dataset: pg/db/shop/customers, column: id}}"),
            ("foreign_key", ("a",), {"references": "shop.customers", "columns": ["id"]}),
        ),
        (
            column("aggregate: {function: avg, threshold: {must_be_between: {greater_than: 1, less_than: 3}}}"),
            ("mean", ("a",), {"min": 1, "max": 3, "exclusive": True}),
        ),
        (column("aggregate: {function: max_length, threshold: {must_be_less_than: 4}}"), ("length", ("a",), {"max": 3})),
        (column("failed_rows: {expression: a > 1}"), ("sql", (), {"expression": "NOT (a > 1)"})),
        (whole("row_count:"), ("row_count", (), {"min": 1})),
        (
            whole("row_count: {threshold: {must_be_between: {greater_than_or_equal: 1, less_than: 9}}}"),
            ("row_count", (), {"min": 1, "max": 8}),
        ),
        (whole("schema: {allow_extra_columns: true}"), ("schema_match", (), {"columns": ["a", "b"], "extra": "allow", "order": True})),
        (whole("schema: {allow_other_column_order: true}"), ("schema_match", (), {"columns": ["a", "b"], "extra": "refuse"})),
        (whole("duplicate: {columns: [a, b]}"), ("unique", ("a", "b"), {})),
        (whole("freshness: {column: ts, threshold: {unit: day, must_be_less_than: 2}}"), ("freshness", ("ts",), {"max": "2d"})),
        (whole("failed_rows: {query: SELECT * FROM x}"), ("query", (), {"sql": "SELECT * FROM x"})),
        (
            whole("metric: {expression: AVG(a), threshold: {must_be_greater_than: 1}}"),
            (
                "query",
                (),
                {"sql": "SELECT * FROM (SELECT AVG(a) FROM shop.orders) AS measured(value) WHERE NOT coalesce(measured.value > 1, FALSE)"},
            ),
        ),
    ],
)
def test_each_check_of_a_contract_becomes_a_rule(rules_of, text: str, expected: tuple[object, ...]) -> None:
    assert rules_of("soda", text) == [expected]


def test_several_validity_keys_are_several_rules_and_the_filter_of_the_dataset_holds_for_all(rules_of) -> None:
    text = "filter: day > 1\n" + column("invalid: {valid_min: 1, valid_max_length: 3, filter: b = 2}")
    where = {"where": "(day > 1) AND (b = 2)"}
    assert rules_of("soda", text) == [("range", ("a",), {"min": 1}, where), ("length", ("a",), {"max": 3}, where)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (column("missin:"), "Unknown check 'missin'"),
        (column("missing: {treshold: {must_be: 0}}"), "Unknown key 'treshold' in missing"),
        (column("missing: {threshold: {must_bee: 0}}"), "Unknown key 'must_bee' in threshold of missing"),
        (column("missing: {threshold: {must_be_less_than: 10}}"), "threshold of missing cannot be translated"),
        (column("missing: {threshold: {must_not_be: 0}}"), "must_not_be of a threshold cannot be translated"),
        (column("invalid:"), "The check invalid says nothing of what is valid"),
        (column(f"invalid: {{valid_min: 1, valid_max_length: 3, {PERCENT}}}"), "invalid cannot be translated"),
        (column(f"duplicate: {{{PERCENT}}}"), "duplicate cannot be translated"),
        (column("aggregate: {function: median, threshold: {must_be: 0}}"), "aggregate cannot be translated"),
        (column("missing: {filter: 'day > ${var.start}'}"), "The variable in 'day > ${var.start}' of missing cannot be translated"),
        (whole("group_by: {columns: [a]}"), "group_by cannot be translated"),
        (whole("metric: {expression: a, threshold: {must_be: 0}, filter: b > 1}"), "`filter` of metric cannot be translated"),
        (whole("{row_count: null, schema: null}"), "A check has one key"),
        (column("missing:", "    valid_valus: [x]\n"), None),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name(read, text: str, what: str | None) -> None:
    (one,) = read("soda", text)
    assert [error.what for error in one.refused] == [what or "Unknown key 'valid_valus' in the column a"]


def test_checks_of_version_3_are_read_line_by_line(read) -> None:
    text = """
checks for orders:
  - row_count between 1 and 10
  - missing_count(a) = 0:
      missing values: [N/A]
      name: There is an a
  - missing_percent(a) < 5 %
  - invalid_count(a) = 0:
      valid regex: ^x+$
  - duplicate_count(a, b) = 0
  - avg(a) > 3
  - freshness(ts) < 6h
  - anomaly score for row_count < default
  - missing_count(a) < 5
  - max(a) <= 9:
      filtre: b > 1
"""
    (one,) = read("soda", text)
    assert [(rule.kind, rule.columns, dict(rule.arguments), rule.at_least) for rule in one.rules] == [
        ("row_count", (), {"min": 1, "max": 10}, 1.0),
        ("not_null", ("a",), {"missing": ["N/A"]}, 1.0),
        ("not_null", ("a",), {}, ABOVE_95),
        ("regex", ("a",), {"pattern": "x+"}, 1.0),
        ("unique", ("a", "b"), {}, 1.0),
        ("mean", ("a",), {"min": 3, "exclusive": True}, 1.0),
        ("freshness", ("ts",), {"max": "6h"}, 1.0),
    ]
    assert one.rules[1].name == "There is an a"
    assert [error.subject for error in one.refused] == ["file:13", "file:14", "file:16"]


@pytest.mark.parametrize(
    "text", ["[]", "a: b", "checks for orders: {}", "dataset: x\ncolums: []", "dataset: x\ncolumns: [a]", "filter orders [x]: {}"]
)
def test_what_is_not_soda_is_one_error(read, text: str) -> None:
    with pytest.raises(ProjectInvalid):
        read("soda", text)
