"""DQDL: each rule type as the examples of its reference write it, what is refused, and the grammar.

Source of the examples: AWS Glue, "DQDL rule type reference".
"""

from __future__ import annotations

import json
import math

import pytest

from limnos.errors import LimnosError, ProjectInvalid
from limnos.project.notations.dqdl import REFUSED

ABOVE_95 = math.nextafter(0.95, 1)


def one(rules_of, rule: str) -> list[tuple[object, ...]]:
    return rules_of("dqdl", f"Rules = [ {rule} ]")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('IsComplete "email"', [("not_null", ("email",), {})]),
        ('Completeness "Last_Name" >= 0.98', [("not_null", ("Last_Name",), {}, {"at_least": 0.98})]),
        ('Completeness "x" > 0.95 where "y > 1"', [("not_null", ("x",), {}, {"where": "y > 1", "at_least": ABOVE_95})]),
        ('Completeness "x" = 1.0', [("not_null", ("x",), {})]),
        ('IsUnique "email"', [("unique", ("email",), {})]),
        ('Uniqueness "email" > 0.95', [("unique", ("email",), {}, {"at_least": ABOVE_95})]),
        ('IsPrimaryKey "customer_id" "order_id"', [("primary_key", ("customer_id", "order_id"), {})]),
        ("RowCount > 1000", [("row_count", (), {"min": 1001})]),
        ("RowCount between 10 and 20", [("row_count", (), {"min": 11, "max": 19})]),
        ("RowCount != 0", [("row_count", (), {"min": 1})]),
        ("RowCount <= 2 * 50", [("row_count", (), {"max": 100})]),
        ('Mean "Star_Rating" > 3', [("mean", ("Star_Rating",), {"min": 3, "exclusive": True})]),
        ('Sum "transaction_total" >= 500000', [("sum", ("transaction_total",), {"min": 500000})]),
        ('StandardDeviation "Star_Rating" < 1.5', [("stddev", ("Star_Rating",), {"max": 1.5, "exclusive": True})]),
        ('DistinctValuesCount "State" > 3', [("distinct_count", ("State",), {"min": 4})]),
        ('ColumnCorrelation "height" "weight" >= 0.8', [("correlation", ("height", "weight"), {"min": 0.8})]),
        ('Entropy "Feedback" > 1', [("entropy", ("Feedback",), {"min": 1, "exclusive": True})]),
        ('ColumnExists "Middle_Name"', [("schema_match", (), {"columns": ["Middle_Name"], "extra": "allow"})]),
        ('ColumnDataType "colA" = "Integer"', [("schema_match", (), {"columns": {"colA": "int"}, "extra": "allow"})]),
        ('ColumnLength "Postal_Code" = 5', [("length", ("Postal_Code",), {"min": 5, "max": 5}), ("not_null", ("Postal_Code",), {})]),
        ('ColumnLength "Postal_Code" < 6', [("length", ("Postal_Code",), {"max": 5})]),
        (
            'ColumnValues "Customer_ID" between 1 and 2000',
            [("range", ("Customer_ID",), {"min": 1, "max": 2000, "exclusive": True}), ("not_null", ("Customer_ID",), {})],
        ),
        (
            'ColumnValues "day" >= "2024-01-01"',
            [("range", ("day",), {"min": "2024-01-01"}), ("not_null", ("day",), {})],
        ),
        (
            'ColumnValues "gender" in ["F", "M"] where "weight < 10"',
            [
                ("accepted_values", ("gender",), {"values": ["F", "M"]}, {"where": "weight < 10"}),
                ("not_null", ("gender",), {}, {"where": "weight < 10"}),
            ],
        ),
        ('ColumnValues "Country" in ["US", NULL, EMPTY]', [("accepted_values", ("Country",), {"values": ["US", ""]})]),
        ('ColumnValues "Age" not in [21, 22]', [("rejected_values", ("Age",), {"values": [21, 22]})]),
        ('ColumnValues "Age" != 21', [("rejected_values", ("Age",), {"values": [21]})]),
        ('ColumnValues "Age" not in [21, NULL]', [("not_null", ("Age",), {}), ("rejected_values", ("Age",), {"values": [21]})]),
        ('ColumnValues "Age" != NULL', [("not_null", ("Age",), {})]),
        (
            'ColumnValues "First_Name" matches "^[a-zA-Z]*$"',
            [("regex", ("First_Name",), {"pattern": "[a-zA-Z]*"}), ("not_null", ("First_Name",), {})],
        ),
        (
            'ColumnValues "Load_Date" > (now() - 3 days)',
            [("sql", (), {"expression": 'coalesce("Load_Date" > (now() - INTERVAL 3 DAYS), FALSE)'})],
        ),
        (
            'ColumnValues "x" in ["a"] with threshold >= 0.9',
            [("sql", (), {"expression": "coalesce(\"x\" = 'a', FALSE)"}, {"at_least": 0.9})],
        ),
        (
            '(ColumnValues "Age" > 21) OR (ColumnValues "Age" = NULL)',
            [("sql", (), {"expression": '(coalesce("Age" > 21, FALSE)) OR (coalesce("Age" IS NULL, TRUE))'})],
        ),
        ('(IsComplete "id") and (IsUnique "id")', [("not_null", ("id",), {}), ("unique", ("id",), {})]),
        (
            '((IsComplete "a") and (IsComplete "b")) or (IsComplete "c")',
            [
                ("sql", (), {"expression": '("a" IS NOT NULL) OR ("c" IS NOT NULL)'}),
                ("sql", (), {"expression": '("b" IS NOT NULL) OR ("c" IS NOT NULL)'}),
            ],
        ),
        (
            'DataFreshness "Order_Date" <= 24 hours',
            [("sql", (), {"expression": 'coalesce((now() - CAST("Order_Date" AS TIMESTAMPTZ)) <= INTERVAL 24 HOURS, FALSE)'})],
        ),
        (
            'ReferentialIntegrity "zip,city" "countries.{zip,town}" >= 0.9',
            [("foreign_key", ("zip", "city"), {"references": "shop.countries", "columns": ["zip", "town"]}, {"at_least": 0.9})],
        ),
        ('ReferentialIntegrity "c" "customers.id" = 1', [("foreign_key", ("c",), {"references": "shop.customers", "columns": ["id"]})]),
        ('RowCountMatch "customers" = 1.0', [("aggregate_match", (), {"function": "count", "table": "shop.customers", "tolerance": 0})]),
        (
            'AggregateMatch "sum(amount)" "sum(customers.total)" = 1.0',
            [
                (
                    "aggregate_match",
                    ("amount",),
                    {"function": "sum", "table": "shop.customers", "other_column": "total", "tolerance": 0},
                )
            ],
        ),
        ('SchemaMatch "customers" = 1.0', [("schema_match", (), {"table": "shop.customers", "extra": "refuse"})]),
        (
            'DatasetMatch "customers" "id->key" "name,city->town" >= 0.9',
            [
                (
                    "matches_reference",
                    ("id",),
                    {"table": "shop.customers", "key": ["key"], "compare": {"name": "name", "city": "town"}},
                    {"at_least": 0.9},
                )
            ],
        ),
        (
            'CustomSql "select count(*) from primary" between 10 and 20',
            [
                (
                    "query",
                    (),
                    {
                        "sql": "SELECT * FROM (select count(*) from shop.orders) AS measured(value) "
                        "WHERE NOT coalesce(measured.value > 10 AND measured.value < 20, FALSE)"
                    },
                )
            ],
        ),
        ('ZerosCount "x" = 0', [("rejected_values", ("x",), {"values": [0]})]),
    ],
)
def test_each_rule_type_becomes_rules(rules_of, rule: str, expected: list[tuple[object, ...]]) -> None:
    assert one(rules_of, rule) == expected


def test_sections_variables_labels_and_comments_are_read(rules_of) -> None:
    text = """
    # what this is
    Metadata = { "Version": "1.0", "Tags": ["a", "b"] }
    DataSources = { "Primary": "orders", "AdditionalDataSources": ["customers"] }
    DefaultLabels = [ "team" = "sales" ]
    codes = [ "US", "CA" ]
    condition = "a > 1"
    Rules = [
      ColumnValues "country" not in $codes, # these not
      IsComplete "id" where $condition labels = [ "level" = "high" ]
    ]
    """
    assert rules_of("dqdl", text) == [
        ("rejected_values", ("country",), {"values": ["US", "CA"]}),
        ("not_null", ("id",), {}, {"where": "a > 1"}),
    ]


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("RowCount > avg(last(10)) * 0.9", "RowCount against avg(last(10))*0.9"),
        ('Completeness "x" < 0.9', "The comparison of Completeness"),
        ('Completeness "x" between 0.2 and 0.9', "The comparison of Completeness"),
        ("RowCount < 0", "The comparison of RowCount"),
        ('Mean "x" not between 1 and 2', "Mean not between"),
        ('(RowCount > 3) or (IsComplete "x")', "RowCount in an `or`"),
        ('CustomSql "select id from primary where age < 100"', "CustomSql that gives the good rows"),
        ('CustomSql "select count(primary.id) from primary" > 1', "CustomSql that says `primary` beside FROM and JOIN"),
        ('RowCountMatch "customers" >= 0.9', "RowCountMatch of another ratio"),
        ('AggregateMatch "sum(a)" "avg(customers.b)" = 1.0', "AggregateMatch of two different functions"),
        ('ColumnDataType "a" = "Integer" with threshold > 0.8', "This form of ColumnDataType"),
        ('SchemaMatch "customers" = 1.0 where "a > 1"', "`where` of SchemaMatch"),
        *((f'{name} "x" > 1', name) for name in REFUSED),
    ],
)
def test_what_has_no_equal_is_refused_by_name_and_line(refused_of, rule: str, what: str) -> None:
    assert refused_of("dqdl", f"Rules = [\n  {rule}\n]") == [("file:2", f"{what} cannot be translated")]


def test_an_analyzer_is_refused_by_name(refused_of) -> None:
    text = 'Rules = [ ]\nAnalyzers = [\n  DistinctValuesCount "state", AllStatistics "a" ]'
    assert refused_of("dqdl", text) == [
        ("file:3", "The analyzer DistinctValuesCount cannot be translated"),
        ("file:3", "The analyzer AllStatistics cannot be translated"),
    ]


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ('Kompleteness "x" > 0.9', "No DQDL rule is called Kompleteness"),
        ("IsComplete", "IsComplete has 0 parameters"),
        ('IsComplete "a" > 3', "IsComplete takes no comparison"),
        ('Completeness "a"', "Completeness has no comparison"),
        ('IsComplete "a" with threshold > 0.8', "IsComplete has no tag threshold"),
        ('ColumnValues "a" > 1 with tolerance > 0.8', "ColumnValues has no tag tolerance"),
        ('ReferentialIntegrity "a,b" "customers.{x}" = 1', "ReferentialIntegrity pairs each column with one column"),
        ('ReferentialIntegrity "a" "nobody.{x}" = 1', "'nobody' is not one table of the lake"),
        ('DataFreshness "a" < 3', "DataFreshness compares with what is no age"),
    ],
)
def test_what_dqdl_itself_does_not_allow_is_an_error(refused_of, rule: str, what: str) -> None:
    assert refused_of("dqdl", f"Rules = [ {rule} ]") == [("file:1", what)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Rules",
        "Rules = [",
        'Rules = [ IsComplete "a ]',
        'Rules = [ IsComplete "a" IsUnique "b" ] x',
        'Rules = [ IsComplete "a", ]',
        "Rules = [] Rules = []",
        "rules = [ RowCount > 1 ]",
        "Rules = [ RowCount > $x ]",
        "Rules = [ RowCount > 1 / 0 ]",
        "Rules = [ RowCount > now() - 3 ]",
        f"Rules = [ RowCount > {'9' * 50} ]",
        "Rules = [ " + "(" * 3000 + "RowCount > 1 ]",
        "Rules = [ RowCount > " + "(" * 3000 + "1 ]",
        'Rules = [ IsComplete "' + "\\\\" * 5000,
    ],
)
def test_what_is_not_dqdl_is_one_error_with_its_place(read, text: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        read("dqdl", text)
    assert caught.value.subject.startswith("file")


def test_texts_keep_their_backslashes_and_quotes(rules_of) -> None:
    pattern = r'^"\d\\$'
    rule = f'ColumnValues "a" matches {json.dumps(pattern).replace(chr(92) * 2 + "d", chr(92) + "d")}'
    assert one(rules_of, rule)[0] == ("regex", ("a",), {"pattern": pattern[1:-1]})


def test_a_rule_that_is_refused_does_not_hide_its_neighbours(read) -> None:
    (found,) = read("dqdl", 'Rules = [ IsComplete "a", FileSize > 2 MB, IsUnique "a", IsUnique "a" ]')
    assert [rule.name for rule in found.rules] == ["not_null:a", "unique:a"]
    assert all(isinstance(error, LimnosError) for error in found.refused)
    assert len(found.refused) == 1
