from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from limnos.errors import ProjectInvalid
from limnos.model.contract import Column, Contract, Partition, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.model.project import Project, TableConfig
from limnos.project import odcs_write
from limnos.quality.rules import build_all

Load = Callable[..., Project]

HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: c1
version: 1.0.0
schema:
  - name: orders
    physicalName: shop.orders
"""
PROJECT = "version: 1\nsources: {shop: {type: x}}\n"
ORDERS = TableName("shop", "orders")


def _table(load: Load, contract: str, project: str = PROJECT) -> TableConfig:
    return load(project, {"contracts/orders.odcs.yaml": contract}).tables[ORDERS]


def _columns(load: Load, *lines: str) -> TableConfig:
    return _table(load, HEAD + "    properties:\n" + "".join(f"      {line}\n" for line in lines))


def _compiled(rules: tuple[RuleSpec, ...]) -> list[tuple[str, tuple[str, ...], dict[str, object]]]:
    return [(rule.kind, rule.columns, dict(rule.arguments)) for rule in rules]


def test_a_contract_gives_columns_key_partitions_owner_and_rules(load: Load) -> None:
    config = _table(
        load,
        """\
apiVersion: v3.0.2
kind: DataContract
id: c1
version: 1.0.0
status: active
tags: [sales]
team: {name: Sales, members: [{username: ana, role: owner}]}
servers: [{server: prod, type: postgres, host: h, port: 5432, database: d, schema: s}]
slaProperties: [{property: latency, value: 4, unit: d}]
schema:
  - name: orders
    physicalName: shop.orders
    description: What was ordered.
    properties:
      - {name: no, physicalName: line_no, physicalType: "smallint", primaryKey: true, primaryKeyPosition: 2}
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true, description: Number.}
      - name: mail
        logicalType: string
        classification: email
        unique: true
        logicalTypeOptions: {minLength: 3, maxLength: 99, pattern: .+@.+}
      - {name: day, logicalType: date, partitioned: true, logicalTypeOptions: {minimum: "2013-01-01", exclusiveMaximum: "2030-01-01"}}
      - {name: state, logicalType: string, enum: [{value: open}, {value: no, label: closed}]}
    quality:
      - {metric: rowCount, mustBeGreaterThan: 0}
      - {type: text, description: Orders are never deleted.}
""",
    )
    assert [(c.name, c.type, c.required, c.classification) for c in config.columns] == [
        ("line_no", pa.int32(), False, ""),
        ("id", pa.int64(), True, ""),
        ("mail", pa.string(), False, "email"),
        ("day", pa.date32(), False, ""),
        ("state", pa.string(), False, ""),
    ]
    assert (config.declared, config.key, config.partitions) == (True, ("id", "line_no"), (Partition("day"),))
    assert (config.owner, config.description, str(config.place)) == ("Sales", "What was ordered.", "contracts/orders.odcs.yaml:11")
    assert _compiled(config.rules) == [
        ("primary_key", ("id", "line_no"), {}),
        ("not_null", ("id",), {}),
        ("unique", ("mail",), {}),
        ("length", ("mail",), {"min": 3, "max": 99}),
        ("regex", ("mail",), {"pattern": ".+@.+"}),
        ("range", ("day",), {"min": "2013-01-01"}),
        ("range", ("day",), {"max": "2030-01-01", "exclusive": True}),
        ("accepted_values", ("state",), {"values": ["open", "no"]}),
        ("row_count", (), {"min": 1}),
    ]
    assert len(build_all(Contract(config.table, config.columns, config.key, config.rules))) == 9


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ("logicalType: string", pa.string()),
        ("logicalType: number", pa.float64()),
        ("logicalType: number, logicalTypeOptions: {format: f32}", pa.float32()),
        ("logicalType: integer", pa.int64()),
        ("logicalType: integer, logicalTypeOptions: {format: i32}", pa.int32()),
        ("logicalType: boolean", pa.bool_()),
        ("logicalType: time", pa.time64("us")),
        ("logicalType: timestamp", pa.timestamp("us")),
        ("logicalType: timestamp, logicalTypeOptions: {timezone: true}", pa.timestamp("us", tz="UTC")),
        ("logicalType: number, physicalType: 'decimal(12,2)'", pa.decimal128(12, 2)),
        ("logicalType: array, items: {logicalType: string}", pa.list_(pa.field("element", pa.string()))),
        ("logicalType: object, properties: [{name: a, logicalType: integer}]", pa.struct([pa.field("a", pa.int64())])),
        ("logicalType: map, map: {key: {logicalType: string}, value: {logicalType: number}}", pa.map_(pa.string(), pa.float64())),
    ],
)
def test_a_physical_type_wins_and_a_logical_one_will_do(load: Load, said: str, type_: pa.DataType) -> None:
    assert _columns(load, f"- {{name: a, {said}}}").columns[0].type == type_


@pytest.mark.parametrize(
    ("quality", "kind", "arguments", "at_least", "severity"),
    [
        ("{metric: nullValues, mustBe: 0}", "not_null", {}, 1.0, None),
        ("{type: library, metric: nullValues, mustBe: 0, severity: error}", "not_null", {}, 1.0, None),
        ("{metric: nullValues, mustBe: 0, severity: warning}", "not_null", {}, 1.0, Severity.WARN),
        ("{metric: nullValues, mustBeLessOrEqualTo: 2, unit: percent, severity: info}", "not_null", {}, 0.98, Severity.WARN),
        ("{metric: duplicateValues, mustBe: 0}", "unique", {}, 1.0, None),
        ("{metric: invalidValues, mustBe: 0, arguments: {validValues: [a, no]}}", "accepted_values", {"values": ["a", "no"]}, 1.0, None),
        ('{metric: invalidValues, mustBe: 0, arguments: {pattern: "[a-z]+"}}', "regex", {"pattern": "[a-z]+"}, 1.0, None),
        ("{metric: missingValues, mustBe: 0}", "not_null", {}, 1.0, None),
        ("{metric: missingValues, mustBe: 0, arguments: {missingValues: [null]}}", "not_null", {}, 1.0, None),
        (
            "{metric: missingValues, mustBe: 0, arguments: {missingValues: [null, '', \"it's\"]}}",
            "not_null",
            {"missing": ["", "it's"]},
            1.0,
            None,
        ),
        (
            "{metric: missingValues, mustBe: 0, arguments: {missingValues: ['', \"it's\"]}}",
            "sql",
            {"expression": "coalesce(\"a\" NOT IN ('', 'it''s'), TRUE)"},
            1.0,
            None,
        ),
    ],
)
def test_library_metrics_become_rules(
    load: Load, quality: str, kind: str, arguments: dict[str, object], at_least: float, severity: Severity | None
) -> None:
    config = _columns(load, f"- {{name: a, logicalType: string, quality: [{quality}]}}")
    (rule,) = config.rules
    assert (rule.kind, dict(rule.arguments), rule.at_least, rule.severity) == (kind, arguments, at_least, severity)
    assert build_all(Contract(config.table, config.columns, rules=config.rules))


@pytest.mark.parametrize(
    ("operator", "bounds"),
    [
        ("mustBe: 5", {"min": 5, "max": 5}),
        ("mustBeGreaterThan: 5", {"min": 6}),
        ("mustBeGreaterOrEqualTo: 5", {"min": 5}),
        ("mustBeLessThan: 5", {"max": 4}),
        ("mustBeLessOrEqualTo: 5", {"max": 5}),
        ("mustBeBetween: [5, 9]", {"min": 5, "max": 9}),
    ],
)
def test_row_counts_become_bounds(load: Load, operator: str, bounds: dict[str, int]) -> None:
    assert _compiled(_table(load, HEAD + f"    quality: [{{metric: rowCount, {operator}}}]\n").rules) == [("row_count", (), bounds)]


def test_a_composite_key_without_duplicates_is_one_rule(load: Load) -> None:
    quality = "    quality: [{id: one-each, metric: duplicateValues, mustBe: 0, arguments: {properties: [a, b]}}]\n"
    (rule,) = _table(load, HEAD + quality).rules
    assert (rule.kind, rule.columns, rule.name) == ("unique", ("a", "b"), "one-each")


@pytest.mark.parametrize(
    ("quality", "seen"),
    [
        ("{type: sql, query: select 1, mustBe: 0}", "type: sql"),
        ("{type: custom, engine: soda, implementation: x}", "type: custom"),
        ("{metric: nullValues, mustBe: 5}", "nullValues mustBe 5 rows"),
        ("{metric: nullValues, mustBeLessThan: 5, unit: percent}", "nullValues mustBeLessThan 5 percent"),
        ("{metric: rowCount, mustBe: 5}", "rowCount of the column a"),
        ("{metric: invalidValues, mustBe: 0}", "without exactly one of validValues and pattern"),
        ("{rule: nullCheck, mustBe: 0}", "rule"),
        ("{metric: nullValues}", "none"),
        ("{metric: nullValues, mustBe: 0, mustNotBe: 1}", "mustBe, mustNotBe"),
    ],
)
def test_a_quality_entry_that_no_rule_can_check_is_refused_and_not_ignored(load: Load, quality: str, seen: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        _columns(load, f"- {{name: a, logicalType: string, quality: [{quality}]}}")
    assert seen in caught.value.seen
    assert caught.value.subject == "contracts/orders.odcs.yaml:9"


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "expected"),
    [
        ("apiVersion: v3.1.0", "apiVersion: v2.2.2", 1, "apiVersion has the wrong form", "v3.0.x"),
        ("kind: DataContract", "kind: DataProduct", 2, "kind has the wrong form", "DataContract (did you mean this?)"),
        ("version: 1.0.0", "version: 1.0", 4, "version has the wrong form", 'put it in quotes, as "1.0"'),
        ("id: c1", "ids: c1", 3, "Unknown key 'ids'", "id (did you mean this?)"),
        ("id: c1\n", "", 1, "has no 'id'", "id"),
        ("physicalName: shop.orders", "physicalname: shop.orders", 7, "Unknown key 'physicalname'", "physicalName (did you mean this?)"),
        ("physicalName: shop.orders", "physicalName: orders", 7, "physicalName has the wrong form", "shop.orders"),
        ("    physicalName: shop.orders\n", "", 6, "has no 'physicalName'", "shop.orders"),
    ],
)
def test_what_is_wrong_with_a_contract_is_said_with_its_line(load: Load, old: str, new: str, line: int, what: str, expected: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        _table(load, HEAD.replace(old, new))
    assert what in caught.value.what
    assert caught.value.subject == f"contracts/orders.odcs.yaml:{line}"
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("{name: a, logicaltype: string}", "Unknown key 'logicaltype'"),
        ("{name: a, logicalType: strng}", "logicalType has the wrong form"),
        ("{name: a, physicalType: geometry}", "'geometry' is not a type"),
        ("{name: a}", "The column 'a' has no type"),
        ("{name: a, logicalType: array}", "The column 'a' has no type"),
        ("{name: a, logicalType: vector, logicalTypeOptions: {dimensions: 3}}", "The column 'a' has no type"),
        ("{name: a, logicalType: integer, logicalTypeOptions: {format: i128}}", "no type that fits"),
        ("{logicalType: string}", "A property has no name"),
        ("{name: a, logicalType: integer, logicalTypeOptions: {multipleOf: 5}}", "'multipleOf' of an ODCS contract cannot be checked"),
        (
            "{name: a, logicalType: array, items: {logicalType: string, unique: true}}",
            "'unique inside a' of an ODCS contract cannot be checked",
        ),
        ("{name: a, logicalType: array, items: {logicalType: string, uniqe: true}}", "Unknown key 'uniqe' in a"),
        ("{name: a, logicalType: number, semanticType: measure}", "'semanticType: measure' of an ODCS contract cannot be checked"),
        ("{name: a, logicalType: string, relationships: [{to: nowhere.id}]}", "No contract is about a table nowhere"),
        ("{name: a, logicalType: string, relationships: [{to: orders}]}", "'orders' does not name a column"),
        ("{name: a, logicalType: string, relationships: [{from: orders.a, to: orders.id}]}", "leads from that property"),
        ("{name: a, logicalType: string, relationships: [{type: dimension, to: orders.id}]}", "type has the wrong form"),
        ("{name: a, logicalType: string}, {name: a, logicalType: string}", "The column 'a' is given twice"),
    ],
)
def test_a_column_that_makes_no_sense_is_said(load: Load, column: str, what: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        _table(load, HEAD + f"    properties: [{column}]\n")
    assert what in caught.value.what
    assert caught.value.subject == "contracts/orders.odcs.yaml:8"


CUSTOMERS = HEAD.replace("c1", "c2").replace("orders", "customers")


def test_a_relationship_is_a_foreign_key_within_and_between_contracts(load: Load) -> None:
    properties = (
        "    properties:\n"
        "      - {name: c, logicalType: integer, relationships: [{to: customers.id}]}\n"
        "      - {name: o, logicalType: integer, relationships: [{to: shop.orders.id}]}\n"
    )
    composite = "    relationships: [{type: foreignKey, from: [orders.a, orders.b], to: [customers.x, customers.y]}]\n"
    files = {"contracts/a.odcs.yaml": HEAD + properties + composite, "contracts/b.odcs.yaml": CUSTOMERS}
    assert _compiled(load(PROJECT, files).tables[ORDERS].rules) == [
        ("foreign_key", ("c",), {"references": "shop.customers", "columns": ["id"]}),
        ("foreign_key", ("o",), {"references": "shop.orders", "columns": ["id"]}),
        ("foreign_key", ("a", "b"), {"references": "shop.customers", "columns": ["x", "y"]}),
    ]


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("{to: customers.x}", "has no 'from'"),
        ("{from: customers.a, to: customers.x}", "leads from another table"),
        ("{from: [orders.a, orders.b], to: customers.x}", "pairs each column with one column"),
        ("{from: [orders.a, orders.b], to: [customers.x, orders.y]}", "pairs each column with one column"),
    ],
)
def test_a_relationship_that_does_not_pair_columns_is_refused(load: Load, link: str, what: str) -> None:
    files = {"contracts/a.odcs.yaml": HEAD + f"    relationships: [{link}]\n", "contracts/b.odcs.yaml": CUSTOMERS}
    with pytest.raises(ProjectInvalid, match=what):
        load(PROJECT, files)


def test_two_contracts_about_one_table_are_refused(load: Load) -> None:
    with pytest.raises(ProjectInvalid, match=r"Two contracts are about shop\.orders") as caught:
        load(PROJECT, {"contracts/a.odcs.yaml": HEAD, "contracts/b.odcs.yaml": HEAD})
    assert (caught.value.subject, caught.value.seen) == ("contracts/b.odcs.yaml:6", "also contracts/a.odcs.yaml:6")


def test_contracts_are_found_where_the_project_says(load: Load) -> None:
    project = "version: 1\ncontracts: [promises/**/*.yaml, promises/deep/*]\nsources: {shop: {type: x}}\n"
    assert list(load(project, {"promises/deep/o.yaml": HEAD, "contracts/c.odcs.yaml": CUSTOMERS}).tables) == [ORDERS]


KEYED = HEAD + "    properties: [{name: id, logicalType: integer, primaryKey: true}, {name: at, logicalType: date, partitioned: true}]\n"


def test_limnos_yml_adds_to_a_contract(load: Load) -> None:
    project = PROJECT + (
        "tables:\n  shop.orders:\n    on_fail: block\n    owner: me\n    key: id\n"
        "    columns: [{name: id, type: long, classification: number}]\n"
        "    checks: [{not_null: at}, {primary_key: {column: id, severity: warn, name: other}}]\n"
    )
    config = _table(load, KEYED, project)
    assert (config.on_fail, config.owner, config.key, config.declared) == (Severity.BLOCK, "me", ("id",), True)
    assert [(c.name, c.classification) for c in config.columns] == [("id", "number"), ("at", "")]
    assert [(rule.name, str(rule.place)) for rule in config.rules] == [
        ("primary_key:id", "limnos.yml:7"),
        ("not_null:at", "limnos.yml:9"),
        ("other", "limnos.yml:9"),
    ]


def test_the_same_rule_in_both_is_one_rule_with_the_severity_of_limnos_yml(load: Load) -> None:
    project = PROJECT + "tables: {shop.orders: {checks: [{primary_key: {column: id, severity: block}}]}}"
    assert [(rule.name, rule.severity) for rule in _table(load, KEYED, project).rules] == [("primary_key:id", Severity.BLOCK)]


def test_limnos_yml_may_take_the_severity_of_a_contract_back(load: Load) -> None:
    quality = "quality: [{metric: nullValues, mustBe: 0, severity: warning}]"
    contract = HEAD + f"    properties: [{{name: a, logicalType: string, {quality}}}]\n"
    assert [rule.severity for rule in _table(load, contract).rules] == [Severity.WARN]
    (rule,) = _table(load, contract, PROJECT + "tables: {shop.orders: {checks: [{not_null: a}]}}").rules
    assert (rule.severity, str(rule.place)) == (None, "limnos.yml:3")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("columns: [{name: id, type: int}]", r"about the type of shop\.orders\.id"),
        ("key: at", r"about the key of shop\.orders"),
        ("partition: month(at)", r"about the partitions of shop\.orders"),
        ("checks: [{unique: {column: at, name: 'primary_key:id'}}]", "Two rules are called 'primary_key:id'"),
    ],
)
def test_a_contradiction_names_both_places(load: Load, said: str, what: str) -> None:
    with pytest.raises(ProjectInvalid, match=what) as caught:
        _table(load, KEYED, PROJECT + f"tables: {{shop.orders: {{{said}}}}}")
    assert caught.value.subject == "limnos.yml:3"
    assert "contracts/orders.odcs.yaml:6" in caught.value.seen + caught.value.expected


def _own(load: Load, implementation: str, beside: str = "") -> tuple[RuleSpec, ...]:
    entry = f"    quality:\n      - type: custom\n        engine: limnos\n        implementation: {implementation}\n{beside}"
    return _table(load, HEAD + entry).rules


def test_a_rule_in_our_own_words_is_read_with_all_that_it_says(load: Load) -> None:
    said = "{rule: range, columns: [a], arguments: {min: 0}, where: b > 1, at_least: 0.9, severity: block, name: mine}"
    (rule,) = _own(load, said, "        severity: warning\n        description: Told to others.\n")
    assert rule.as_json() == RuleSpec("range", ("a",), {"min": 0}, Severity.BLOCK, 0.9, "b > 1", "mine").as_json()
    assert str(rule.place) == "contracts/orders.odcs.yaml:9"


@pytest.mark.parametrize(
    ("implementation", "what"),
    [
        ("{rule: range, column: [a]}", "Unknown key 'column'"),
        ("{columns: [a]}", "has no 'rule'"),
        ("{rule: range, severity: fatal}", "wrong form"),
        ("{rule: range, at_least: 7}", "wrong form"),
        ("{rule: foreign_key, columns: [a]}", "A foreign key refers to nothing"),
        ("{rule: foreign_key, columns: [a], arguments: {references: nobody.here, columns: [id]}}", "No source fills the table nobody.here"),
        ("a text", "wrong form"),
    ],
)
def test_a_rule_in_our_own_words_that_is_wrong_is_an_error(load: Load, implementation: str, what: str) -> None:
    with pytest.raises(ProjectInvalid, match=what) as caught:
        _own(load, implementation)
    assert caught.value.subject in ("contracts/orders.odcs.yaml:9", "contracts/orders.odcs.yaml:11")


def test_a_custom_check_of_another_engine_is_an_error(load: Load) -> None:
    with pytest.raises(ProjectInvalid, match="type: custom"):
        _table(load, HEAD + "    quality:\n      - {type: custom, engine: soda, implementation: x}\n")


def test_a_rule_that_says_more_than_the_word_required_is_not_written_as_that_word() -> None:
    contract = Contract(TableName("s", "t"), (Column("a", pa.string()),))
    assert odcs_write._sayable(RuleSpec("not_null", ("a",)), contract)
    assert not odcs_write._sayable(RuleSpec("not_null", ("a",), {"missing": [""]}), contract)
