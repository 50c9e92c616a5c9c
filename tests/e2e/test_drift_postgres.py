"""Columns that change at PostgreSQL, which tells each one from the others whatever its name: known, not guessed, in every mode."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from services import Postgres

from limnos import Lake
from limnos.model.run import TableResult, TableStatus

pytestmark = pytest.mark.e2e

Run = Callable[[str], None]


@pytest.fixture
def sql(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Generator[Run]:
    name = f"d{uuid.uuid4().hex[:16]}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("S_DSN", postgres_server.url(name))
        with psycopg.connect(postgres_server.url(name), autocommit=True) as connection:
            connection.execute("CREATE TABLE t (id int PRIMARY KEY, a text, n int, at timestamp)")
            connection.execute("INSERT INTO t VALUES (1, 'one', 10, '2024-01-01'), (2, 'two', 20, '2024-01-02')")
            yield lambda text: connection.execute(text.encode()) and None
        owner.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [name])
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["full", "incremental, cursor: at", "cdc"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def declare(directory: Path, mode: str, drift: str = "{}") -> None:
    (directory / "limnos.yml").write_text(
        f"version: 1\nproject: p\nsources:\n  s: {{type: postgres, url: secret://S_DSN, tables: {{t: {{mode: {mode}, key: id}}}}}}\n"
        f"tables: {{s.t: {{drift: {drift}}}}}\n"
    )


def one(directory: Path) -> TableResult:
    (table,) = Lake(directory).run().tables
    return table


def rows(directory: Path, columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in Lake(directory).query(f"SELECT {columns} FROM s.t ORDER BY id").rows()]


def equal(directory: Path) -> None:
    (found,) = Lake(directory).verify()
    assert found.exit_code() == 0, found.differences


def field_id(directory: Path, column: str) -> str:
    catalog = Lake(directory)._parts.catalog
    (snapshot,) = [one for name, one in catalog.pin().items() if str(name) == "s.t"]
    return str(catalog.relation(snapshot).schema.field(column).metadata[b"PARQUET:field_id"])


def test_a_rename_is_known_wherever_the_column_stands(tmp_path: Path, sql: Run, mode: str) -> None:
    declare(tmp_path, mode, "{rename: accept}")
    assert one(tmp_path).status is TableStatus.PUBLISHED
    before = field_id(tmp_path, "n")
    sql("ALTER TABLE t RENAME n TO amount; ALTER TABLE t ADD first int; UPDATE t SET first = id")
    table = one(tmp_path)
    assert "column n is called amount now: it is the same column" in table.notes
    assert field_id(tmp_path, "amount") == before
    assert rows(tmp_path, "id, amount, first") == [(1, 10, 1), (2, 20, 2)]
    equal(tmp_path)


def test_a_rename_and_a_new_column_of_the_old_name_in_one_migration(tmp_path: Path, sql: Run, mode: str) -> None:
    declare(tmp_path, mode, "{rename: accept}")
    assert one(tmp_path).status is TableStatus.PUBLISHED
    before = field_id(tmp_path, "n")
    sql("BEGIN; ALTER TABLE t RENAME n TO old_n; ALTER TABLE t ADD n text DEFAULT 'new'; COMMIT")
    table = one(tmp_path)
    assert table.notes[:2] == ("column n is called old_n now: it is the same column", "column n is new: string")
    assert field_id(tmp_path, "old_n") == before != field_id(tmp_path, "n")
    assert rows(tmp_path, "id, old_n, n") == [(1, 10, "new"), (2, 20, "new")]
    equal(tmp_path)
    assert one(tmp_path).notes == ()


def test_a_column_that_is_dropped_and_another_of_its_type_are_no_rename(tmp_path: Path, sql: Run, mode: str) -> None:
    declare(tmp_path, mode, "{rename: accept, drop: accept}")
    assert one(tmp_path).status is TableStatus.PUBLISHED
    before = field_id(tmp_path, "at" if mode == "full" else "n")
    sql("ALTER TABLE t DROP n; ALTER TABLE t ADD m int DEFAULT 5")
    table = one(tmp_path)
    assert {"column n is gone from the source and stays empty", "column m is new: int"} <= set(table.notes)
    assert field_id(tmp_path, "m") != before
    assert rows(tmp_path, "id, n, m") == [(1, None, 5), (2, None, 5)]
    equal(tmp_path)


def test_a_column_made_anew_under_its_name_has_every_row_read_anew(tmp_path: Path, sql: Run, mode: str) -> None:
    declare(tmp_path, mode)
    assert one(tmp_path).status is TableStatus.PUBLISHED
    sql("ALTER TABLE t DROP n; ALTER TABLE t ADD n int DEFAULT 7")
    assert "column n is another one now, and every row is read anew: what had this name was dropped" in one(tmp_path).notes
    assert rows(tmp_path, "id, n") == [(1, 7), (2, 7)]
    equal(tmp_path)
    assert one(tmp_path).notes == ()


def test_columns_that_change_their_names_with_each_other_have_every_row_read_anew(tmp_path: Path, sql: Run, mode: str) -> None:
    sql("ALTER TABLE t ADD b text; UPDATE t SET b = a || '!'")
    declare(tmp_path, mode)
    assert one(tmp_path).status is TableStatus.PUBLISHED
    sql("BEGIN; ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b; COMMIT")
    assert "column a is another one now, and every row is read anew: what had this name is called b now" in one(tmp_path).notes
    assert rows(tmp_path, "id, a, b") == [(1, "one!", "one"), (2, "two!", "two")]
    equal(tmp_path)


def test_a_rename_that_nobody_accepted_is_named_and_not_asked(tmp_path: Path, sql: Run) -> None:
    declare(tmp_path, "cdc")
    assert one(tmp_path).status is TableStatus.PUBLISHED
    sql("ALTER TABLE t RENAME n TO amount")
    table = one(tmp_path)
    assert table.error is not None
    assert (table.error["error"], table.error["seen"]) == ("schema-drift", "no column n (renamed to amount)")
    declare(tmp_path, "cdc", "{rename: block}")
    table = one(tmp_path)
    assert table.error is not None
    assert (table.error["what"], table.error["seen"]) == ("A column of s.t has another name at the source", "amount, the same column")


@pytest.mark.parametrize(
    ("policy", "kind", "found"),
    [("quarantine", "int", [(1, 10), (2, 20)]), ("accept", "string", [(1, "10"), (2, "20")]), ("keep_both", "int", [(1, 10), (2, 20)])],
)
def test_a_rename_with_another_type_follows_the_policy_on_types(tmp_path: Path, sql: Run, policy: str, kind: str, found: list[Any]) -> None:
    declare(tmp_path, "cdc", f"{{rename: accept, type: {policy}}}")
    assert one(tmp_path).status is TableStatus.PUBLISHED
    sql("ALTER TABLE t RENAME n TO amount; ALTER TABLE t ALTER amount TYPE text")
    table = one(tmp_path)
    assert "column n is called amount now: it is the same column" in table.notes
    assert ("column amount changes its type from int to string" in table.notes) is (kind == "string")
    assert rows(tmp_path, "id, amount") == found


def test_a_table_made_anew_has_no_renamed_columns(tmp_path: Path, sql: Run) -> None:
    declare(tmp_path, "cdc")
    assert one(tmp_path).status is TableStatus.PUBLISHED
    sql("DROP TABLE t; CREATE TABLE t (at timestamp, n int, id int PRIMARY KEY, a text); INSERT INTO t VALUES ('2020-01-01', 1, 1, 'x')")
    table = one(tmp_path)
    assert (table.status, [note for note in table.notes if note.startswith("column")]) == (TableStatus.PUBLISHED, [])
    assert rows(tmp_path, "id, a, n") == [(1, "x", 1)]
    equal(tmp_path)
