"""dbt: each test as the documentation of dbt and its packages writes it."""

from __future__ import annotations

import pytest

from limnos.errors import ProjectInvalid
from limnos.model.contract import Severity


def column(test: str) -> str:
    return f"version: 2\nmodels:\n  - name: orders\n    columns:\n      - name: a\n        data_tests:\n          - {test}\n"


def model(test: str) -> str:
    return f"version: 2\nmodels:\n  - name: orders\n    tests:\n      - {test}\n"


WARN = {"severity": Severity.WARN}
CUSTOMERS = {"references": "shop.customers", "columns": ["id"]}
EXPECT = "dbt_expectations.expect_"


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("not_null", ("not_null", ("a",), {})),
        ("unique: {config: {severity: warn}}", ("unique", ("a",), {}, WARN)),
        ('unique: {config: {where: "b > 1", severity: ERROR, error_if: ">0"}}', ("unique", ("a",), {}, {"where": "b > 1"})),
        ("accepted_values: {values: [placed, shipped]}", ("accepted_values", ("a",), {"values": ["placed", "shipped"]})),
        ("accepted_values: {arguments: {values: [1, 2], quote: false}}", ("accepted_values", ("a",), {"values": [1, 2]})),
        ("relationships: {to: ref('customers'), field: id}", ("foreign_key", ("a",), CUSTOMERS)),
        ("relationships: {to: \"source('shop', 'customers')\", field: id}", ("foreign_key", ("a",), CUSTOMERS)),
        ("{name: mine, test_name: not_null}", ("not_null", ("a",), {})),
        ("dbt_utils.accepted_range: {min_value: 0, inclusive: false}", ("range", ("a",), {"min": 0, "exclusive": True})),
        ('dbt_utils.accepted_range: {max_value: "getdate()"}', ("sql", (), {"expression": '"a" <= (getdate())'})),
        ("dbt_utils.at_least_one", ("distinct_count", ("a",), {"min": 1})),
        ("dbt_utils.not_accepted_values: {values: [x]}", ("rejected_values", ("a",), {"values": ["x"]})),
        ("dbt_utils.not_empty_string", ("sql", (), {"expression": "trim(\"a\") <> ''"})),
        ("dbt_utils.not_empty_string: {trim_whitespace: false}", ("length", ("a",), {"min": 1})),
        ("dbt_utils.not_null_proportion: {at_least: 0.95}", ("not_null", ("a",), {}, {"at_least": 0.95})),
        ('dbt_utils.expression_is_true: {expression: ">= 1"}', ("sql", (), {"expression": '"a" >= 1'})),
        (
            "dbt_utils.relationships_where: {to: ref('customers'), field: id, from_condition: b > 1}",
            ("foreign_key", ("a",), CUSTOMERS, {"where": "b > 1"}),
        ),
        (f"{EXPECT}column_values_to_not_be_null", ("not_null", ("a",), {})),
        (
            EXPECT + 'column_values_to_be_between: {min_value: 0, max_value: 10, strictly: true, row_condition: "id is not null"}',
            ("range", ("a",), {"min": 0, "max": 10, "exclusive": True}, {"where": "id is not null"}),
        ),
        (EXPECT + 'column_values_to_match_regex: {regex: "^[A-Z]+$"}', ("regex", ("a",), {"pattern": "[A-Z]+"})),
        (EXPECT + "column_value_lengths_to_equal: {value: 10}", ("length", ("a",), {"min": 10, "max": 10})),
        (EXPECT + "column_quantile_to_be_between: {quantile: 0.95, max_value: 2}", ("quantile", ("a",), {"q": 0.95, "max": 2})),
        (EXPECT + "column_to_exist", ("schema_match", (), {"columns": ["a"], "extra": "allow"})),
        (
            EXPECT + "column_values_to_be_increasing: {sort_column: day, group_by: [b]}",
            ("monotonic", ("a",), {"order_by": "day", "direction": "up", "strict": False, "per": ["b"]}),
        ),
    ],
)
def test_each_test_of_a_column_becomes_a_rule(rules_of, test: str, expected: tuple[object, ...]) -> None:
    assert rules_of("dbt", column(test)) == [expected]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("unique: {column_name: a}", ("unique", ("a",), {})),
        ("dbt_utils.unique_combination_of_columns: {combination_of_columns: [a, b]}", ("unique", ("a", "b"), {})),
        ('dbt_utils.expression_is_true: {expression: "a + b = c"}', ("sql", (), {"expression": "a + b = c"})),
        ("dbt_utils.recency: {datepart: day, field: ts, interval: 1}", ("freshness", ("ts",), {"max": "1d"})),
        (
            "dbt_utils.equal_rowcount: {compare_model: ref('customers')}",
            ("aggregate_match", (), {"function": "count", "table": "shop.customers", "tolerance": 0}),
        ),
        (EXPECT + "table_row_count_to_be_between: {min_value: 1, max_value: 4}", ("row_count", (), {"min": 1, "max": 4})),
        (
            EXPECT + "table_row_count_to_equal_other_table: {compare_model: ref('customers')}",
            ("aggregate_match", (), {"function": "count", "table": "shop.customers", "tolerance": 0}),
        ),
        (
            EXPECT + "column_pair_values_A_to_be_greater_than_B: {column_A: a, column_B: b, or_equal: true}",
            ("compare", ("a", "b"), {"operator": ">="}),
        ),
        (EXPECT + "compound_columns_to_be_unique: {column_list: [a, b]}", ("unique", ("a", "b"), {})),
    ],
)
def test_each_test_of_a_model_becomes_a_rule(rules_of, test: str, expected: tuple[object, ...]) -> None:
    assert rules_of("dbt", model(test)) == [expected]


@pytest.mark.parametrize(
    ("test", "what"),
    [
        ("not_nul", "The test not_nul cannot be translated"),
        ("my_own_test", "The test my_own_test cannot be translated"),
        ("elementary.volume_anomalies", "elementary.volume_anomalies cannot be translated"),
        ("dbt_utils.not_constant", "dbt_utils.not_constant cannot be translated"),
        ('unique: {config: {error_if: ">10"}}', "warn_if and error_if of unique cannot be translated"),
        ("unique: {config: {fail_calc: sum(n)}}", "fail_calc of unique cannot be translated"),
        ("relationships: {to: var('x'), field: id}", "\"var('x')\" of relationships cannot be translated"),
        ("relationships: {to: \"{{ ref('customers') }}\", field: id}", None),
        ("relationships: {to: ref('nobody'), field: id}", "'nobody' is not one table of the lake"),
        ("not_null: {wher: b > 1}", "Unknown key 'wher' in not_null"),
        ("not_null: {config: {severty: warn}}", "Unknown key 'severty' in config of not_null"),
        ("not_null: {severity: fatal}", "not_null has no such severity"),
        ("{not_null: null, unique: null}", "The test not_null stands beside 'unique'"),
        ("accepted_values", "'values' of accepted_values has the wrong form"),
        (EXPECT + "column_values_to_be_betwen: {min_value: 1}", "No expectation is called expect_column_values_to_be_betwen"),
        (EXPECT + "column_values_to_be_between", "expect_column_values_to_be_between has no bound"),
        (EXPECT + "column_values_to_be_between: {min_value: 1, min: 2}", "Unknown key 'min' in expect_column_values_to_be_between"),
        (EXPECT + "column_values_to_be_increasing", "expect_column_values_to_be_increasing cannot be translated"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name_and_line(refused_of, test: str, what: str | None) -> None:
    ((subject, said),) = refused_of("dbt", column(test))
    assert subject == "file:7"
    assert said == what if what else "ref('customers')" in said


def test_sources_snapshots_constraints_and_freshness_are_read(read) -> None:
    text = """
    sources:
      - name: shop
        loaded_at_field: ts
        freshness: {warn_after: {count: 6, period: hour}}
        tables:
          - name: orders
            freshness: {warn_after: {count: 12, period: hour}, error_after: {count: 1, period: day}}
            columns: [{name: id, tests: [unique]}]
    snapshots:
      - name: customers
        constraints:
          - {type: primary_key, columns: [id]}
          - {type: foreign_key, columns: [c], to: ref('countries'), to_columns: [code]}
        columns:
          - name: id
            data_type: int
            constraints: [{type: not_null}, {type: check, expression: "id > 0"}]
    """
    snapshot, source = sorted(read("dbt", text), key=lambda one: one.table)
    assert (snapshot.table, source.table) == ("customers", "shop.orders")
    assert [rule.name for rule in source.rules] == ["unique:id", "freshness:ts", "freshness:ts:warn"]
    assert [(rule.arguments["max"], rule.severity) for rule in source.rules[1:]] == [("1d", Severity.BLOCK), ("12h", Severity.WARN)]
    assert [rule.name for rule in snapshot.rules] == ["primary_key:id", "foreign_key:c", "not_null:id", "sql:id > 0"]
    assert snapshot.refused == source.refused == ()


def test_a_disabled_test_is_none_and_a_named_one_keeps_its_name(read) -> None:
    assert read("dbt", column("not_null: {config: {enabled: false}}")) == ()
    ((named,),) = [one.rules for one in read("dbt", column("not_null: {name: must_be_there}"))]
    assert named.name == "must_be_there"


@pytest.mark.parametrize("text", ["[]", "modles: []", "models: {a: b}", "models: [{columns: []}]", "models: [a]", "models:\n\t- a"])
def test_what_is_no_schema_file_is_one_error(read, text: str) -> None:
    with pytest.raises(ProjectInvalid):
        read("dbt", text)


def test_a_key_that_dbt_does_not_know_is_refused(refused_of) -> None:
    assert refused_of("dbt", "models: [{name: orders, colums: []}]") == [("file:1", "Unknown key 'colums' in the model orders")]
    assert refused_of("dbt", "models: [{name: orders, columns: [{name: a, test: []}]}]")[0][1] == "Unknown key 'test' in the column a"


def test_sequential_values_have_no_gap_and_come_once(rules_of) -> None:
    found = rules_of("dbt", column("dbt_utils.sequential_values: {interval: 2, group_by_columns: [b]}"))
    assert found == [("sequence", ("a",), {"step": 2, "per": ["b"]}), ("unique", ("b", "a"), {})]
