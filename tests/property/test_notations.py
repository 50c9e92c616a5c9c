"""Whatever a file says, it is rules or errors of ours; and the rules of a file are read back from a contract as the same."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnos.errors import LimnosError
from limnos.model.contract import Column, Contract
from limnos.model.names import TableName
from limnos.project.nodes import parse_nodes
from limnos.project.notations import FORMATS, Imported, Tables, read_notation
from limnos.project.notations.dbt import _TESTS
from limnos.project.notations.dqdl import _TRANSLATORS, REFUSED
from limnos.project.notations.expectations import EXPECTATIONS
from limnos.project.notations.soda_checks import OF_COLUMN, OF_TABLE, VALIDITY
from limnos.project.odcs import read_contracts
from limnos.project.odcs_write import write_contract, write_yaml

ORDERS = TableName("shop", "orders")
PIECES = [
    *_TRANSLATORS,
    *REFUSED,
    *'Rules = [ ] ( ) { } , : ! = != > >= < <= + - * / $ # "'.split(),
    *("between", "in", "not", "matches", "where", "with", "threshold", "and", "or", "NULL", "EMPTY", "now()", "days", "MB", "avg", "last"),
    *('"a"', '"b.{c}"', '"sum(a)"', '"Integer"', '"\\"', "0.5", "1", "1.0", "10", "$x", "labels", "x", "\n", "Metadata"),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10)
    | st.sampled_from([0.5, 1e300, "a", "x > 1", "", "ref('orders')", "{{ x }}", "${v}", "^a|b$"])
)
WORDS = st.sampled_from(
    [
        *(
            "column",
            "columns",
            "value_set",
            "min_value",
            "max_value",
            "mostly",
            "row_condition",
            "strict_min",
            "regex",
            "column_list",
            "value",
        ),
        *(
            "threshold",
            "must_be",
            "must_be_less_than",
            "must_be_between",
            "metric",
            "filter",
            "function",
            "query",
            "expression",
            "level",
            "name",
        ),
        *("to", "field", "values", "config", "where", "severity", "error_if", "arguments", "quote", "interval", "datepart", "type", "unit"),
        *(
            "greater_than",
            "less_than",
            "dataset",
            "column_A",
            "column_B",
            "or_equal",
            "sort_column",
            "group_by",
            "column_set",
            "compare_model",
        ),
        *VALIDITY,
    ]
)
TREE = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=8)


def tables_of(name: str) -> Tables:
    return Tables(ORDERS)


def rules_or_errors(form: str, text: str) -> None:
    """Translate, and take what was translated through a contract."""
    try:
        found = read_notation(form, text, "file", tables_of)
    except LimnosError as error:
        found = (Imported("", (), (error,)),)
    for one in found:
        assert all(error.subject.startswith("file") and error.what and error.hint for error in one.refused)
        contract = Contract(ORDERS, (Column("a", pa.int64()),), rules=one.rules)
        (config,) = read_contracts([parse_nodes(write_contract(contract, {}), "x")])
        assert {rule.name: rule.as_json() for rule in config.rules} == {rule.name: rule.as_json() for rule in one.rules}


@pytest.mark.parametrize("form", FORMATS)
@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_rules_or_errors(form: str, text: str) -> None:
    rules_or_errors(form, text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.booleans())
def test_any_words_of_dqdl_are_rules_or_errors(words: list[str], whole: bool) -> None:  # noqa: FBT001 drawn
    rules_or_errors("dqdl", " ".join(words) if whole else f"Rules = [ {' '.join(words)} ]")


@settings(deadline=None)
@given(st.sampled_from(["not_null", "unique", "accepted_values", *_TESTS, *(f"dbt_expectations.{name}" for name in EXPECTATIONS)]), TREE)
def test_any_test_of_dbt_is_rules_or_errors(name: str, tree: object) -> None:
    tests = [{name: tree}, name]
    rules_or_errors("dbt", write_yaml({"models": [{"name": "orders", "data_tests": tests, "columns": [{"name": "a", "tests": tests}]}]}))


@settings(deadline=None)
@given(st.sampled_from(sorted(EXPECTATIONS)), TREE, st.dictionaries(WORDS, SCALARS, max_size=4))
def test_any_expectation_is_rules_or_errors(name: str, tree: object, kwargs: dict[str, object]) -> None:
    entries = [{"type": name, "kwargs": tree}, {"expectation_type": name, "kwargs": {"column": "a", **kwargs}}]
    rules_or_errors("gx", json.dumps({"expectations": entries}))


@settings(deadline=None)
@given(
    st.sampled_from(sorted({*OF_COLUMN, *OF_TABLE})),
    TREE,
    st.sampled_from(["row_count > 1", "missing_count(a) = 0", "avg(a) between 1 and 2", "freshness(a) < 1d"]),
)
def test_any_check_of_soda_is_rules_or_errors(name: str, tree: object, line: str) -> None:
    checks = [{name: tree}]
    rules_or_errors("soda", write_yaml({"dataset": "x/orders", "columns": [{"name": "a", "checks": checks}], "checks": checks}))
    rules_or_errors("soda", write_yaml({"checks for orders": [{line: tree}]}))
