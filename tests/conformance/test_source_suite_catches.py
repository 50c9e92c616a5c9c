"""Sources that break one promise each; a suite that lets one of them pass is worth nothing."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.errors import SourceUnreachable
from limnos.model.contract import Contract
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Reading
from limnos.sources.sqlite import SqliteSource
from limnos.testing.source import SourceSuite, World

_ticks = itertools.count()


class WrongReading:
    """Pass everything on; each wrong one overrides what it gets wrong."""

    def __init__(self, right: Reading, source: SqliteSource) -> None:
        self.right = right
        self.source = source

    def tables(self) -> tuple[str, ...]:
        return self.right.tables()

    def describe(self, table: str, target: TableName) -> Contract:
        return self.right.describe(table, target)

    def position(self, table: str) -> Position:
        return self.right.position(table)

    def read(self, table: str, contract: Contract) -> Extract:
        return self.right.read(table, contract)


def _batches(extract: Extract) -> Iterator[pa.RecordBatch]:
    return extract.batches or iter(())


class LosesTheLastRow(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        right = self.right.read(table, contract)
        batches = (batch.slice(0, batch.num_rows - 1) for batch in _batches(right))
        return replace(right, rows=right.rows - 1, batches=batches)


class GivesTheFirstBatchTwice(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        right = self.right.read(table, contract)
        first, *others = _batches(right)
        return replace(right, rows=right.rows + first.num_rows, batches=iter([first, first, *others]))


class Miscounts(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        right = self.right.read(table, contract)
        return replace(right, rows=right.rows + 1)


class ChangesTypesOnTheWay(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        right = self.right.read(table, contract)
        text = pa.schema([pa.field(name, pa.string()) for name in right.schema.names])
        batches = (batch.cast(text) if place else batch for place, batch in enumerate(_batches(right)))
        return replace(right, batches=batches)


class SharesOneCursor(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        if not hasattr(self, "cursors"):
            self.cursors: dict[str, Iterator[pa.RecordBatch]] = {}
        right = self.right.read(table, contract)
        return replace(right, batches=self.cursors.setdefault(table, _batches(right)))


class LooksAgain(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        with self.source.open() as later:
            right = later.read(table, contract)
            return replace(right, batches=iter(list(_batches(right))))


class NeverSeesAChange(WrongReading):
    def position(self, table: str) -> Position:
        return Position("sqlite", {"table": table})


class AlwaysSeesAChange(WrongReading):
    def position(self, table: str) -> Position:
        return Position("sqlite", {"table": table, "tick": next(_ticks)})


class RenamesAColumn(WrongReading):
    def describe(self, table: str, target: TableName) -> Contract:
        right = self.right.describe(table, target)
        return replace(right, columns=(replace(right.columns[0], name="renamed"), *right.columns[1:]))


class InventsUnknownTables(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        if table not in self.right.tables():
            return Extract(pa.schema([]), 0, None, batches=iter(()))
        return self.right.read(table, contract)


class FollowsTheContract(WrongReading):
    def read(self, table: str, contract: Contract) -> Extract:
        right = self.right.read(table, contract)
        names = [name for name in contract.names if name in right.schema.names]
        return replace(
            right, schema=pa.schema([right.schema.field(name) for name in names]), batches=(b.select(names) for b in _batches(right))
        )


class ForgetsTheKey(WrongReading):
    def describe(self, table: str, target: TableName) -> Contract:
        return replace(self.right.describe(table, target), key=())


class Right(WrongReading):
    """Get nothing wrong."""


class WrongSource(SqliteSource):
    reading: type[WrongReading] = Right

    @contextmanager
    def open(self) -> Generator[WrongReading]:
        with super().open() as right:
            yield self.reading(right, SqliteSource(self._config, DuckEngine()))


class DeclaresTooLittle(WrongSource):
    capabilities = frozenset({Capability.KEYS})


class TellsTheSecret(WrongSource):
    @contextmanager
    def open(self) -> Generator[WrongReading]:
        if "hunter2" in str(self._path):
            raise SourceUnreachable("Cannot read", subject="s", seen=f"no file {self._path}", hint="look again")
        with super().open() as right:
            yield right


class GivesNoHint(WrongSource):
    @contextmanager
    def open(self) -> Generator[WrongReading]:
        if "hunter2" in str(self._path):
            raise SourceUnreachable("Cannot read", subject="s", seen="no file", hint="")
        with super().open() as right:
            yield right


class LetsTheDriverSpeak(WrongSource):
    @contextmanager
    def open(self) -> Generator[WrongReading]:
        sqlite3.connect(f"file:{self._path}?mode=ro", uri=True).close()
        with super().open() as right:
            yield right


class FindsAllWell(WrongSource):
    def findings(self) -> Iterable[Finding]:
        return [Finding("s", ok=True, detail="fine")]


CASES: dict[type[WrongReading | WrongSource], Callable[[SourceSuite, World], None]] = {
    LosesTheLastRow: SourceSuite.test_every_row_arrives_exactly_once,
    GivesTheFirstBatchTwice: SourceSuite.test_every_row_arrives_exactly_once,
    Miscounts: SourceSuite.test_rows_are_counted_apart_from_the_stream,
    ChangesTypesOnTheWay: SourceSuite.test_the_raw_schema_is_the_announced_one_throughout,
    SharesOneCursor: SourceSuite.test_reads_are_independent_of_each_other,
    LooksAgain: SourceSuite.test_a_reading_stays_at_its_point_in_time_or_says_that_it_cannot,
    NeverSeesAChange: SourceSuite.test_a_fingerprint_differs_after_a_change,
    AlwaysSeesAChange: SourceSuite.test_a_fingerprint_is_equal_while_nothing_changed,
    RenamesAColumn: SourceSuite.test_describe_promises_what_read_hands_over,
    InventsUnknownTables: SourceSuite.test_an_unknown_table_is_an_error_that_lists_the_known_ones,
    FollowsTheContract: SourceSuite.test_raw_columns_keep_the_order_of_the_source,
    ForgetsTheKey: SourceSuite.test_keys_are_described_if_declared,
    DeclaresTooLittle: SourceSuite.test_a_fingerprint_differs_after_a_change,
    TellsTheSecret: SourceSuite.test_a_place_where_nothing_answers_is_an_error_with_four_parts,
    GivesNoHint: SourceSuite.test_a_place_where_nothing_answers_is_an_error_with_four_parts,
    LetsTheDriverSpeak: SourceSuite.test_a_place_where_nothing_answers_is_an_error_with_four_parts,
    FindsAllWell: SourceSuite.test_the_doctor_is_told_what_is_well_and_what_is_not,
}


def _world(directory: Path, wrong: type[WrongReading | WrongSource]) -> World:
    file = directory / "lake.db"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            """
            PRAGMA journal_mode = WAL;
            CREATE TABLE fish (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE weed (name TEXT);
            WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 2500)
            INSERT INTO fish SELECT n, 'fish ' || n FROM up;
            INSERT INTO weed VALUES ('a'), ('b');
            """
        )
    connection.close()

    def change(table: str) -> None:
        with sqlite3.connect(file) as writer:
            writer.execute(
                {"fish": "UPDATE fish SET name = 'x' WHERE id = 7", "weed": "UPDATE weed SET name = 'c' WHERE name = 'a'"}[table]
            )
        writer.close()

    class Chosen(wrong if issubclass(wrong, WrongSource) else WrongSource):  # type: ignore[misc]
        reading = Right if issubclass(wrong, WrongSource) else wrong

    def source(path: str) -> WrongSource:
        return Chosen(SourceConfig("lake", "sqlite", directory, "lake", {"path": path}), DuckEngine())

    rows = {
        "fish": [{"id": str(n), "name": f"fish {n}"} for n in range(1, 2501)],
        "weed": [{"name": "a"}, {"name": "b"}],
    }
    secrets = ("hunter2",) if wrong is TellsTheSecret else ()
    return World(source("lake.db"), DuckEngine(), rows, change, source("hunter2.db"), {"fish": ("id",)}, secrets)


@pytest.mark.parametrize("wrong", CASES, ids=lambda wrong: wrong.__name__)
def test_the_suite_catches_a_source_that(wrong: type[WrongReading | WrongSource], tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, sqlite3.OperationalError)):
        CASES[wrong](SourceSuite(), _world(tmp_path, wrong))


@pytest.mark.parametrize("test", dict.fromkeys(CASES.values()), ids=lambda test: test.__name__)
def test_the_suite_lets_the_right_source_pass(test: Callable[[SourceSuite, World], None], tmp_path: Path) -> None:
    test(SourceSuite(), _world(tmp_path, Right))
