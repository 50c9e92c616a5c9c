"""Rules that look at other tables and other versions, through runs and checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.flow.scripted import Script, lake_of

from limnos import Lake
from limnos.errors import ProjectInvalid
from limnos.model.run import RunResult

PROJECT = """
version: 1
project: shop
sources:
  files: {type: files, namespace: shop, tables: {lines: {path: lines.csv}, orders: {path: orders.csv}}}
tables:
  shop.lines:
    columns: [{name: id, type: long}, {name: order_id, type: long}, {name: price, type: "decimal(9,2)"}]
    checks: [{foreign_key: {column: order_id, references: shop.orders.id}}]
  shop.orders:
    columns: [{name: id, type: long}, {name: total, type: "decimal(9,2)"}]
    key: id
    checks:
"""
LINES = "id,order_id,price\n1,1,1.00\n2,1,2.00\n3,2,4.00\n"


def lake(tmp_path: Path, *checks: str, orders: str = "id,total\n1,3.00\n2,4.00\n") -> Lake:
    (tmp_path / "limnos.yml").write_text(PROJECT + "".join(f"      - {check}\n" for check in checks))
    (tmp_path / "lines.csv").write_text(LINES)
    (tmp_path / "orders.csv").write_text(orders)
    return Lake(tmp_path)


def outcomes(result: RunResult, table: str = "shop.orders") -> dict[str, str]:
    (found,) = [one for one in result.tables if str(one.table) == table]
    return {verdict.kind: str(verdict.outcome) for verdict in found.verdicts}


def test_two_tables_that_look_at_each_other_are_refused_unless_one_warns(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="in a circle"):
        lake(tmp_path, "referenced_by: {column: id, by: shop.lines.order_id}").run()


def test_a_rule_that_warns_sees_the_other_table_as_it_was_before_the_run(tmp_path: Path) -> None:
    by = "referenced_by: {column: id, by: shop.lines.order_id, severity: warn}"
    shop = lake(tmp_path, by)
    first = shop.run()
    assert (outcomes(first)["referenced_by"], outcomes(first, "shop.lines")["foreign_key"]) == ("error", "pass")
    assert first.exit_code() == 0
    (tmp_path / "orders.csv").write_text("id,total\n1,3.00\n2,4.00\n3,0.00\n")
    assert outcomes(shop.run())["referenced_by"] == "fail"
    (checked,) = [one for one in shop.check() if str(one.table) == "shop.orders"]
    assert {verdict.kind: verdict.failing for verdict in checked.verdicts}["referenced_by"] == 1


def test_a_query_joins_another_table_and_its_rows_wait_in_quarantine(tmp_path: Path) -> None:
    sql = (
        "SELECT o.id FROM shop.orders AS o JOIN shop.lines AS l ON l.order_id = o.id GROUP BY o.id, o.total HAVING sum(l.price) <> o.total"
    )
    shop = lake(tmp_path, f'query: {{sql: "{sql}", severity: warn}}', orders="id,total\n1,3.00\n2,5.00\n")
    shop.run()
    (found,) = [one for one in shop.check() if str(one.table) == "shop.orders"]
    (verdict,) = [verdict for verdict in found.verdicts if verdict.kind == "query"]
    assert (str(verdict.outcome), verdict.numerator, verdict.denominator) == ("fail", 1, 2)


def test_rows_that_a_query_finds_wait_in_quarantine(tmp_path: Path) -> None:
    shop = lake(tmp_path, "query: SELECT * FROM shop.orders WHERE total = (SELECT max(total) FROM shop.orders)")
    result = shop.run()
    (orders,) = [one for one in result.tables if str(one.table) == "shop.orders"]
    assert (orders.read, orders.written, orders.quarantined) == (2, 1, 1)


def test_a_table_that_lost_half_of_its_rows_is_held_back(tmp_path: Path) -> None:
    shop = lake(tmp_path, "row_change: {min: -10%}")
    assert outcomes(shop.run())["row_change"] == "unknown"
    (tmp_path / "orders.csv").write_text("id,total\n1,3.00\n")
    held = shop.run()
    assert (outcomes(held)["row_change"], held.exit_code()) == ("fail", 1)
    assert [str(one.status) for one in held.tables if str(one.table) == "shop.orders"] == ["held"]
    (tmp_path / "orders.csv").write_text("id,total\n1,3.00\n2,4.00\n5,0.00\n")
    assert outcomes(shop.run())["row_change"] == "pass"
    (checked,) = [one for one in shop.check() if str(one.table) == "shop.orders"]
    (verdict,) = [verdict for verdict in checked.verdicts if verdict.kind == "row_change"]
    assert (str(verdict.outcome), verdict.value) == ("pass", 50.0)


def test_a_measured_number_is_kept_with_its_verdict(tmp_path: Path) -> None:
    shop = lake(
        tmp_path,
        "mean: {column: total, min: 1, max: 9}",
        "aggregate_match: {function: sum, column: total, table: shop.lines, other_column: price, severity: warn}",
    )
    shop.run()
    shop.run()
    (found,) = [one for one in shop.check() if str(one.table) == "shop.orders"]
    values = {verdict.kind: verdict.value for verdict in found.verdicts}
    assert (values["mean"], values["aggregate_match"], values["primary_key"]) == (3.5, 0.0, None)
    assert {verdict.kind: verdict.value for verdict in shop.why("shop.orders").verdicts}["mean"] == 3.5


MERGED = """checks: [
  row_change: {max: 1, severity: warn},
  sum: {column: id, max: 10},
  monotonic: {column: amount, order_by: id},
  format: {column: name, as: country},
  query: "SELECT id FROM s.rows WHERE name = 'FR' AND id > 3"
]"""


def test_what_is_merged_is_judged_with_what_is_there(tmp_path: Path) -> None:
    script = Script()
    script.insert((1, "FR", "1.00", 10), (3, "DE", "5.00", 20))
    merging = lake_of(tmp_path, script, table="mode: incremental, cursor: at", promises=MERGED)
    assert outcomes(merging.run(), "s.rows")["row_change"] == "unknown"
    script.insert((2, "IT", "7.00", 30), (4, "XX", "9.00", 40))
    second = merging.run()
    assert outcomes(second, "s.rows") == {
        **dict.fromkeys(("type", "primary_key", "query", "sum"), "pass"),
        **dict.fromkeys(("row_change", "monotonic", "format"), "fail"),
    }
    (result,) = second.tables
    assert (result.written, result.quarantined) == (0, 2)
