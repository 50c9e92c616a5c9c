from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.flow.scripted import Row, Script, lake_of, published

from limnos import Lake
from limnos.model.run import TableResult, TableStatus

A: Row = (1, "a", "1.00", 10)
B: Row = (2, "b", "2.00", 20)
C: Row = (3, "c", "3.00", None)
ALL = 'id, name, amount::VARCHAR, "at"'
INCREMENTAL = "mode: incremental, cursor: at"


def run(lake: Lake) -> TableResult:
    (result,) = lake.run().tables
    assert result.error is None, result.error
    assert result.closes
    return result


@pytest.fixture
def script() -> Script:
    script = Script()
    script.insert(A, B, C)
    return script


@pytest.fixture
def lake(tmp_path: Path, script: Script) -> Lake:
    lake = lake_of(tmp_path, script, table=INCREMENTAL, promises="checks: [range: {column: amount, min: 0}]")
    run(lake)
    return lake


def test_only_rows_from_the_cursor_on_are_read_again(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "4.00", 40))
    result = run(lake)
    assert (result.read, result.written, result.unchanged) == (3, 1, 2)
    assert len(published(lake)) == 4
    assert script.full_reads == 1


def test_a_row_that_ties_with_the_last_one_is_not_lost(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "4.00", 20))
    run(lake)
    assert (4, "d", "4.00", 20) in published(lake, ALL)
    assert script.full_reads == 1


def test_a_row_without_a_cursor_value_is_not_lost(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "4.00", None))
    script.update(C, (3, "changed", "3.00", None))
    result = run(lake)
    assert (result.read, result.written) == (3, 2)
    assert (4, "d", "4.00", None) in published(lake, ALL)
    assert (3, "changed", "3.00", None) in published(lake, ALL)


def test_a_late_row_within_the_lookback_is_merged(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table=f"{INCREMENTAL}, lookback: 5")
    run(lake)
    script.insert((4, "late", "4.00", 16))
    run(lake)
    assert len(published(lake)) == 4
    assert script.full_reads == 1


def test_a_row_that_came_after_its_time_has_the_table_read_in_full(lake: Lake, script: Script) -> None:
    script.insert((4, "late", "4.00", 5))
    result = run(lake)
    assert any("below the cursor" in note for note in result.notes)
    assert len(published(lake)) == 4
    assert run(lake).read == 2


def test_a_late_row_is_found_beside_rows_that_wait_in_quarantine(lake: Lake, script: Script) -> None:
    script.insert((4, "bad", "-4.00", 15), (5, "e", "5.00", 50))
    run(lake)
    assert run(lake).status is TableStatus.UNCHANGED
    script.insert((6, "late", "6.00", 15))
    run(lake)
    assert (6, "late", "6.00", 15) in published(lake, ALL)


def test_a_row_that_is_gone_at_the_source_is_told_and_stays(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "4.00", 40))
    run(lake)
    script.delete(A)
    result = run(lake)
    assert any("does not see deletes" in note for note in result.notes)
    assert len(published(lake)) == 4


def test_a_row_that_changed_and_moved_up_replaces_its_old_version(lake: Lake, script: Script) -> None:
    script.update(A, (1, "new", "1.00", 30))
    run(lake)
    assert published(lake, ALL)[0] == (1, "new", "1.00", 30)
    assert len(published(lake)) == 3


def test_a_run_without_news_publishes_nothing(lake: Lake) -> None:
    result = run(lake)
    assert (result.status, result.read, result.unchanged) == (TableStatus.UNCHANGED, 2, 2)


def test_a_bad_row_waits_once_however_often_it_is_read(lake: Lake, script: Script) -> None:
    script.insert((4, "bad", "-4.00", 40))
    for _ in range(3):
        run(lake)
    assert len(lake.quarantine.entries("s.rows")) == 1
    script.update((4, "bad", "-4.00", 40), (4, "good", "4.00", 41))
    run(lake)
    assert lake.quarantine.entries("s.rows") == ()


def test_a_table_without_a_key_has_its_window_replaced(tmp_path: Path) -> None:
    script = Script(keyed=False)
    script.insert(A, B, B, C)
    lake = lake_of(tmp_path, script, table=INCREMENTAL)
    run(lake)
    script.insert(B, (5, "e", "5.00", 50))
    script.delete(C)
    run(lake)
    assert published(lake, ALL) == sorted([A, B, B, B, (5, "e", "5.00", 50)], key=repr)


def test_a_bad_row_without_a_key_waits_once_however_often_it_is_read(tmp_path: Path) -> None:
    script = Script(keyed=False)
    script.insert(A, (4, "bad", "x", 40))
    lake = lake_of(tmp_path, script, table=INCREMENTAL)
    for _ in range(3):
        run(lake)
    assert len(lake.quarantine.entries("s.rows")) == 1


def test_the_plan_says_that_changes_are_merged(lake: Lake) -> None:
    (planned,) = lake.plan().tables
    assert planned.action == "merge"


def test_a_late_row_is_found_beside_the_history_of_others(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table=INCREMENTAL, promises="history: scd2")
    run(lake)
    script.update(A, (1, "a", "1.00", 30))
    assert run(lake).notes == ()
    script.insert((4, "late", "4.00", 5))
    run(lake)
    assert (4, "late", "4.00", 5) in published(lake, ALL)


def test_a_row_that_waits_below_the_window_goes_on_waiting(tmp_path: Path) -> None:
    script = Script(keyed=False)
    script.insert((1, "a", "-1.00", 1), (2, "b", "2.00", 5), (3, "c", "-3.00", 5))
    lake = lake_of(tmp_path, script, table="mode: incremental, cursor: at", promises="checks: [range: {column: amount, min: 0}]")
    assert lake.run().tables[0].quarantined == 2
    script.insert((4, "d", "4.00", 6))
    result = lake.run().tables[0]
    assert (result.error, result.notes) == (None, ())
    waiting = [entry.row["id"] for entry in lake.quarantine.entries("s.rows") if entry.row]
    assert sorted(waiting, key=str) == ["1", "3"]
    assert published(lake, "id") == [(2,), (4,)]


def test_a_table_whose_key_is_all_of_its_columns_is_told_apart_by_it(tmp_path: Path) -> None:
    source = tmp_path / "shop.db"
    declared = f"shop: {{type: database, url: 'sqlite:///{source}', tables: {{orders: {{mode: incremental, cursor: id}}}}}}"
    (tmp_path / "limnos.yml").write_text(f"version: 1\nproject: shop\nsources:\n  {declared}\n")
    lake = Lake(tmp_path)
    for statement in (
        "CREATE TABLE orders (id INTEGER PRIMARY KEY)",
        "INSERT INTO orders VALUES (1), (2)",
        "INSERT INTO orders VALUES (3)",
    ):
        with closing(sqlite3.connect(source)) as db, db:
            db.execute(statement)
        last = run(lake)
    assert (last.read, last.written, last.unchanged) == (2, 1, 1)
    assert lake.query("SELECT id FROM shop.orders ORDER BY id").to_arrow().column(0).to_pylist() == [1, 2, 3]
