"""Rules are added to limnos.yml, and nothing else of it changes."""

from __future__ import annotations

import difflib

import pytest

from limnos.errors import ProjectInvalid
from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import TableName
from limnos.project.amend import amended, check_entry
from limnos.project.checks import read_checks
from limnos.project.nodes import Listed, Mapped, parse_nodes, plain
from limnos.project.odcs_write import write_yaml

TABLE = TableName("shop", "orders")
RULES = [
    RuleSpec("not_null", ("id",)),
    RuleSpec("unique", ("a", "b"), severity=Severity.WARN),
    RuleSpec("not_null", ("x: #y",), at_least=0.97),
    RuleSpec("accepted_values", ("s",), {"values": ["no", "1e5", "it's"]}, where="a > 1"),
    RuleSpec("range", ("n",), {"min": 0}),
    RuleSpec("regex", ("code",), {"pattern": "[A-Z]{2}\\.\\|#"}),
    RuleSpec("foreign_key", ("customer",), {"references": "shop.customers", "columns": ["id"]}),
    RuleSpec("row_count", (), {"min": 3}),
    RuleSpec("freshness", ("at",), {"max": "6h"}),
]
WAYS = {
    "nothing": "version: 1\nproject: shop",
    "no table": "version: 1\ntables:  # promises\n\nproject: shop\n",
    "another table": "version: 1\ntables:\n  shop.other:\n    key: id  # the id\n\n# the end\nproject: shop\n",
    "no words": "tables:\n    shop.orders:\n    shop.other: {key: id}\nversion: 1\n",
    "no checks": "tables:\n  shop.orders:\n    description: |\n      Orders.\n\n      Many.\n    key: [a,\n      b]\nversion: 1\n",
    "empty checks": "tables:\n  shop.orders:\n    checks:\n    key: id\nversion: 1\n",
    "checks": "tables:\n  shop.orders:\n    checks:\n    - not_null: q   # never\n    # what else\n    key: id\nversion: 1\n",
    "checks last": "version: 1\ntables:\n  shop.orders:\n    checks:\n      - sql: >\n          a >\n          b",
    "listed checks": "tables:\n  shop.orders:\n    checks: [not_null: q]\nversion: 1\n",
    "no listed checks": "tables:\n  shop.orders:\n    checks: []\nversion: 1\n",
    "a table on one line": "tables:\n  shop.orders: {key: id}   # the id\n  shop.other:\nversion: 1\n",
    "nothing on one line": "tables:\n  shop.orders: {}\nversion: 1\n",
    "all on one line": "version: 1\ntables: {shop.other: {key: id}}\n",
    "quoted": 'tables:\n  "shop.orders":\n    "key": id\nversion: 1\n',
}


@pytest.mark.parametrize("way", WAYS)
def test_rules_are_added_and_no_word_is_lost(way) -> None:
    text = WAYS[way]
    made = amended(text, TABLE, [(rule, "100 of 100 rows") for rule in RULES], "limnos.yml")
    lost = [line for line in difflib.ndiff(text.splitlines(), made.splitlines()) if line.startswith("- ")]
    assert all(any(mark in line for mark in "[{") for line in lost)
    assert sum(char == "#" for char in text) <= sum(char == "#" for char in made)
    again = amended(made, TABLE, [(RuleSpec("not_null", ("later",)), "")], "limnos.yml")
    said = plain(parse_nodes(again, "limnos.yml"))
    assert isinstance(said, dict)
    assert [next(iter(check)) for check in said["tables"]["shop.orders"]["checks"]][-10:] == [*(rule.kind for rule in RULES), "not_null"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_read_back_as_it_was(rule) -> None:
    node = parse_nodes(write_yaml({"checks": [check_entry(rule)]}), "limnos.yml")
    assert isinstance(node, Mapped)
    checks = node.entries["checks"]
    assert isinstance(checks, Listed)
    (read,) = read_checks(checks, TableName("shop", "orders"))
    assert (read.name, read.version, read.severity) == (rule.name, rule.version, rule.severity)


def test_what_cannot_be_followed_is_left_alone_with_an_error() -> None:
    text = "tables:\n  shop.other: &same\n    key: id\n  shop.orders: *same\nversion: 1\n"
    with pytest.raises(ProjectInvalid) as told:
        amended(text, TABLE, [(RULES[0], "")], "limnos.yml")
    assert told.value.hint == "add them by hand: limnos suggest shop.orders"
