from __future__ import annotations

from pathlib import Path

from limnos import Lake
from limnos.model.run import TablePlan


def planned(lake: Lake) -> dict[str, TablePlan]:
    return {str(table.table): table for table in Lake(lake.project.root).plan().tables}


def test_a_table_that_is_not_there_is_to_be_created_with_its_columns_and_rules(shop: Lake) -> None:
    orders = planned(shop)["shop.orders"]
    assert (orders.action, orders.source) == ("create", "files.orders")
    assert orders.changes == ("+ id long", "+ customer long")
    assert orders.rules == ("foreign_key:customer (quarantine)",)


def test_parents_come_before_their_children(tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(
        "version: 1\nproject: p\nsources:\n  f: {type: files, tables: {a: {path: a.csv}, z: {path: z.csv}}}\n"
        "tables:\n  f.a: {checks: [{foreign_key: {column: z, references: f.z.id}}]}\n"
    )
    (tmp_path / "a.csv").write_text("id,z\n1,1\n")
    (tmp_path / "z.csv").write_text("id\n1\n")
    assert [table.table.name for table in Lake(tmp_path).plan().tables] == ["z", "a"]


def test_what_did_not_change_is_skipped_and_the_rest_is_loaded(loaded: Lake) -> None:
    (loaded.project.root / "orders.csv").write_text("id,customer\n3,2\n")
    plan = planned(loaded)
    assert (plan["shop.customers"].action, plan["shop.customers"].rows) == ("skip", 2)
    assert (plan["shop.orders"].action, plan["shop.orders"].rows) == ("load", None)


def test_a_change_of_the_contract_is_an_evolution_and_is_spelled_out(loaded: Lake) -> None:
    project = loaded.project.root / "limnos.yml"
    project.write_text(project.read_text().replace("{name: customer, type: long}", "{name: customer, type: string}"))
    orders = planned(loaded)["shop.orders"]
    assert orders.action == "evolve"
    assert "~ customer long -> string" in orders.changes


def test_what_cannot_be_loaded_stops_with_its_error_and_leaves_the_others(loaded: Lake) -> None:
    project = loaded.project.root / "limnos.yml"
    project.write_text(project.read_text().replace("column: customer, references", "column: custmer, references"))
    plan = Lake(loaded.project.root).plan()
    orders = next(table for table in plan.tables if table.table.name == "orders")
    assert orders.action == "stop"
    assert orders.error is not None
    assert (orders.error["error"], plan.exit_code()) == ("rule-invalid", 2)
    assert planned(loaded)["shop.customers"].action == "skip"
    assert Lake(loaded.project.root).run().exit_code() == plan.exit_code()


def test_planning_publishes_and_records_nothing(shop: Lake) -> None:
    shop.plan()
    assert shop.history() == ()
    assert shop.query("SELECT count(*) AS n FROM system.events").rows() == [{"n": 0}]
