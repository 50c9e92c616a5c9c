"""A load that was killed goes on from the chunks that it had read, wherever their rows are still the same."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from limnos import Lake
from limnos.model.run import Step
from tests.crash import world
from tests.crash.shops import CHUNKS, ROWS, Shop

pytestmark = pytest.mark.e2e


# All rows stand where others of the same transaction stood: place and version tell nothing.
MOVED = "CREATE INDEX backwards ON big ((-id)); CLUSTER big USING backwards"
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
