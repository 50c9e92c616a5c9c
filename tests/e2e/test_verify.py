"""Verify: a lake compared with the PostgreSQL database that it was loaded from."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from services import Postgres

from limnos import Lake
from limnos.model.comparison import Comparison, Kind
from limnos.ports.compiled import PORTABLE
from limnos.quality.comparison_compiled import library

pytestmark = pytest.mark.e2e

Run = Callable[[str], None]
PROJECT = """\
version: 1
project: shop
sources:
  shop: {{type: postgres, url: "{url}"}}
tables:
  shop.orders:
    checks: [{{range: {{column: amount, min: 0}}}}]
"""
ORDERS = """
CREATE TABLE orders (id int8 PRIMARY KEY, customer text, amount numeric(12,2), day date, at timestamptz, weight float8, note text);
INSERT INTO orders SELECT n, 'customer ' || n % 7, n / 4.0, date '2026-01-01' + n % 300,
    timestamptz '2026-01-01 00:00:00+00' + n * interval '1.5 s',
    n / 3.0, CASE WHEN n % 5 = 0 THEN NULL ELSE repeat('é', n % 4) END
FROM generate_series(1, 5000) AS n
"""


@pytest.fixture
def database(postgres_server: Postgres) -> Generator[str]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        yield postgres_server.url(name)
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def run(database: str) -> Run:
    def run(sql: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(sql)

    return run


@pytest.fixture
def lake(tmp_path: Path, database: str, run: Run) -> Lake:
    run(ORDERS)
    (tmp_path / "limnos.yml").write_text(PROJECT.format(url=database))
    lake = Lake(tmp_path)
    assert lake.run().exit_code() == 0
    return lake


def _only(found: tuple[Comparison, ...]) -> Comparison:
    (one,) = found
    assert one.error is None, one.error
    return one


def test_a_lake_that_was_just_loaded_equals_its_source(lake: Lake) -> None:
    one = _only(lake.verify())
    assert (one.source_rows, one.lake_rows, one.differing, one.exit_code()) == (5000, 5000, 0, 0)
    assert one.columns == ("id", "customer", "amount", "day", "at", "weight", "note")
    assert one.pushed_down
    assert one.left_out == {}
    assert [(verdict.numerator, verdict.denominator) for verdict in one.verdicts] == [(5000, 5000), (5000, 5000)]


def test_each_kind_of_difference_is_found_down_to_keys_columns_and_values(lake: Lake, run: Run) -> None:
    run("DELETE FROM orders WHERE id IN (17, 4711)")
    run("INSERT INTO orders (id, amount) VALUES (6000, 1)")
    run("UPDATE orders SET amount = amount + 0.01, note = NULL WHERE id = 42")
    run("UPDATE orders SET weight = 0.1::float8 + 0.2::float8 WHERE id = 99")
    one = _only(lake.verify())
    assert (one.missing, one.extra, one.changed, one.exit_code()) == (1, 2, 2, 1)
    found = {(each.kind, each.key["id"]): each.values for each in one.differences}
    assert found == {
        (Kind.MISSING, "6000"): {},
        (Kind.EXTRA, "17"): {},
        (Kind.EXTRA, "4711"): {},
        (Kind.CHANGED, "42"): {"amount": ("10.51", "10.50"), "note": (None, "éé")},
        (Kind.CHANGED, "99"): {"weight": ("0.30000000000000004", "33.0")},
    }
    assert any("the source changed since" in note for note in one.notes)
    accuracy = next(verdict for verdict in one.verdicts if verdict.dimension == "accuracy")
    assert (accuracy.numerator, accuracy.denominator) == (4996, 5000)


def test_three_hundred_scattered_changes_are_found_exactly(lake: Lake, run: Run) -> None:
    run("UPDATE orders SET day = day + 1 WHERE id % 16 = 3 AND id < 4800")
    one = _only(lake.verify(limit=1000))
    changed = {int(str(each.key["id"])): list(each.values) for each in one.differences}
    assert changed == {number: ["day"] for number in range(3, 4800, 16)}
    assert (one.changed, one.differing) == (300, 300)


def test_counts_find_lost_rows_and_not_changed_ones(lake: Lake, run: Run) -> None:
    run("UPDATE orders SET note = 'new' WHERE id = 7")
    assert _only(lake.verify(columns=())).differing == 0
    run("DELETE FROM orders WHERE id = 8")
    run("INSERT INTO orders (id) VALUES (9001)")
    one = _only(lake.verify(columns=()))
    assert {(each.kind, each.key["id"]) for each in one.differences} == {(Kind.EXTRA, "8"), (Kind.MISSING, "9001")}
    assert [verdict.dimension for verdict in one.verdicts] == ["completeness"]


def test_without_compiled_code_the_same_is_found(lake: Lake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("UPDATE orders SET day = day + 1 WHERE id = 4711")
    compiled = _only(lake.verify())
    monkeypatch.setenv(PORTABLE, "1")
    library.cache_clear()
    try:
        portable = _only(lake.verify())
    finally:
        library.cache_clear()
    assert portable.differences == compiled.differences
    assert (portable.changed, portable.differing) == (1, 1)


def test_only_chosen_columns_are_compared(lake: Lake, run: Run) -> None:
    run("UPDATE orders SET note = 'new' WHERE id = 7")
    assert _only(lake.verify(columns=["amount", "day"])).differing == 0
    assert _only(lake.verify(columns=["amount", "note"])).changed == 1


def test_a_quarantined_row_is_not_missing_but_a_lost_one_is(lake: Lake, run: Run) -> None:
    run("INSERT INTO orders (id, amount) VALUES (7001, -1), (7002, -2)")
    lake.run()
    one = _only(lake.verify())
    assert (one.source_rows, one.lake_rows, one.quarantined, one.differing) == (5002, 5000, 2, 0)
    assert one.verdicts[0].denominator == 5000
    run("DELETE FROM orders WHERE id = 7001")
    run("INSERT INTO orders (id, amount) VALUES (7003, -3)")
    one = _only(lake.verify())
    assert [(each.kind, each.key) for each in one.differences] == [(Kind.MISSING, {"id": "7003"})]
    assert one.quarantined == 1


def test_a_table_without_a_key_is_compared_as_a_multiset(lake: Lake, run: Run) -> None:
    run("CREATE TABLE hits (at timestamp, path text); INSERT INTO hits SELECT '2026-01-01', 'a' FROM generate_series(1, 5)")
    lake.run("shop.hits")
    assert _only(lake.verify("shop.hits")).differing == 0
    run("INSERT INTO hits VALUES ('2026-01-01', 'a'), ('2026-01-01', 'a'), (NULL, 'b')")
    one = _only(lake.verify("shop.hits"))
    assert (one.missing, one.extra, one.changed) == (3, 0, 0)
    found = {tuple(source for source, _ in each.values.values()): each.rows for each in one.differences}
    assert found == {("2026-01-01 00:00:00", "a"): 2, (None, "b"): 1}


def test_a_composite_key_of_texts_with_any_characters_is_found(lake: Lake, run: Run) -> None:
    run("CREATE TABLE notes (author text, at date, body text, PRIMARY KEY (author, at))")
    run("INSERT INTO notes SELECT $$o'ne|$$ || n, date '2026-01-01' + n, 'x' FROM generate_series(1, 300) AS n")
    lake.run("shop.notes")
    run("UPDATE notes SET body = 'y' WHERE author = $$o'ne|7$$")
    one = _only(lake.verify("shop.notes"))
    assert [(each.key, each.values) for each in one.differences] == [({"author": "o'ne|7", "at": "2026-01-08"}, {"body": ("y", "x")})]


def test_a_column_of_another_type_is_left_out_and_said_so(lake: Lake, run: Run) -> None:
    run("ALTER TABLE orders ALTER customer TYPE bytea USING customer::bytea, ADD COLUMN extra int, DROP COLUMN note")
    one = _only(lake.verify())
    assert one.left_out == {
        "extra": "not in the lake yet",
        "customer": "binary at the source, string in the lake",
        "note": "not at the source",
    }
    assert one.columns == ("id", "amount", "day", "at", "weight")
    assert one.differing == 0


def test_damage_in_the_lake_is_told_from_a_change_at_the_source(lake: Lake, run: Run, tmp_path: Path) -> None:
    assert _only(lake.verify()).differing == 0
    (file,) = [path for path in (tmp_path / ".limnos/lake").rglob("*.parquet") if "orders" in str(path)]
    rows = pq.read_table(file)
    at = rows.schema.get_field_index("customer")
    damaged = pa.array(["damaged", *rows.column("customer").to_pylist()[1:]], rows.schema.field(at).type)
    pq.write_table(rows.set_column(at, rows.schema.field(at), damaged), file)
    one = _only(lake.verify())
    assert (one.changed, one.missing, one.extra) == (1, 0, 0)
    assert any("the source is as it was" in note for note in one.notes)


def test_a_run_compares_what_it_is_about_to_publish_with_the_source_it_read(lake: Lake, run: Run, tmp_path: Path) -> None:
    project = tmp_path / "limnos.yml"
    words = (
        "tables: {orders: {mode: incremental, cursor: id}}}\nverify:\n  shop.orders: {against: source, content: all, every: run}\ntables:"
    )
    project.write_text(project.read_text().replace("}\ntables:", f", {words}"))
    assert Lake(tmp_path).run().exit_code() == 0
    run("UPDATE orders SET note = 'unseen' WHERE id = 7; INSERT INTO orders VALUES (5001, 'new', 1, '2026-01-01', now(), 1, NULL)")
    (result,) = Lake(tmp_path).run().tables
    found = {verdict.rule: (verdict.numerator, verdict.denominator) for verdict in result.verdicts if verdict.rule.startswith("verify:")}
    assert found == {"verify:completeness": (5_001, 5_001), "verify:accuracy": (5_000, 5_001)}
    assert result.score is not None
    assert result.score < 1
    state = next(state for state in Lake(tmp_path).status() if state.table.name == "orders")
    assert state.compared is not None
    assert (state.compared.snapshot_id, state.compared.differing, state.score) == (result.snapshot_id, 1, result.score)
    ((run_id,),) = [row.values() for row in Lake(tmp_path).query("SELECT max(run_id) FROM system.comparisons WHERE changed = 1").rows()]
    assert run_id == Lake(tmp_path).history("shop.orders")[-1].snapshot.run_id


def _kept(directory: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(directory / ".limnos/state.db")) as state:
        return dict(state.execute("SELECT file, sums FROM limnos_file_sums").fetchall())


@pytest.fixture
def merging(lake: Lake, run: Run, tmp_path: Path) -> Lake:
    """The lake after a comparison, and a merge that added a file and deleted rows out of the first."""
    project = tmp_path / "limnos.yml"
    project.write_text(project.read_text().replace("}\ntables:", ", tables: {orders: {mode: incremental, cursor: at}}}\ntables:"))
    lake = Lake(tmp_path)
    lake.run()
    assert _only(lake.verify()).differing == 0
    run("UPDATE orders SET note = 'late', at = at + interval '1 year' WHERE id IN (17, 4711)")
    assert lake.run().exit_code() == 0
    return lake


def test_the_sums_of_a_file_are_computed_once_whatever_is_deleted_out_of_it(merging: Lake, run: Run, tmp_path: Path) -> None:
    (first,) = before = _kept(tmp_path)
    one = _only(merging.verify())
    assert (one.source_rows, one.lake_rows, one.differing) == (5000, 5000, 0)
    assert len(_kept(tmp_path)) == 2
    assert _kept(tmp_path)[first] == before[first]
    run("UPDATE orders SET note = 'later' WHERE id IN (17, 18)")
    assert {each.key["id"] for each in _only(merging.verify()).differences} == {"17", "18"}


def test_what_is_kept_of_a_file_is_used_and_forgotten_with_the_file(merging: Lake, run: Run, tmp_path: Path) -> None:
    (first,) = _kept(tmp_path)
    with closing(sqlite3.connect(tmp_path / ".limnos/state.db")) as state:
        empty = pa.schema({"bucket": pa.int64(), "n": pa.int64(), "total": pa.decimal128(38, 0)}).empty_table()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, empty.schema) as writer:
            writer.write_table(empty)
        state.execute("UPDATE limnos_file_sums SET sums = ?", [sink.getvalue().to_pybytes()])
        state.commit()
    assert _only(merging.verify()).lake_rows < 100
    run("ALTER TABLE orders ADD COLUMN added int")
    merging.run()
    assert _only(merging.verify()).differing == 0
    assert first not in _kept(tmp_path)


def test_rows_beside_the_values_that_the_lake_has_are_found(lake: Lake, run: Run) -> None:
    run("UPDATE orders SET note = 'new' WHERE id IN (5, 17, 4711)")
    run("INSERT INTO orders (id) VALUES (-4), (0), (5001), (9000000000)")
    one = _only(lake.verify())
    assert {int(str(each.key["id"])) for each in one.differences} == {5, 17, 4711, -4, 0, 5001, 9000000000}
