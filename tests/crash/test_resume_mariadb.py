"""A killed first load from MariaDB goes on from the chunks of whose keys the binary log tells nothing since they were read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.shops import ROWS, MariaShop

pytestmark = pytest.mark.e2e

# Chunks of 1,024 keys.
CHUNKS = 9
POINTS = [("table.chunk", 5), ("table.staged", 0)]
CHANGES = "UPDATE big SET pad = 'y' WHERE id = 3; DELETE FROM big WHERE id = 1500; INSERT INTO big VALUES (9050, 1, 2, 'z', '2024-02-02')"


@pytest.mark.parametrize(("step", "done"), POINTS, ids=[f"{step} {done}" for step, done in POINTS])
def test_a_killed_load_reads_only_what_is_missing(maria: MariaShop, step: str, done: int) -> None:
    maria.perish(step, done)
    result = maria.run()
    there = done or CHUNKS
    assert result.tables[0].notes == (f"{there} of {CHUNKS} chunks were read before the interruption",)
    assert maria.read() == CHUNKS - there
    assert result.tables[0].read == ROWS
    maria.verify()
    assert maria.remembered() == []
    maria.execute("UPDATE big SET size = 7 WHERE id % 1000 = 3")
    assert maria.run().tables[0].read == 9
    maria.verify()


@pytest.mark.parametrize("kept", ["partition: month(day)", "history: scd2"])
def test_chunks_whose_rows_changed_meanwhile_are_read_again(maria: MariaShop, kept: str) -> None:
    maria.declare("cdc", kept=kept)
    maria.current = "valid_to IS NULL" if "history" in kept else ""
    maria.perish("table.chunk", 6)
    maria.execute(CHANGES)
    maria.perish("table.chunk", 8)
    # A row that moves to another key leaves one chunk, and comes to another.
    maria.execute("UPDATE big SET id = 9100 WHERE id = 2500")
    result = maria.run()
    # The chunks of keys 3 and 1500, those of keys 2500 and 9100, and those that nobody had read.
    assert result.tables[0].notes[0].endswith("chunks were read before the interruption")
    assert 0 < maria.read() < CHUNKS
    maria.verify()
    maria.execute("UPDATE big SET size = 7 WHERE id % 1000 = 3; DELETE FROM big WHERE id = 9050")
    maria.run()
    maria.verify()


USELESS = {
    "altered": "ALTER TABLE big ADD COLUMN more int",
    "truncated and filled anew": "CREATE TABLE old SELECT * FROM big; TRUNCATE big; INSERT big SELECT * FROM old; ANALYZE TABLE big",
    "the log is gone": "FLUSH BINARY LOGS; FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE now() + INTERVAL 1 DAY",
    "the log is longer than the chunks": "CREATE TABLE noise (a longtext); INSERT INTO noise SELECT repeat('x', 999) FROM seq_1_to_3000",
}


@pytest.mark.parametrize("statements", USELESS.values(), ids=USELESS)
def test_chunks_of_which_the_log_cannot_tell_are_read_again(maria: MariaShop, statements: str) -> None:
    maria.perish("table.chunk", 6)
    maria.execute(statements)
    assert maria.run().tables[0].notes == ()
    assert maria.read() == CHUNKS
    maria.verify()


def test_rows_that_a_cascade_changed_unlogged_are_read_again(maria: MariaShop) -> None:
    maria.execute(
        "CREATE TABLE sizes (size int PRIMARY KEY); INSERT INTO sizes SELECT DISTINCT size FROM big; CREATE INDEX by_size ON big (size);"
        "ALTER TABLE big ADD FOREIGN KEY (size) REFERENCES sizes (size) ON UPDATE CASCADE; ANALYZE TABLE big"
    )
    maria.declare("cdc", more=", sizes: {}")
    maria.perish("table.chunk", 6)
    maria.execute("UPDATE sizes SET size = 1000 WHERE size = 44")
    assert [table.notes for table in maria.run().tables] == [(), ()]
    maria.verify()


def test_rows_that_came_past_the_log_are_counted(maria: MariaShop) -> None:
    maria.perish("table.chunk", 6)
    maria.execute("SET sql_log_bin = 0; DELETE FROM big WHERE id = 1500")
    maria.run()
    assert maria.read() == CHUNKS - 5
    maria.verify()


def test_a_damaged_file_is_read_anew(maria: MariaShop) -> None:
    maria.perish("table.chunk", 6)
    Path(maria.remembered()[0][0].files[0].path).unlink()
    maria.run()
    assert maria.read() == CHUNKS - 5
    maria.verify()


def test_a_load_that_is_not_followed_by_its_log_starts_again(maria: MariaShop) -> None:
    maria.declare("full")
    maria.run()
    assert maria.read() == 0
    maria.verify()
