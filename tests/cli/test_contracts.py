"""`import` and `export`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONTRACT = """\
# Ours: do not lose this.
apiVersion: v3.1.0
kind: DataContract
id: c1
version: 1.0.0
schema:
  - name: orders
    physicalName: shop.orders
    quality:
      - metric: rowCount   # never empty
        mustBeGreaterThan: 0
    # the end
"""
RULES = """\
Rules = [
  RowCount > 0,
  IsComplete "amount",
  ColumnValues "amount" < 1000 with threshold >= 0.9,
  ReferentialIntegrity "customer" "customers.id" >= 0.5
]
"""


@pytest.fixture
def ours(shop: Path) -> Path:
    (shop / "contracts").mkdir()
    (shop / "contracts/orders.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    (shop / "orders.dqdl").write_text(RULES, encoding="utf-8")
    return shop


def test_import_shows_the_change_and_makes_none(ours, limnos) -> None:
    said = limnos("import", "dqdl", "orders.dqdl", "--table", "shop.orders")
    assert said.code == 0
    assert "+++ contracts/orders.odcs.yaml" in said.out
    assert "shop.orders: 3 new rules, 1 there already, 0 not translated; nothing is written" in said.err
    assert (ours / "contracts/orders.odcs.yaml").read_text(encoding="utf-8") == CONTRACT


def test_import_adds_lines_and_changes_none_and_what_is_there_is_not_added_again(ours, limnos) -> None:
    wrote = limnos("import", "dqdl", "orders.dqdl", "--table", "shop.orders", "--write", "--json")
    after = (ours / "contracts/orders.odcs.yaml").read_text(encoding="utf-8").splitlines()
    again = limnos("import", "dqdl", "orders.dqdl", "--table", "shop.orders", "--write")
    (table,) = json.loads(wrote.out)["tables"]
    assert (wrote.code, again.code, table["written"]) == (0, 0, True)
    assert [line for line in after if line in CONTRACT.splitlines()] == CONTRACT.splitlines()
    assert "0 new rules, 4 there already, 0 not translated; nothing is written" in again.err
    assert (ours / "contracts/orders.odcs.yaml").read_text(encoding="utf-8").splitlines() == after


def test_imported_rules_judge_the_next_run(ours, limnos) -> None:
    assert limnos("import", "dqdl", "orders.dqdl", "--table", "shop.orders", "--write").code == 0
    assert limnos("run").code == 0
    rules = {one["rule"] for one in json.loads(limnos("check", "shop.orders", "--json").out)["tables"][0]["verdicts"]}
    assert {"row_count", "not_null:amount", "foreign_key:customer"} <= rules


def test_what_is_refused_is_named_and_keeps_everything_from_being_written_unless_partial(ours, limnos) -> None:
    (ours / "orders.dqdl").write_text(RULES.replace("RowCount > 0", "RowCount > avg(last(10))"), encoding="utf-8")
    refused = limnos("import", "dqdl", "orders.dqdl", "--table", "shop.orders", "--write", "--quiet")
    assert refused.code == 2
    assert "RowCount against avg(last(10)) cannot be translated\n  at       orders.dqdl:2" in refused.err
    assert (ours / "contracts/orders.odcs.yaml").read_text(encoding="utf-8") == CONTRACT
    partial = limnos("import", "dqdl", "orders.dqdl", "--table", "shop.orders", "--write", "--partial", "--json")
    assert partial.code == 0
    assert [error["what"] for error in json.loads(partial.out)["tables"][0]["refused"]] == [
        "RowCount against avg(last(10)) cannot be translated"
    ]
    assert "engine: limnos" in (ours / "contracts/orders.odcs.yaml").read_text(encoding="utf-8")


def test_a_contract_that_is_not_there_is_drafted_and_a_stranger_is_left_alone(ours, limnos) -> None:
    (ours / "schema.yml").write_text("models: [{name: customers, columns: [{name: id, tests: [unique]}]}]", encoding="utf-8")
    said = limnos("import", "dbt", "schema.yml", "--write")
    drafted = ours / "contracts/customers.odcs.yaml"
    assert (said.code, drafted.is_file()) == (0, False), "limnos.yml promises it already"
    (ours / "schema.yml").write_text("models: [{name: customers, columns: [{name: name, tests: [unique]}]}]", encoding="utf-8")
    assert limnos("import", "dbt", "schema.yml", "--write").code == 0
    assert "duplicateValues" in drafted.read_text(encoding="utf-8")
    assert limnos("plan").code == 0
    drafted.write_text(drafted.read_text(encoding="utf-8").replace("shop.customers", "shop.orders2"), encoding="utf-8")
    (ours / "limnos.yml").write_text(
        (ours / "limnos.yml").read_text(encoding="utf-8").replace("orders: {path", "orders2: {path: in/orders.csv}\n      orders: {path"),
        encoding="utf-8",
    )
    stranger = limnos("import", "dbt", "schema.yml", "--write")
    assert stranger.code == 2
    assert "a file about another table" in stranger.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dqdl", "orders.dqdl"], "expected --table NAME"),
        (["dqd", "orders.dqdl"], "dqdl (did you mean this?)"),
        (["dqdl", "nothing.dqdl", "--table", "shop.orders"], "nothing.dqdl"),
        (["dbt", "schema.yml", "--table", "shop.nobody"], "No table in the file is called nobody"),
        (["dbt", "schema.yml"], "strangers"),
    ],
)
def test_a_wrong_request_says_what_to_type(ours, limnos, arguments: list[str], said: str) -> None:
    models = ", ".join(f"{{name: {name}, tests: [{{unique: {{column_name: id}}}}]}}" for name in ("orders", "strangers"))
    (ours / "schema.yml").write_text(f"models: [{models}]", encoding="utf-8")
    wrong = limnos("import", *arguments)
    assert wrong.code == 2
    assert said in wrong.err


def test_one_of_several_tables_is_chosen_by_its_last_name(ours, limnos) -> None:
    models = ", ".join(f"{{name: {name}, tests: [{{unique: {{column_name: name}}}}]}}" for name in ("customers", "strangers"))
    (ours / "schema.yml").write_text(f"models: [{models}]", encoding="utf-8")
    chosen = json.loads(limnos("import", "dbt", "schema.yml", "--table", "shop.customers", "--json").out)
    assert [(one["table"], len(one["rules"])) for one in chosen["tables"]] == [("shop.customers", 1)]


def test_export_writes_contracts_that_are_read_back_as_the_same_rules(ours, limnos) -> None:
    limnos("run")
    before = json.loads(limnos("check", "--json").out)
    assert limnos("export", "contracts", "--to", "contracts/all").code == 0
    text = (ours / "limnos.yml").read_text(encoding="utf-8").partition("tables:\n  shop.customers")[0]
    (ours / "limnos.yml").write_text(f"contracts: contracts/all/*.odcs.yaml\n{text}", encoding="utf-8")
    after = json.loads(limnos("check", "--json").out)
    rules = [{(one["rule"], one["version"]) for table in said["tables"] for one in table["verdicts"]} for said in (before, after)]
    assert rules[0] == rules[1]


def test_export_shows_one_and_overwrites_nothing(ours, limnos) -> None:
    shown = limnos("export", "contracts", "shop.orders")
    assert shown.out.startswith("# orders.odcs.yaml\napiVersion: v3.1.0\n")
    (ours / "out").mkdir()
    (ours / "out/orders.odcs.yaml").write_text("mine", encoding="utf-8")
    refused = limnos("export", "contracts", "--to", "out")
    assert refused.code == 2
    assert (ours / "out/orders.odcs.yaml").read_text(encoding="utf-8") == "mine"
    assert not (ours / "out/customers.odcs.yaml").exists()
