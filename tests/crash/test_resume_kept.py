"""A killed load goes on as well where the lake's table is partitioned, keeps its history, or is read above a cursor from then on."""

from __future__ import annotations

from pathlib import Path

import pytest

from limnos import Lake
from tests.crash.shops import CHUNKS, ROWS, Shop

pytestmark = pytest.mark.e2e

PARTITIONED, HISTORY = "partition: month(day)", "history: scd2"
CHANGES = "UPDATE big SET pad = 'y' WHERE id = 3; DELETE FROM big WHERE id = 1500; INSERT INTO big VALUES (99999, 1, 2, 'z', '2024-02-02')"


@pytest.mark.parametrize(
    ("partition", "count", "step", "done"),
    [
        ("month(day)", 12, "table.chunk", 5),
        ("month(day)", 12, "table.rewritten", 0),
        ("truncate(5000, id)", 2, "table.chunk", 5),
        ("truncate(5000, id)", 2, "table.staged", 0),
    ],
)
def test_a_partitioned_table_reads_only_what_is_missing_and_has_few_files(
    shop: Shop, partition: str, count: int, step: str, done: int
) -> None:
    # No row breaks a rule, so files are written again only to be divided.
    shop.declare(kept=f'partition: "{partition}"', most=ROWS)
    shop.perish(step, done)
    there = done or CHUNKS
    result = shop.run()
    assert result.tables[0].notes == (f"{there} of {CHUNKS} chunks were read before the interruption",)
    assert shop.read() == CHUNKS - there
    assert result.tables[0].read == ROWS
    shop.verify()
    files = shop.files()
    assert len(files) == len({file.partition for file in files}) == count
    assert shop.remembered() == []


def test_another_partition_makes_the_chunks_useless(shop: Shop) -> None:
    shop.declare(kept=PARTITIONED)
    shop.perish("table.chunk", 5)
    shop.declare(kept="partition: year(day)")
    assert shop.run().tables[0].notes == ()
    shop.verify()
    assert len(shop.files()) == 1


def test_chunks_of_a_partitioned_table_whose_rows_changed_are_read_again(shop: Shop) -> None:
    shop.declare("cdc", kept=PARTITIONED)
    shop.perish("table.chunk", 6)
    shop.execute(CHANGES)
    assert shop.run().tables[0].notes == (f"4 of {CHUNKS} chunks were read before the interruption",)
    shop.verify()
    shop.execute("UPDATE big SET size = 7 WHERE id % 1000 = 3; DELETE FROM big WHERE id = 99999")
    shop.run()
    shop.verify()


def test_a_damaged_file_of_one_partition_costs_its_chunk(shop: Shop) -> None:
    shop.declare(kept=PARTITIONED)
    shop.perish("table.chunk", 6)
    Path(shop.remembered()[0][0].files[-1].path).unlink()
    shop.run()
    assert shop.read() == CHUNKS - 5
    shop.verify()


@pytest.mark.parametrize(("mode", "step", "done"), [("full", "table.chunk", 5), ("cdc", "table.chunk", 3), ("cdc", "table.staged", 0)])
def test_the_first_load_of_a_history_reads_only_what_is_missing(shop: Shop, mode: str, step: str, done: int) -> None:
    shop.declare(mode, kept=HISTORY)
    shop.current = "valid_to IS NULL"
    shop.perish(step, done)
    there = done or CHUNKS
    result = shop.run()
    assert result.tables[0].notes == (f"{there} of {CHUNKS} chunks were read before the interruption",)
    assert shop.read() == CHUNKS - there
    shop.verify()
    assert shop.remembered() == []
    assert _versions(shop, "valid_to IS NOT NULL") == 0
    shop.execute("UPDATE big SET size = 7 WHERE id % 1000 = 3; DELETE FROM big WHERE id = 1500")
    shop.run()
    shop.verify()
    # Ten rows were changed or deleted; of each, the version that was published is kept as it was.
    assert _versions(shop, "valid_to IS NOT NULL") == 10


def test_a_later_full_reading_of_a_history_goes_on_too(shop: Shop) -> None:
    shop.declare(kept=HISTORY)
    shop.current = "valid_to IS NULL"
    shop.run()
    shop.execute("UPDATE big SET size = 7 WHERE id % 1000 = 3")
    shop.perish("table.chunk", 5)
    shop.execute("UPDATE big SET size = 8 WHERE id = 2003")
    result = shop.run()
    assert "chunks were read before the interruption" in result.tables[0].notes[0]
    shop.verify()
    assert _versions(shop, "valid_to IS NOT NULL") == 9


def test_a_history_that_comes_to_what_is_published_forgets_its_chunks(shop: Shop) -> None:
    shop.declare(kept=HISTORY)
    shop.current = "valid_to IS NULL"
    shop.execute("DELETE FROM big WHERE size > 490 OR amount = 'NaN' OR day = 'infinity'")
    shop.run()
    shop.execute("UPDATE big SET pad = 'y' WHERE id = 3; UPDATE big SET pad = repeat('x', 60) WHERE id = 3")
    assert shop.run().tables[0].status == "unchanged"
    assert shop.remembered() == []
    shop.verify()


def _versions(shop: Shop, where: str) -> int:
    return int(Lake(shop.home).query(f"SELECT count(*) AS n FROM shop.big WHERE {where}").rows()[0]["n"])


@pytest.mark.parametrize(("step", "done"), [("table.chunk", 5), ("table.staged", 0)])
def test_the_first_load_above_a_cursor_reads_only_what_is_missing(shop: Shop, step: str, done: int) -> None:
    shop.declare("incremental", cursor="id")
    shop.perish(step, done)
    shop.execute("INSERT INTO big VALUES (99999, 1, 2, 'z', '2024-02-02')")
    there = min(done or CHUNKS, CHUNKS - 1)
    result = shop.run()
    assert result.tables[0].notes == (f"{there} of {CHUNKS} chunks were read before the interruption",)
    shop.verify()
    shop.execute("INSERT INTO big VALUES (100000, 1, 2, 'z', '2024-02-03')")
    result = shop.run()
    assert result.tables[0].read < ROWS
    assert shop.read() == 0
    shop.verify()
