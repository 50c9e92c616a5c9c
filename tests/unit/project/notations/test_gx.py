"""Great Expectations: suites of both generations."""

from __future__ import annotations

import json

import pytest

from limnos.errors import ProjectInvalid
from limnos.model.contract import Severity


def suite(*expectations: object) -> str:
    return json.dumps({"name": "orders", "expectations": list(expectations), "meta": {"great_expectations_version": "1.24.1"}}, indent="\t")


def expectation(name: str, /, **kwargs: object) -> dict[str, object]:
    return {"type": f"expect_{name}", "kwargs": kwargs, "meta": {}, "id": "1"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (expectation("column_values_to_not_be_null", column="a", mostly=0.9), ("not_null", ("a",), {}, {"at_least": 0.9})),
        (expectation("column_values_to_be_null", column="a"), ("sql", (), {"expression": '"a" IS NULL'})),
        (expectation("column_values_to_be_unique", column="a"), ("unique", ("a",), {})),
        (expectation("column_values_to_be_in_set", column="a", value_set=[1, 2]), ("accepted_values", ("a",), {"values": [1, 2]})),
        (expectation("column_values_to_not_be_in_set", column="a", value_set=["x"]), ("rejected_values", ("a",), {"values": ["x"]})),
        (expectation("column_values_to_be_between", column="a", min_value=1, max_value=5), ("range", ("a",), {"min": 1, "max": 5})),
        (
            expectation("column_values_to_be_between", column="a", min_value="2024-01-01", strict_min=True),
            ("range", ("a",), {"min": "2024-01-01", "exclusive": True}),
        ),
        (
            expectation("column_values_to_be_between", column="a", min_value=1, max_value=5, strict_max=True),
            ("sql", (), {"expression": '"a" >= 1 AND "a" < 5'}),
        ),
        (expectation("column_values_to_match_regex", column="a", regex="b+"), ("regex", ("a",), {"pattern": "(?s:.*)(?:b+)(?s:.*)"})),
        (
            expectation("column_values_to_not_match_regex", column="a", regex="b'"),
            ("sql", (), {"expression": "NOT regexp_matches(\"a\", 'b''')"}),
        ),
        (
            expectation("column_values_to_match_regex_list", column="a", regex_list=["b", "c"], match_on="all"),
            ("sql", (), {"expression": "regexp_matches(\"a\", 'b') AND regexp_matches(\"a\", 'c')"}),
        ),
        (expectation("column_values_to_match_like_pattern", column="a", like_pattern="x%"), ("regex", ("a",), {"pattern": "x(?s:.*)"})),
        (expectation("column_value_lengths_to_be_between", column="a", min_value=1, max_value=3), ("length", ("a",), {"min": 1, "max": 3})),
        (expectation("column_value_lengths_to_equal", column="a", value=3), ("length", ("a",), {"min": 3, "max": 3})),
        (
            expectation("column_mean_to_be_between", column="a", min_value=1, strict_min=True),
            ("mean", ("a",), {"min": 1, "exclusive": True}),
        ),
        (
            expectation("column_median_to_be_between", column="a", min_value=1, max_value=2),
            ("quantile", ("a",), {"q": 0.5, "min": 1, "max": 2}),
        ),
        (expectation("column_stdev_to_be_between", column="a", max_value=2), ("stddev", ("a",), {"max": 2})),
        (expectation("column_min_to_be_between", column="a", min_value=0), ("minimum", ("a",), {"min": 0})),
        (expectation("column_unique_value_count_to_be_between", column="a", min_value=2), ("distinct_count", ("a",), {"min": 2})),
        (
            expectation("column_proportion_of_unique_values_to_be_between", column="a", min_value=0.5),
            ("unique_ratio", ("a",), {"min": 0.5}),
        ),
        (
            expectation("column_pair_values_a_to_be_greater_than_b", column_A="a", column_B="b", or_equal=True),
            ("compare", ("a", "b"), {"operator": ">="}),
        ),
        (expectation("compound_columns_to_be_unique", column_list=["a", "b"]), ("unique", ("a", "b"), {})),
        (expectation("table_row_count_to_equal", value=4), ("row_count", (), {"min": 4, "max": 4})),
        (
            expectation("table_row_count_to_equal_other_table", other_table_name="customers"),
            ("aggregate_match", (), {"function": "count", "table": "shop.customers", "tolerance": 0}),
        ),
        (
            expectation("table_columns_to_match_ordered_list", column_list=["a", "b"]),
            ("schema_match", (), {"columns": ["a", "b"], "extra": "refuse", "order": True}),
        ),
        (
            expectation("table_columns_to_match_set", column_set=["a"], exact_match=False),
            ("schema_match", (), {"columns": ["a"], "extra": "allow"}),
        ),
        (
            expectation("column_values_to_be_of_type", column="a", type_="BIGINT"),
            ("schema_match", (), {"columns": {"a": "long"}, "extra": "allow"}),
        ),
        (expectation("column_values_to_be_valid_email", column="a"), ("format", ("a",), {"as": "email"})),
        (
            expectation(
                "column_values_to_not_be_null",
                column="a",
                row_condition='col("b").notNull() & col("c") > 5',
                condition_parser="great_expectations",
            ),
            ("not_null", ("a",), {}, {"where": '"b" IS NOT NULL AND "c" > 5'}),
        ),
        (
            expectation("column_values_to_not_be_null", column="a", row_condition="b LIKE 'x%'", condition_parser="spark"),
            ("not_null", ("a",), {}, {"where": "b LIKE 'x%'"}),
        ),
        (
            expectation(
                "column_values_to_not_be_null",
                column="a",
                row_condition={
                    "type": "or",
                    "conditions": [
                        {"type": "comparison", "column": {"name": "b"}, "operator": "==", "parameter": "it's"},
                        {"type": "nullity", "column": {"name": "c"}, "is_null": True},
                    ],
                },
            ),
            ("not_null", ("a",), {}, {"where": "(\"b\" = 'it''s') OR (\"c\" IS NULL)"}),
        ),
    ],
)
def test_each_expectation_becomes_a_rule(rules_of, entry: object, expected: tuple[object, ...]) -> None:
    assert rules_of("gx", suite(entry)) == [expected]


def test_an_old_suite_and_its_severities_are_read(rules_of) -> None:
    text = json.dumps(
        {
            "expectation_suite_name": "s",
            "data_asset_type": None,
            "ge_cloud_id": None,
            "expectations": [
                {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "😀/é"}},
                {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "a"}, "severity": "warning"},
            ],
        }
    )
    assert rules_of("gx", text) == [("not_null", ("😀/é",), {}), ("unique", ("a",), {}, {"severity": Severity.WARN})]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (expectation("column_valus_to_be_unique", column="a"), "No expectation is called expect_column_valus_to_be_unique"),
        (expectation("column_values_to_be_unique", colum="a"), "expect_column_values_to_be_unique has no 'column'"),
        (
            expectation("column_values_to_be_unique", column="a", mosty=0.9),
            "Unknown key 'mosty' in expect_column_values_to_be_unique",
        ),
        ({**expectation("column_values_to_be_unique", column="a"), "kwarg": {}}, "Unknown key 'kwarg' in an expectation"),
        (
            {**expectation("column_values_to_be_unique", column="a"), "severity": "fatal"},
            "expect_column_values_to_be_unique has no such severity",
        ),
        (
            expectation("column_kl_divergence_to_be_less_than", column="a", threshold=1),
            "expect_column_kl_divergence_to_be_less_than cannot be translated",
        ),
        (
            expectation("column_values_to_be_unique", column="a", row_condition="a == 1", condition_parser="pandas"),
            "expect_column_values_to_be_unique cannot be translated",
        ),
        (expectation("table_row_count_to_equal", value=4, mostly=0.5), "expect_table_row_count_to_equal cannot be translated"),
        (expectation("column_mean_to_be_between", column="a"), "expect_column_mean_to_be_between has no bound"),
        (
            expectation("column_values_to_be_in_set", column="a", value_set="x"),
            "'value_set' of expect_column_values_to_be_in_set has the wrong form",
        ),
        ("expect_column_values_to_be_unique", "An expectation is not an object"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name(refused_of, entry: object, what: str) -> None:
    ((subject, said),) = refused_of("gx", suite(entry))
    assert said == what
    assert subject.startswith("file:")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"expectations": {}}', '{"expectations": [], "expectatons": []}', '{"expectations": [NaN]}', "[" * 9000]
)
def test_what_is_no_suite_is_one_error(read, text: str) -> None:
    with pytest.raises(ProjectInvalid):
        read("gx", text)
