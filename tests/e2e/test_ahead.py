"""Tables of sources with `max_snapshot_age` are read under short snapshots, and published at one point in time all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.crash import world
from tests.e2e.services import Postgres

from limnos import Lake
from limnos.ledger.events import AHEAD
from limnos.model.run import RunResult, Step, TableStatus
from limnos.sources.postgres import transfer

pytestmark = pytest.mark.e2e

BLOCKS, ROWS, CHUNKS = 8, 6_000, 10
TABLE = f"""
CREATE TABLE big AS SELECT n::int AS id, 100 AS size, (CASE WHEN n = 77 THEN 'NaN' ELSE n / 4.0 END)::numeric(12,2) AS amount,
    repeat('x', 60) AS pad FROM generate_series(1, {ROWS}) n;
ALTER TABLE big ADD PRIMARY KEY (id);
CREATE TABLE small AS SELECT 1 AS id, 0 AS taken
"""
PROJECT = """
version: 1
project: shop
sources:
  db:
    type: postgres
    url: secret://AHEAD_DSN
    namespace: shop
    protect: {{max_snapshot_age: 2s, connections: {connections}}}
    tables: {{big: {{mode: {mode}}}, small: {{}}}}
"""
VICTIM = """
import os, signal, sys
from limnos import Lake
from limnos.sources.postgres import transfer

transfer.AHEAD_BLOCKS = int(sys.argv[1])
def observe(step):
    if step.name == "table.chunk" and step.done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Lake(".", observer=observe).run()
"""


@dataclass
class Shop:
    """A project over a database of its own; `act` is called after each chunk that was read ahead."""

    home: Path
    url: str

    def declare(self, *, mode: str = "full", connections: int = 1) -> None:
        (self.home / "limnos.yml").write_text(PROJECT.format(mode=mode, connections=connections))

    def run(self, act: Callable[[Step], object] = lambda _: None) -> RunResult:
        ahead = True

        def observe(step: Step) -> None:
            nonlocal ahead
            ahead = ahead and step.name != "run.start"
            if ahead and step.name == "table.chunk":
                act(step)

        return Lake(self.home, observer=observe).run()

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as writer:
            for statement in sql.split(";"):
                writer.execute(statement.encode())

    def rows(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as reader:
            return reader.execute("SELECT id, size, amount::text FROM big WHERE amount <> 'NaN' ORDER BY id").fetchall()

    def published(self) -> list[tuple[Any, ...]]:
        rows = Lake(self.home).query("SELECT id, size, amount::VARCHAR AS amount FROM shop.big ORDER BY id").rows()
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def shop(postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Shop]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        made = Shop(tmp_path, postgres_server.url(name))
        made.execute(TABLE)
        made.declare()
        monkeypatch.setenv("AHEAD_DSN", made.url)
        monkeypatch.setattr(transfer, "AHEAD_BLOCKS", BLOCKS)
        yield made
        owner.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'")
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("mode", ["full", "cdc"])
def test_between_two_chunks_no_snapshot_is_held(shop: Shop, mode: str) -> None:
    shop.declare(mode=mode)
    held: list[object] = []

    def look(_: Step) -> None:
        with psycopg.connect(shop.url, autocommit=True) as watch:
            held.extend(
                watch.execute(
                    "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'limnos' "
                    "AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL)"
                ).fetchall()
            )

    big, small = sorted(shop.run(look).tables, key=lambda one: one.table.name)
    assert held == []
    assert big.notes[-1] == f"{CHUNKS} of {CHUNKS} chunks were read ahead of the snapshot"
    assert (big.read, big.written, big.quarantined) == (ROWS, ROWS - 1, 1)
    assert small.written == 1
    assert shop.published() == shop.rows()
    assert world.strays(shop.home) == set()


def test_what_changes_after_it_was_read_ahead_is_read_again_at_one_point_in_time(shop: Shop) -> None:
    """Each change takes from a row of `big` and gives to `small`, and some rows come and go: both tables are of one instant."""
    taken = 0

    def change(step: Step) -> None:
        nonlocal taken
        taken += 1
        shop.execute(
            f"BEGIN; UPDATE big SET size = size - 1 WHERE id = {ROWS - 9 if step.done == step.total else step.done}; "
            f"UPDATE small SET taken = taken + 1; DELETE FROM big WHERE id = {100 + taken}; "
            f"INSERT INTO big VALUES ({10_000 + taken}, 0, 1, 'new'); COMMIT"
        )

    result = shop.run(change)
    assert shop.published() == shop.rows()
    lake = Lake(shop.home)
    (sums,) = lake.query(
        "SELECT sum(100 - size)::INT AS gone, (SELECT taken FROM shop.small) AS taken FROM shop.big WHERE id <= 6000"
    ).rows()
    assert sums["gone"] == sums["taken"] == taken
    (note,) = next(one.notes for one in result.tables if one.table.name == "big")
    assert 0 < int(note.split()[0]) < int(note.split()[2])
    (event,) = lake._parts.ledger.events(action=AHEAD)
    assert event.payload["chunks"]["shop.big"] >= CHUNKS
    assert world.strays(shop.home) == set()


def test_a_table_that_is_as_it_was_published_is_not_read_ahead(shop: Shop) -> None:
    shop.run()
    chunks: list[Step] = []
    assert {one.status for one in shop.run(chunks.append).tables} == {TableStatus.UNCHANGED}
    assert chunks == []
    with (shop.home / "limnos.yml").open("a") as project:
        project.write("tables: {shop.big: {checks: [{range: {column: size, min: 0}}]}}\n")
    assert TableStatus.PUBLISHED in {one.status for one in shop.run(chunks.append).tables}
    assert sum(step.table is not None and step.table.name == "big" for step in chunks) == CHUNKS


def test_a_table_whose_columns_change_meanwhile_is_refused_and_read_by_the_next_run(shop: Shop) -> None:
    result = shop.run(lambda step: shop.execute("ALTER TABLE big ADD COLUMN more int DEFAULT 3") if step.done == 2 else None)
    big, small = sorted(result.tables, key=lambda one: one.table.name)
    assert big.status is TableStatus.FAILED
    assert big.error is not None
    assert big.error["seen"] == "another form than when its reading began"
    assert small.status is TableStatus.PUBLISHED
    assert {one.status for one in shop.run().tables} == {TableStatus.PUBLISHED, TableStatus.UNCHANGED}
    assert Lake(shop.home).query("SELECT DISTINCT more FROM shop.big").rows() == [{"more": 3}]
    assert world.strays(shop.home) == set()


def test_a_kill_while_reading_ahead_loses_no_chunk(shop: Shop) -> None:
    ended = subprocess.run([sys.executable, "-c", VICTIM, str(BLOCKS)], cwd=shop.home, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    chunks: list[Step] = []
    shop.run(chunks.append)
    assert sum(step.table is not None and step.table.name == "big" for step in chunks) == CHUNKS - 3
    assert shop.published() == shop.rows()
    assert world.strays(shop.home) == set()
    assert not Lake(shop.home)._parts.ledger.open_runs()


def test_a_source_that_cannot_read_ahead_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "limnos.yml").write_text(
        "version: 1\nproject: p\nsources:\n"
        "  f: {type: files, path: '*.csv', format: csv, protect: {max_snapshot_age: 1s}, tables: {a: {}}}\n"
    )
    (table,) = Lake(tmp_path).plan().tables
    assert table.error is not None
    assert table.error["what"] == "A source of type files is read under one snapshot"
