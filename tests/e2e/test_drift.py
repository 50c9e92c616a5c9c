"""What changes at the source or in the project between two runs: met as declared, told, and never silent."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limnos import Lake
from limnos.apps.cli.main import run
from limnos.model.run import TableResult, TableStatus

Rows = Sequence[Mapping[str, object]]
BEFORE: Rows = [{"id": 1, "name": "a", "n": 10}, {"id": 2, "name": "b", "n": 20}]
ADDED: Rows = [{**row, "extra": 100 + int(str(row["id"]))} for row in BEFORE]
DROPPED: Rows = [{"id": row["id"], "name": row["name"]} for row in BEFORE]
RENAMED: Rows = [{"id": row["id"], "name": row["name"], "nn": row["n"]} for row in BEFORE]
RETYPED: Rows = [{"id": 1, "name": "a", "n": "10"}, {"id": 2, "name": "b", "n": "twenty"}]
DECLARED = "columns: [{name: id, type: long}, {name: name, type: string}, {name: n, type: long}]"


def _sqlite(directory: Path, rows: Rows) -> None:
    (directory / "t.db").unlink(missing_ok=True)
    kinds = {name: "TEXT" if any(isinstance(row[name], str) for row in rows) else "INTEGER" for name in rows[0]}
    with closing(sqlite3.connect(directory / "t.db")) as db, db:
        db.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in kinds.items())})")
        db.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(kinds))})", [tuple(row.values()) for row in rows])


def _csv(directory: Path, rows: Rows) -> None:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    (directory / "t.csv").write_text("\n".join(lines) + "\n")


def _parquet(directory: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), directory / "t.parquet")


WRITE: Mapping[str, Callable[[Path, Rows], None]] = {"sqlite": _sqlite, "csv": _csv, "parquet": _parquet}
SOURCE = {
    "sqlite": "{type: sqlite, path: t.db, namespace: s, tables: {t: {}}}",
    "csv": "{type: files, namespace: s, tables: {t: {path: t.csv}}}",
    "parquet": "{type: files, namespace: s, tables: {t: {path: t.parquet}}}",
}


def declare(directory: Path, source: str, table: str = "") -> None:
    tables = f"tables:\n  s.t: {{{table}}}\n" if table else ""
    (directory / "limnos.yml").write_text(f"version: 1\nproject: p\nsources:\n  s: {source}\n{tables}")


def one(directory: Path) -> TableResult:
    (table,) = Lake(directory).run().tables
    assert table.closes or table.status in {TableStatus.HELD, TableStatus.FAILED}
    return table


def rows(directory: Path, sql: str = "SELECT * FROM s.t ORDER BY id", **options: Any) -> list[dict[str, Any]]:
    return Lake(directory).query(sql, **options).rows()


def typed(directory: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capfd.readouterr()
    code = run(["-C", str(directory), *arguments])
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    assert "a defect in Limnos" not in said.err
    return code, said.out, said.err


@pytest.fixture(params=["sqlite", "csv", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["declared", "undeclared"])
def contract(request: pytest.FixtureRequest) -> str:
    return DECLARED if request.param == "declared" else ""


def said(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def loaded(directory: Path, kind: str, table: str) -> None:
    WRITE[kind](directory, BEFORE)
    declare(directory, SOURCE[kind], table)
    assert one(directory).status is TableStatus.PUBLISHED
    assert rows(directory) == list(BEFORE)


def history_shows_the_old_shape(directory: Path) -> None:
    first = Lake(directory).history("s.t")[0].snapshot
    assert rows(directory, as_of=first.at + timedelta(microseconds=1)) == list(BEFORE)


def test_an_added_column_is_accepted_and_told(tmp_path: Path, kind: str, contract: str, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, kind, contract)
    WRITE[kind](tmp_path, ADDED)
    code, _, told = typed(tmp_path, capfd, "plan")
    assert code == 0
    code, _, told = typed(tmp_path, capfd, "run")
    assert code == 0
    assert "note       s.t  column extra is new: long" in told
    assert rows(tmp_path) == list(ADDED)
    assert rows(tmp_path, "SELECT id, n FROM s.t ORDER BY id") == [{"id": 1, "n": 10}, {"id": 2, "n": 20}]
    history_shows_the_old_shape(tmp_path)
    assert one(tmp_path).status is TableStatus.UNCHANGED


def test_an_added_column_that_is_not_accepted_stops_the_table(
    tmp_path: Path, kind: str, contract: str, capfd: pytest.CaptureFixture[str]
) -> None:
    table = said(contract, "drift: {add: block}")
    loaded(tmp_path, kind, table)
    WRITE[kind](tmp_path, ADDED)
    code, out, told = typed(tmp_path, capfd, "run")
    assert code == 1
    assert "nothing published" in out
    assert "seen     a column extra" in told
    assert rows(tmp_path) == list(BEFORE)
    WRITE[kind](tmp_path, BEFORE)
    assert one(tmp_path).status is TableStatus.UNCHANGED


PARTLY: Rows = [{"id": 1, "name": "a", "n": 10, "extra": None}, {"id": 2, "name": "b", "n": 20, "extra": 102}]


@pytest.mark.parametrize("source", ["sqlite", "parquet"])
def test_rows_with_a_value_in_an_added_column_wait_with_that_value(tmp_path: Path, source: str, contract: str) -> None:
    loaded(tmp_path, source, said(contract, "drift: {add: quarantine}"))
    WRITE[source](tmp_path, PARTLY)
    table = one(tmp_path)
    assert (table.status, table.read, table.written, table.quarantined) == (TableStatus.PUBLISHED, 2, 1, 1)
    assert "column extra is new and not accepted: rows with a value in it go to quarantine" in table.notes
    assert [(verdict.rule, verdict.failing) for verdict in table.verdicts if verdict.kind == "undeclared"] == [("undeclared:extra", 1)]
    assert rows(tmp_path) == [BEFORE[0]]
    (entry,) = Lake(tmp_path).quarantine.entries("s.t")
    assert entry.row == {"id": "2", "name": "b", "n": "20", "extra": "102"}
    assert [(reason.rule, reason.detail) for reason in entry.reasons] == [
        ("undeclared:extra", "'102' stands in a column that the contract does not have")
    ]
    assert one(tmp_path).status is TableStatus.UNCHANGED


def test_a_row_with_a_value_that_has_no_column_cannot_be_released_without_it(tmp_path: Path) -> None:
    loaded(tmp_path, "sqlite", "drift: {add: quarantine}")
    _sqlite(tmp_path, PARTLY)
    one(tmp_path)
    released = Lake(tmp_path).quarantine.release("s.t")
    assert (released.moved, released.kept) == (0, 1)
    declare(tmp_path, SOURCE["sqlite"], "drift: {add: accept}")
    assert one(tmp_path).quarantined == 0
    assert rows(tmp_path) == list(PARTLY)


def test_both_types_of_a_retyped_column_are_kept(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, kind, "drift: {columns: {n: {type: keep_both}}}")
    WRITE[kind](tmp_path, RETYPED)
    code, out, _ = typed(tmp_path, capfd, "plan")
    assert code == 0
    note = "column n is string at the source now: its values stand in n_as_string, and in n where they fit long"
    assert note in out
    table = one(tmp_path)
    assert (table.status, table.written, table.quarantined) == (TableStatus.PUBLISHED, 2, 0)
    assert note in table.notes
    kept = [
        {"id": 1, "name": "a", "n": 10, "n_as_string": "10"},
        {"id": 2, "name": "b", "n": None, "n_as_string": "twenty"},
    ]
    assert rows(tmp_path) == kept
    assert one(tmp_path).status is TableStatus.UNCHANGED
    history_shows_the_old_shape(tmp_path)
    WRITE[kind](tmp_path, BEFORE)
    assert one(tmp_path).status is TableStatus.PUBLISHED
    assert [{name: row[name] for name in ("id", "name", "n")} for row in rows(tmp_path)] == list(BEFORE)


def test_a_renamed_column_that_is_accepted_stays_the_same_column(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, kind, "drift: {rename: accept}")
    before = _field_id(tmp_path, "n")
    WRITE[kind](tmp_path, RENAMED)
    table = one(tmp_path)
    assert table.status is TableStatus.PUBLISHED
    assert table.notes == ("column n is called nn now: it has the same place and type",)
    assert rows(tmp_path) == list(RENAMED)
    assert _field_id(tmp_path, "nn") == before
    history_shows_the_old_shape(tmp_path)
    assert one(tmp_path).status is TableStatus.UNCHANGED


def test_a_renamed_column_keeps_the_history_of_its_rows(tmp_path: Path) -> None:
    _sqlite(tmp_path, BEFORE)
    declare(tmp_path, "{type: sqlite, path: t.db, namespace: s, tables: {t: {key: id}}}", "history: scd2, drift: {rename: accept}")
    assert one(tmp_path).status is TableStatus.PUBLISHED
    _sqlite(tmp_path, [RENAMED[0], {**RENAMED[1], "nn": 21}])
    assert one(tmp_path).status is TableStatus.PUBLISHED
    kept = rows(tmp_path, "SELECT id, nn, valid_to IS NULL AS current FROM s.t ORDER BY id, valid_from")
    assert [tuple(row.values()) for row in kept] == [(1, 10, True), (2, 20, False), (2, 21, True)]


def _field_id(directory: Path, column: str) -> str:
    lake = Lake(directory)
    catalog = lake._parts.catalog
    (snapshot,) = [one for name, one in catalog.pin().items() if str(name) == "s.t"]
    return str(catalog.relation(snapshot).schema.field(column).metadata[b"PARQUET:field_id"])


def test_a_dropped_column_stops_the_table(tmp_path: Path, kind: str, contract: str, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, kind, contract)
    WRITE[kind](tmp_path, DROPPED)
    code, _, told = typed(tmp_path, capfd, "run")
    assert code == 1
    assert "seen     no column n\n" in told
    assert "drift: {drop: accept}" in told
    assert rows(tmp_path) == list(BEFORE)


def test_a_dropped_column_that_is_accepted_stays_empty_and_is_told(
    tmp_path: Path, kind: str, contract: str, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded(tmp_path, kind, said(contract, "drift: {drop: accept}"))
    WRITE[kind](tmp_path, DROPPED)
    code, _, told = typed(tmp_path, capfd, "run")
    assert code == 0
    assert "note       s.t  column n is gone from the source and stays empty" in told
    assert rows(tmp_path) == [{"id": 1, "name": "a", "n": None}, {"id": 2, "name": "b", "n": None}]
    history_shows_the_old_shape(tmp_path)
    WRITE[kind](tmp_path, BEFORE)
    assert one(tmp_path).status is TableStatus.PUBLISHED
    assert rows(tmp_path) == list(BEFORE)


def test_a_renamed_column_is_recognised(tmp_path: Path, kind: str, contract: str, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, kind, contract)
    WRITE[kind](tmp_path, RENAMED)
    code, _, told = typed(tmp_path, capfd, "run")
    assert code == 1
    assert "seen     no column n (renamed to nn?)" in told
    code, out, _ = typed(tmp_path, capfd, "run", "--json")
    (table,) = json.loads(out)["tables"]
    assert (code, table["error"]["error"], table["read"]) == (1, "schema-drift", 0)
    assert rows(tmp_path) == list(BEFORE)


def test_a_retyped_column_keeps_its_type_and_what_does_not_fit_waits(tmp_path: Path, kind: str, contract: str) -> None:
    loaded(tmp_path, kind, contract)
    WRITE[kind](tmp_path, RETYPED)
    table = one(tmp_path)
    assert (table.status, table.written, table.quarantined) == (TableStatus.PUBLISHED, 1, 1)
    assert rows(tmp_path) == [{"id": 1, "name": "a", "n": 10}]
    (entry,) = Lake(tmp_path).quarantine.entries("s.t")
    assert entry.row is not None
    assert entry.row["n"] == "twenty"
    assert [reason.rule for reason in entry.reasons] == ["type:n"]


def test_a_retyped_column_that_is_accepted_is_replaced(tmp_path: Path, kind: str) -> None:
    loaded(tmp_path, kind, "drift: {type: accept}")
    WRITE[kind](tmp_path, RETYPED)
    table = one(tmp_path)
    assert (table.status, table.quarantined) == (TableStatus.PUBLISHED, 0)
    assert [row["n"] for row in rows(tmp_path)] == ["10", "twenty"]
    assert table.notes == ("column n changes its type from long to string",)
    history_shows_the_old_shape(tmp_path)


def test_a_retyped_column_that_blocks_stops_the_table(tmp_path: Path, kind: str, contract: str, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, kind, said(contract, "drift: {type: block}"))
    WRITE[kind](tmp_path, RETYPED)
    code, _, told = typed(tmp_path, capfd, "run")
    assert code == 1, told
    assert rows(tmp_path) == list(BEFORE)


def test_a_type_declared_wider_is_widened_in_place(tmp_path: Path, kind: str) -> None:
    narrow = DECLARED.replace("{name: n, type: long}", "{name: n, type: int}")
    loaded(tmp_path, kind, narrow)
    declare(tmp_path, SOURCE[kind], DECLARED)
    assert one(tmp_path).status is TableStatus.PUBLISHED
    assert Lake(tmp_path).query("SELECT n FROM s.t").schema.field("n").type == pa.int64()
    assert rows(tmp_path) == list(BEFORE)
    history_shows_the_old_shape(tmp_path)


def test_a_type_declared_anew_replaces_the_column(tmp_path: Path, kind: str) -> None:
    loaded(tmp_path, kind, DECLARED)
    declare(tmp_path, SOURCE[kind], DECLARED.replace("{name: n, type: long}", "{name: n, type: string}"))
    assert one(tmp_path).status is TableStatus.PUBLISHED
    assert [row["n"] for row in rows(tmp_path)] == ["10", "20"]
    history_shows_the_old_shape(tmp_path)
    declare(tmp_path, SOURCE[kind], DECLARED.replace("{name: n, type: long}", "{name: n, type: int}"))
    assert one(tmp_path).status is TableStatus.PUBLISHED
    assert [row["n"] for row in rows(tmp_path)] == [10, 20]


def test_a_rule_that_comes_or_goes_judges_an_unchanged_source_again(tmp_path: Path, kind: str) -> None:
    loaded(tmp_path, kind, DECLARED)
    declare(tmp_path, SOURCE[kind], DECLARED + ", checks: [{range: {column: n, max: 15}}]")
    table = one(tmp_path)
    assert (table.status, table.written, table.quarantined) == (TableStatus.PUBLISHED, 1, 1)
    assert rows(tmp_path) == [BEFORE[0]]
    assert one(tmp_path).status is TableStatus.UNCHANGED
    declare(tmp_path, SOURCE[kind], DECLARED)
    table = one(tmp_path)
    assert (table.status, table.written, table.quarantined) == (TableStatus.PUBLISHED, 2, 0)
    assert rows(tmp_path) == list(BEFORE)
    assert Lake(tmp_path).quarantine.counts() == ()


def test_a_severity_that_changes_judges_an_unchanged_source_again(tmp_path: Path) -> None:
    rule = ", checks: [{range: {column: n, max: 15, severity: %s}}]"
    loaded(tmp_path, "csv", DECLARED + rule % "warn")
    declare(tmp_path, SOURCE["csv"], DECLARED + rule % "block")
    table = one(tmp_path)
    assert (table.status, table.read, table.written, table.quarantined) == (TableStatus.HELD, 2, 0, 0)
    assert rows(tmp_path) == list(BEFORE)
    assert one(tmp_path).status is TableStatus.HELD
    declare(tmp_path, SOURCE["csv"], DECLARED + rule % "quarantine")
    assert one(tmp_path).quarantined == 1


def test_a_partition_that_changes_splits_the_files_anew_and_keeps_the_rows(tmp_path: Path, kind: str) -> None:
    loaded(tmp_path, kind, DECLARED)
    for partition in ("id", "truncate(1, name)"):
        declare(tmp_path, SOURCE[kind], f'{DECLARED}, partition: "{partition}"')
        assert one(tmp_path).status is TableStatus.PUBLISHED
        assert rows(tmp_path) == list(BEFORE)
    declare(tmp_path, SOURCE[kind], DECLARED)
    assert one(tmp_path).status is TableStatus.PUBLISHED
    assert rows(tmp_path) == list(BEFORE)
    history_shows_the_old_shape(tmp_path)


FAMILY = """
version: 1
project: p
sources:
  parent: {type: files, namespace: f, tables: {parent: {path: parent.csv}}}
  child: {type: files, namespace: f, tables: {child: {path: child.csv}}}
tables:
  f.parent:
    columns: [{name: id, type: long}, {name: n, type: long}]
    checks: [{range: {column: n, min: 0, severity: block}}]
  f.child:
    columns: [{name: id, type: long}, {name: parent, type: long}]
    checks: [{foreign_key: {column: parent, references: f.parent.id}}]
"""


def family(directory: Path, parents: str) -> dict[str, TableResult]:
    (directory / "parent.csv").write_text("id,n\n" + parents)
    return {table.table.name: table for table in Lake(directory).run().tables}


@pytest.fixture
def related(tmp_path: Path) -> Path:
    (tmp_path / "limnos.yml").write_text(FAMILY)
    (tmp_path / "child.csv").write_text("id,parent\n1,1\n2,2\n3,9\n4,\n")
    first = family(tmp_path, "1,1\n2,2\n")
    assert (first["child"].written, first["child"].quarantined) == (3, 1)
    return tmp_path


def children(directory: Path) -> list[int]:
    return [row["id"] for row in rows(directory, "SELECT id FROM f.child ORDER BY id")]


def test_a_parent_that_changes_judges_its_unchanged_children_again(related: Path) -> None:
    again = family(related, "2,2\n9,9\n")
    assert (again["child"].written, again["child"].quarantined) == (3, 1)
    assert children(related) == [2, 3, 4]
    (entry,) = Lake(related).quarantine.entries("f.child")
    assert entry.row == {"id": "1", "parent": "1"}


def test_a_parent_that_changes_without_its_children_is_met_in_the_next_run(related: Path) -> None:
    (related / "parent.csv").write_text("id,n\n9,9\n")
    Lake(related).run("f.parent")
    assert children(related) == [1, 2, 4]
    Lake(related).run("f.child")
    assert children(related) == [3, 4]


def test_a_child_of_a_held_parent_is_judged_against_the_published_one(related: Path) -> None:
    (related / "child.csv").write_text("id,parent\n1,1\n3,9\n5,2\n")
    again = family(related, "1,1\n9,-9\n")
    assert again["parent"].status is TableStatus.HELD
    assert (again["child"].status, again["child"].written, again["child"].quarantined) == (TableStatus.PUBLISHED, 2, 1)
    assert children(related) == [1, 5]
    assert [row["id"] for row in rows(related, "SELECT id FROM f.parent ORDER BY id")] == [1, 2]


def test_a_child_of_a_parent_that_was_never_published_is_not_passed_in_silence(tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(FAMILY)
    (tmp_path / "child.csv").write_text("id,parent\n1,1\n")
    first = family(tmp_path, "1,-1\n")
    assert first["parent"].status is TableStatus.HELD
    assert first["child"].status is TableStatus.HELD
    (verdict,) = [verdict for verdict in first["child"].verdicts if verdict.kind == "foreign_key"]
    assert str(verdict.outcome) == "error"
    assert "f.parent has no version" in verdict.detail


def test_a_reference_into_the_table_itself_takes_the_children_of_a_bad_row_with_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db")) as db, db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES t(id), n INTEGER)")
        db.executemany("INSERT INTO t VALUES (?,?,?)", [(1, None, 1), (2, 1, -1), (3, 2, 1), (4, 3, 1), (5, 1, 1), (6, 6, 1)])
    declare(tmp_path, SOURCE["sqlite"], "checks: [{range: {column: n, min: 0}}]")
    table = one(tmp_path)
    assert (table.written, table.quarantined) == (3, 3)
    assert [row["id"] for row in rows(tmp_path)] == [1, 5, 6]
    entries = Lake(tmp_path).quarantine.entries("s.t")
    assert {str(entry.row["id"]): [reason.rule for reason in entry.reasons] for entry in entries if entry.row} == {
        "2": ["range:n"],
        "3": ["foreign_key:boss"],
        "4": ["foreign_key:boss"],
    }


def test_tables_that_refer_to_each_other_only_warn_and_settle(tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(
        "version: 1\nproject: p\nsources:\n"
        "  a: {type: files, namespace: f, tables: {a: {path: a.csv}}}\n  b: {type: files, namespace: f, tables: {b: {path: b.csv}}}\n"
        "tables:\n"
        "  f.a:\n    columns: [{name: id, type: long}, {name: b, type: long}]\n"
        "    checks: [{foreign_key: {column: b, references: f.b.id, severity: warn}}]\n"
        "  f.b:\n    columns: [{name: id, type: long}, {name: a, type: long}]\n"
        "    checks: [{foreign_key: {column: a, references: f.a.id, severity: warn}}]\n"
    )
    (tmp_path / "a.csv").write_text("id,b\n1,1\n2,9\n")
    (tmp_path / "b.csv").write_text("id,a\n1,1\n2,9\n")
    for _ in range(2):
        result = Lake(tmp_path).run()
        assert result.exit_code() == 0
        assert all(table.closes for table in result.tables)
    assert rows(tmp_path, "SELECT count(*) AS n FROM f.a JOIN f.b ON a.id = b.id") == [{"n": 2}]
    (third, fourth) = Lake(tmp_path).run().tables
    assert (third.status, fourth.status) == (TableStatus.UNCHANGED, TableStatus.UNCHANGED)
    found = {
        str(table.table): verdict.failing for table in Lake(tmp_path).check() for verdict in table.verdicts if verdict.kind == "foreign_key"
    }
    assert found == {"f.a": 1, "f.b": 1}


def test_a_cycle_that_quarantines_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "limnos.yml").write_text(
        "version: 1\nproject: p\nsources:\n  a: {type: files, namespace: f, tables: {a: {path: a.csv}, b: {path: b.csv}}}\ntables:\n"
        "  f.a: {checks: [{foreign_key: {column: b, references: f.b.id}}]}\n"
        "  f.b: {checks: [{foreign_key: {column: a, references: f.a.id}}]}\n"
    )
    code, _, told = typed(tmp_path, capfd, "plan")
    assert code == 2
    assert "f.a" in told
    assert "f.b" in told


def test_a_declared_column_that_was_never_there_is_told_with_the_nearest(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    WRITE[kind](tmp_path, BEFORE)
    declare(tmp_path, SOURCE[kind], "columns: [{name: nam, type: string}]")
    for verb in ("plan", "run"):
        code, _, told = typed(tmp_path, capfd, verb)
        assert code == 1
        assert "seen     no column nam (renamed to name?)" in told


def test_a_table_of_which_no_row_fits_is_published_empty_and_every_row_waits(tmp_path: Path, kind: str) -> None:
    WRITE[kind](tmp_path, [{"id": "x", "name": "a", "n": "y"}, {"id": "z", "name": "b", "n": "1"}])
    declare(tmp_path, SOURCE[kind], DECLARED)
    table = one(tmp_path)
    assert (table.status, table.read, table.written, table.quarantined) == (TableStatus.PUBLISHED, 2, 0, 2)
    assert rows(tmp_path) == []
    assert len(Lake(tmp_path).quarantine.entries("s.t")) == 2


def test_a_source_type_that_is_not_known_stops_plan_and_run_alike(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    declare(tmp_path, "{type: sqlit, path: t.db, tables: {t: {}}}")
    for verb in ("plan", "run"):
        code, _, told = typed(tmp_path, capfd, verb)
        assert code == 2
        assert "expected sqlite (did you mean this?)" in told
    code, out, _ = typed(tmp_path, capfd, "plan", "--json")
    assert (code, json.loads(out)["exit_code"]) == (2, 2)


@pytest.mark.parametrize("mode", ["mode: incremental, cursor: id", "mode: cdc"])
def test_a_source_that_cannot_be_read_in_a_mode_stops_plan_and_run_and_says_which_it_has(
    tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _csv(tmp_path, BEFORE)
    declare(tmp_path, f"{{type: files, namespace: s, tables: {{t: {{path: t.csv, {mode}}}}}}}")
    for verb in ("plan", "run"):
        code, _, told = typed(tmp_path, capfd, verb)
        assert code == 2
        assert "at       limnos.yml:4" in told
        assert "expected mode: full\n" in told
