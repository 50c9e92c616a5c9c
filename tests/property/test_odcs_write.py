"""A contract that is written as ODCS is read back as the same contract."""

from __future__ import annotations

import math

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.project.nodes import parse_nodes, plain
from limnos.project.odcs import read_contracts
from limnos.project.odcs_write import write_contract, write_yaml
from limnos.quality.rules import build_all

SHOP = TableName("shop", "orders")
PARENT = Contract(TableName("shop", "parents"), (Column("p q", pa.int64()), Column("r", pa.string())))
TYPES = [
    pa.bool_(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(12, 2),
    pa.decimal128(38, 0),
    pa.date32(),
    pa.time64("us"),
    pa.timestamp("us"),
    pa.timestamp("us", tz="UTC"),
    pa.string(),
    pa.binary(),
    pa.uuid(),
    pa.list_(pa.field("element", pa.string())),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["no", "1e5", "0o7", "~", "null", "2013-01-01", "- a", "a: b", "#", "'", '"', "\n", "&a", "*a", "!x", "<<", "=", "1_000", "0x1F", "."]
)
NAME = TEXT.filter(lambda text: bool(text.strip())) | st.sampled_from(["a", "b_1", "Id"])


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    names = draw(st.lists(NAME, min_size=2, max_size=5, unique=True))
    columns = tuple(
        Column(name, draw(st.sampled_from(TYPES)), draw(st.booleans()), draw(TEXT), draw(st.sampled_from(["", "email", "1"])))
        for name in names
    )
    key = tuple(draw(st.lists(st.sampled_from(names), max_size=3, unique=True)))
    rules = [RuleSpec("primary_key", key)] if key else []
    rules += [RuleSpec("not_null", (column.name,)) for column in columns if column.required]
    one = st.sampled_from(names)
    rules += [RuleSpec("unique", tuple(some)) for some in draw(st.lists(st.lists(one, min_size=1, max_size=3, unique=True), max_size=2))]
    rules += [
        RuleSpec("accepted_values", (draw(one),), {"values": values})
        for values in draw(st.lists(st.lists(TEXT | st.integers(-9, 9) | st.booleans(), min_size=1), max_size=1))
    ]
    rules += [RuleSpec("range", (draw(one),), {"min": least}) for least in draw(st.lists(st.integers(-9, 9), max_size=1))]
    rules += [RuleSpec("length", (draw(one),), {"min": 1, "max": most}) for most in draw(st.lists(st.integers(1, 9), max_size=1))]
    rules += [RuleSpec("regex", (draw(one),), {"pattern": text}) for text in draw(st.lists(NAME, max_size=1))]
    if draw(st.booleans()):
        rules.append(
            RuleSpec("foreign_key", (draw(one),), {"references": "shop.parents", "columns": [draw(st.sampled_from(["p q", "r"]))]})
        )
    if draw(st.booleans()):
        rules.append(RuleSpec("foreign_key", tuple(names[:2]), {"references": str(SHOP), "columns": names[:2][::-1]}))
    unique = {rule.name: rule for rule in rules}
    return Contract(SHOP, columns, key, tuple(unique.values()), owner=draw(TEXT).strip(), description=draw(TEXT))


def said(rules: tuple[RuleSpec, ...]) -> set[tuple[str, str]]:
    return {(rule.name, rule.version) for rule in rules}


@settings(deadline=None)
@given(contracts())
def test_a_written_contract_is_read_back_as_the_same(contract: Contract) -> None:
    written = write_contract(contract, {column.name: "its name" for column in contract.columns})
    parent = write_contract(PARENT, {})
    config, _ = read_contracts([parse_nodes(written, "orders.odcs.yaml"), parse_nodes(parent, "parents.odcs.yaml")])
    assert (config.table, config.columns, config.key) == (SHOP, contract.columns, contract.key)
    assert (config.description, config.owner, config.declared) == (contract.description, contract.owner, True)
    assert said(config.rules) == said(contract.rules)


@settings(deadline=None)
@given(st.recursive(TEXT | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_written_yaml_is_read_back_as_the_same_value(value: object) -> None:
    for flow in (False, True):
        assert plain(parse_nodes(write_yaml({"v": value}, flow=flow), "x")) == {"v": value}


def test_what_odcs_has_no_words_for_is_said_in_our_own() -> None:
    rules = (
        RuleSpec("sql", (), {"expression": "a > 1"}, name="a"),
        RuleSpec("unique", ("a",), severity=Severity.WARN),
        RuleSpec("not_null", ("a",), where="a > 1"),
        RuleSpec("not_null", ("a",), name="mine"),
        RuleSpec("range", ("a",), {"min": 1, "exclusive": True}),
        RuleSpec("range", ("a",), {"max": 9}, name="below"),
    )
    contract = Contract(SHOP, (Column("a", pa.int64()),), rules=rules)
    written = write_contract(contract, {})
    (config,) = read_contracts([parse_nodes(written, "x")])
    assert {rule.name: (rule.version, rule.as_json()) for rule in config.rules} == {
        rule.name: (rule.version, rule.as_json()) for rule in rules
    }
    assert len(build_all(contract.with_rules(config.rules))) == len(rules)
    assert written.count("engine: limnos") == 4
    assert "metric: nullValues" in written
    assert "metric: duplicateValues" in written


SCALAR = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT | st.booleans()
ARGUMENTS = st.dictionaries(NAME, st.recursive(SCALAR, lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=4), max_size=3)
SHARE = st.floats(0, 1) | st.sampled_from([0.9, 0.95, 0.999, math.nextafter(0.95, 1), 1.0])
KINDS = [
    *("not_null", "unique", "accepted_values", "range", "length", "regex", "row_count", "freshness", "sql", "distinct_count", "quantile"),
    *("unique_ratio", "mean", "correlation", "format", "rejected_values", "compare", "monotonic", "sequence", "aggregate_match", "query"),
    *("referenced_by", "matches_reference", "schema_match", "row_change", "any_of"),
]
REAL = [
    ("not_null", {}),
    ("not_null", {"missing": ["", "N/A"]}),
    ("unique", {}),
    ("accepted_values", {"values": ["a", 1, True]}),
    ("regex", {"pattern": "[a-z]+"}),
    ("row_count", {"min": 1, "max": 9}),
    ("row_count", {"max": 9}),
    ("schema_match", {"columns": {"a": "long"}, "extra": "allow"}),
    ("any_of", {"rules": [{"not_null": {"column": "a"}}]}),
]


@st.composite
def any_rules(draw: st.DrawFn) -> RuleSpec:
    kind, arguments = draw(st.tuples(st.sampled_from(KINDS), ARGUMENTS) | st.sampled_from(REAL))
    columns = tuple(draw(st.lists(NAME | st.sampled_from(["a", "b"]), max_size=3, unique=True)))
    severity = draw(st.sampled_from([None, *Severity]))
    return RuleSpec(kind, columns, arguments, severity, draw(SHARE), draw(st.just("") | NAME), draw(st.just("") | NAME | st.just("my-1")))


@settings(deadline=None)
@given(st.lists(any_rules(), max_size=4, unique_by=lambda rule: rule.name))
def test_any_rules_are_read_back_from_a_contract_as_the_same(rules: list[RuleSpec]) -> None:
    contract = Contract(SHOP, (Column("a", pa.int64()), Column("b", pa.string())), rules=tuple(rules))
    (config,) = read_contracts([parse_nodes(write_contract(contract, {}), "x")])
    assert {rule.name: (rule.version, rule.as_json()) for rule in config.rules} == {
        rule.name: (rule.version, rule.as_json()) for rule in rules
    }
