"""A load that was killed goes on from the chunks that it had read, wherever their rows are still the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from services import Postgres

from limnos import Lake
from limnos.model.run import RunResult, Step
from limnos.sources.postgres import transfer
from tests.crash import world

pytestmark = pytest.mark.e2e

ROWS, CHUNK_BLOCKS = 9_000, 16
# Dates and amounts that no type of the lake holds, some in each chunk, and sizes that break a rule.
TABLE = f"""
CREATE TABLE big AS SELECT n::int AS id, n %% 500 AS size,
    (CASE WHEN n %% 1111 = 5 THEN 'NaN' ELSE n / 4.0 END)::numeric(12,2) AS amount, repeat('x', 60) AS pad,
    CASE WHEN n %% 700 = 1 THEN 'infinity'::date ELSE date '2024-01-01' + n %% 365 END AS day FROM generate_series(1, {ROWS}) n;
ALTER TABLE big ADD PRIMARY KEY (id)
""".replace("%%", "%")
PROJECT = """
version: 1
project: shop
sources:
  db: {{type: postgres, url: secret://SHOP_DSN, namespace: shop, tables: {{big: {{mode: {mode}}}}}}}
tables:
  shop.big:
    checks: [{{range: {{column: size, min: 0, max: {most}}}}}]
"""
VICTIM = """
import os, signal, sys
from limnos import Lake
from limnos.sources.postgres import transfer

transfer.CHUNK_BLOCKS = int(sys.argv[1])
def observe(step):
    print(step.name, flush=True)
    if step.name == sys.argv[2] and step.done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
Lake(".", observer=observe).run()
"""


@dataclass
class Shop:
    """A project over a table of its own."""

    home: Path
    url: str
    steps: list[Step] = field(default_factory=list)

    def declare(self, mode: str = "full", most: int = 490) -> None:
        (self.home / "limnos.yml").write_text(PROJECT.format(mode=mode, most=most))

    def perish(self, step: str, done: int = 0) -> list[str]:
        """Run in a process of its own that dies at a step; gives the steps it passed."""
        command = [sys.executable, "-c", VICTIM, str(CHUNK_BLOCKS), step, str(done)]
        ended = subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        return ended.stdout.split()

    def run(self) -> RunResult:
        self.steps.clear()
        return Lake(self.home, observer=self.steps.append).run()

    def read(self) -> int:
        """Say how many chunks the last run read."""
        return sum(step.name == "table.chunk" for step in self.steps)

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as writer:
            for statement in sql.split(";"):
                writer.execute(statement.encode())

    def verify(self) -> None:
        """Compare the lake with the source, row by row, and see that each row that is not published waits once."""
        lake = Lake(self.home)
        with psycopg.connect(self.url) as reader:
            wanted = reader.execute("SELECT id, size, amount::text, day::text FROM big ORDER BY id").fetchall()
        good = [row for row in wanted if 0 <= row[1] <= 490 and row[2] != "NaN" and row[3] != "infinity"]
        rows = lake.query("SELECT id, size, amount::VARCHAR AS amount, day::VARCHAR AS day FROM shop.big ORDER BY id").rows()
        assert [tuple(row.values()) for row in rows] == good
        waiting = lake.query("SELECT CAST(json_extract(row, '$.id') AS INT) AS id FROM system.quarantine WHERE status = 'open'").rows()
        assert sorted(row["id"] for row in waiting) == sorted({row[0] for row in wanted} - {row[0] for row in good})
        assert world.strays(self.home) == set()
        assert not lake._parts.ledger.open_runs()

    def remembered(self) -> Sequence[Any]:
        from limnos.tables import chunks

        return chunks.find(Lake(self.home)._parts.state.engine)


@pytest.fixture
def shop(postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Shop]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        made = Shop(tmp_path, postgres_server.url(name))
        made.execute(TABLE)
        made.declare()
        monkeypatch.setenv("SHOP_DSN", made.url)
        monkeypatch.setattr(transfer, "CHUNK_BLOCKS", CHUNK_BLOCKS)
        yield made
        owner.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'")
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


# All rows stand where others of the same transaction stood: place and version tell nothing.
MOVED = "CREATE INDEX backwards ON big ((-id)); CLUSTER big USING backwards"
CHUNKS = 8
POINTS = [("table.chunk", 5), ("table.rewritten", 0), ("table.staged", 0)]


@pytest.mark.parametrize(("step", "done"), POINTS, ids=[f"{step} {done}" for step, done in POINTS])
def test_a_killed_load_reads_only_what_is_missing(shop: Shop, step: str, done: int) -> None:
    shop.perish(step, done)
    before = _sent(shop)
    result = shop.run()
    there = done or CHUNKS
    assert shop.read() == CHUNKS - there
    assert result.tables[0].notes == (f"{there} of {CHUNKS} chunks were read before the interruption",)
    assert result.tables[0].read == ROWS
    shop.verify()
    assert shop.remembered() == []
    # The server passes over all rows once to tell which are as they were, and over what is read.
    assert _sent(shop) - before <= ROWS + ROWS * (CHUNKS - there + 1) // CHUNKS


def _sent(shop: Shop) -> int:
    """Say how many rows the server passed over in its scans; what a connection did is known a moment after its end."""
    with psycopg.connect(shop.url, autocommit=True) as reader:
        while reader.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone() != (1,):
            time.sleep(0.05)
        row = reader.execute("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'big'").fetchone()
    assert row is not None
    return int(row[0])


def test_a_load_that_is_not_disturbed_reads_every_chunk_and_remembers_none(shop: Shop) -> None:
    assert shop.run().tables[0].notes == ()
    assert shop.read() == CHUNKS
    shop.verify()
    assert shop.remembered() == []


def test_a_load_may_be_killed_again_and_again(shop: Shop) -> None:
    for done in (2, 6):
        shop.perish("table.chunk", done)
    assert len(shop.remembered()) == 6
    shop.run()
    assert shop.read() == CHUNKS - 6
    shop.verify()


def test_what_was_published_is_not_taken_back_when_the_run_dies_right_after(shop: Shop) -> None:
    shop.perish("table.chunk", 3)
    shop.perish("run.published")
    assert shop.run().tables[0].status == "unchanged"
    shop.verify()


@pytest.mark.parametrize("mode", ["full", "cdc"])
def test_chunks_whose_rows_changed_meanwhile_are_read_again(shop: Shop, mode: str) -> None:
    shop.declare(mode)
    shop.perish("table.chunk", 6)
    shop.execute("UPDATE big SET pad = 'y' WHERE id = 3; DELETE FROM big WHERE id = 1500")
    shop.execute("INSERT INTO big VALUES (99999, 1, 2, 'z', '2024-02-02')")
    result = shop.run()
    # The first chunk lost the old version of a row, another one a row; the new versions came to the last one, which had not been read.
    assert result.tables[0].notes == (f"4 of {CHUNKS} chunks were read before the interruption",)
    assert shop.read() == CHUNKS - 4
    shop.verify()
    shop.execute("UPDATE big SET size = 7 WHERE id % 1000 = 3; DELETE FROM big WHERE id = 99999")
    shop.run()
    shop.verify()


def test_a_table_whose_rows_were_moved_is_read_anew(shop: Shop) -> None:
    shop.perish("table.chunk", 6)
    shop.execute(MOVED)
    assert shop.run().tables[0].notes == ()
    shop.verify()


def test_other_rules_or_columns_make_the_chunks_useless(shop: Shop) -> None:
    shop.perish("table.chunk", 6)
    shop.execute("ALTER TABLE big ALTER COLUMN size TYPE bigint")
    assert shop.run().tables[0].notes == ()
    shop.verify()
    shop.execute("UPDATE big SET pad = 'n' WHERE id = 1")
    shop.perish("table.chunk", 2)
    shop.declare(most=100)
    assert shop.run().tables[0].notes == ()
    assert world.strays(shop.home) == set()


def test_a_damaged_file_is_read_anew(shop: Shop) -> None:
    shop.perish("table.chunk", 6)
    file, gone = (Path(landed.files[0].path) for landed, _ in shop.remembered()[:2])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    gone.unlink()
    shop.run()
    assert shop.read() == CHUNKS - 4
    shop.verify()


def test_a_load_that_loses_its_source_goes_on_as_well(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def observe(step: Step) -> None:
        if step.name == "table.chunk" and step.done == 3:
            shop.execute(cut)

    failed = Lake(shop.home, observer=observe).run()
    assert failed.tables[0].status == "failed"
    assert len(shop.remembered()) >= 3
    assert shop.run().tables[0].status == "published"
    assert shop.read() < CHUNKS - 2
    shop.verify()


def test_upkeep_gives_an_abandoned_load_up(shop: Shop) -> None:
    shop.perish("table.chunk", 6)
    Lake(shop.home).upkeep()
    assert shop.remembered() == []
    assert world.strays(shop.home) == set()
    assert shop.run().tables[0].notes == ()
    shop.verify()
