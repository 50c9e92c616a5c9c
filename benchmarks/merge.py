"""100,000 changed and 20,000 new rows are merged into 6 million, beside Delta's MERGE and PyIceberg's upsert.

Each contender starts from the same twelve files. Recent keys are the last 100,000 of the table, scattered ones are spread over all of it.
`limnos run` is the whole of it: changes from a source, their order, checks of the key, accounting, publishing. All are given the changes as
Arrow in memory, and leave the same rows, or the script fails.

PyIceberg's upsert is stopped after a limit, and measured once; at the limit its figure is that limit, and it would have taken longer.

What is printed beside the seconds: megabytes written, and the seconds of the next full scan.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import ClassVar

import again
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measure import DATA, Contender, Target, lineitem, main, option, timed

from limnos import Lake
from limnos.model.changes import ENVELOPE, Changes, Operation
from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability
from limnos.model.types import canonical

ROWS = option("rows", 6_001_215, "rows of lineitem that are there before; the changes shrink with them")
LIMIT_S = option("limit-s", 60, "seconds after which PyIceberg's upsert is stopped")
CHANGED = min(100_000, ROWS // 60)
NEW = CHANGED // 5
HOME = DATA / f"merge-{ROWS}"
FILES = 12
KEYS = ("l_orderkey", "l_linenumber")
KEY = ", ".join(KEYS)
SCAN = "sum(l_quantity), sum(l_extendedprice), max(l_comment), count(*), bit_xor(hash(l_orderkey, l_linenumber, l_quantity, l_comment))"
PROJECT = "version: 1\nproject: merge\nsources:\n  b: {type: parquet, tables: {lineitem: {mode: cdc}}}\n"


def prepare() -> None:
    """Write the twelve files and the two sets of changes, and publish the files to a lake, once."""
    if (HOME / "done").exists():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "base").mkdir(parents=True)
    connection = duckdb.connect()
    some = f"SELECT * FROM read_parquet('{lineitem()}') LIMIT {ROWS}"
    connection.execute(f"CREATE TABLE l AS SELECT *, row_number() OVER () - 1 AS n FROM ({some})")
    for at in range(FILES):
        part = f"SELECT * EXCLUDE n FROM l WHERE n // {-(-ROWS // FILES)} = {at}"
        connection.execute(f"COPY ({part}) TO '{HOME}/base/{at:02}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    new = f"SELECT * EXCLUDE n REPLACE (l_orderkey + 100000000 AS l_orderkey) FROM l WHERE n < {NEW}"
    for name, chosen in {
        "recent": f"n >= {ROWS - CHANGED}",
        "scattered": f"n IN (SELECT n FROM l ORDER BY hash(n) LIMIT {CHANGED})",
    }.items():
        changed = f"SELECT * EXCLUDE n REPLACE ((l_quantity + 1)::DECIMAL(15, 2) AS l_quantity) FROM l WHERE {chosen}"
        connection.execute(f"COPY ({changed} UNION ALL {new}) TO '{HOME}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    connection.close()
    again.new(HOME / "lake", PROJECT, lambda directory: _lake(directory, _Source("")))
    again.keep(HOME / "lake")
    (HOME / "done").touch()


@dataclass(frozen=True)
class _Source:
    """Give the twelve files as a table, and one set of changes as its log; it is its own reading."""

    kind: ClassVar[str] = "parquet"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.KEYS, Capability.CHANGES})
    options: ClassVar[tuple[()]] = ()

    log: str

    @contextmanager
    def open(self) -> Generator[_Source]:
        yield self

    def prepare(self) -> None:
        pass

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        pass

    def tables(self) -> tuple[str, ...]:
        return ("lineitem",)

    def describe(self, table: str, target: TableName) -> Contract:
        columns = tuple(Column(field.name, canonical(field.type)) for field in _schema())
        return Contract(target, columns, KEYS, (RuleSpec("primary_key", KEYS),))

    def read(self, table: str, contract: Contract) -> Extract:
        return Extract(_schema(), ROWS, None, scan=f"SELECT * FROM read_parquet('{HOME}/base/*.parquet')")

    def cut(self, table: str) -> Position:
        return Position("parquet", {"log": self.log})

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        first = 0
        for batch in _changes(self.log):
            count = batch.num_rows
            number = pa.array(range(first, first + count))
            operation = pc.if_else(pc.less(number, CHANGED), str(Operation.UPDATE), str(Operation.INSERT))
            now = pa.repeat(pa.scalar(datetime.now(UTC), ENVELOPE.field(2).type), count)
            envelope = [number, operation, now, pa.nulls(count, ENVELOPE.field(3).type)]
            schema = pa.schema([*ENVELOPE, *_schema()])
            yield Changes("lineitem", pa.RecordBatch.from_arrays([*envelope, *batch.columns], schema=schema), KEYS)
            first += count


@cache
def _changes(name: str) -> list[pa.RecordBatch]:
    return list(pq.ParquetFile(HOME / f"{name}.parquet").iter_batches())


def _schema() -> pa.Schema:
    return pq.read_schema(HOME / "base/00.parquet").remove_metadata()


def _lake(directory: Path, source: _Source) -> Lake:
    lake = Lake(directory)
    lake.__dict__["_parts"] = replace(lake._parts, source=lambda _: source)  # noqa: SLF001 a source of this script alone
    return lake


def flow(changes: str) -> float:
    """Merge with `limnos run`."""
    directory, results = HOME / "lake", []
    _changes(changes)
    lake = again.back(directory, lambda there: _lake(there, _Source(changes)))
    before = set(directory.rglob("*"))
    seconds = timed(lambda: results.extend(lake.run().tables))
    megabytes = written(directory, before)
    again.merged(lake, results, read=CHANGED + NEW, rows=ROWS + NEW)
    scan = f"SELECT {SCAN} FROM b.lineitem"
    rows = lake.query(scan).to_arrow().to_pylist()
    same(changes, list(rows[0].values()))
    tell(f"limnos run {changes}", seconds, megabytes, timed(lambda: lake.query(scan).to_arrow()))
    return seconds


def written(directory: Path, before: set[Path]) -> float:
    """Count the megabytes of new files."""
    return sum(file.stat().st_size for file in set(directory.rglob("*")) - before if file.is_file()) / 1e6


def delta(changes: str) -> float:
    """Merge with Delta's MERGE, on the same files."""
    from deltalake import DeltaTable, write_deltalake

    directory = HOME / "delta"
    try:
        if not again.kept(directory):
            for at in range(FILES):
                write_deltalake(directory, duckdb.sql(f"FROM read_parquet('{HOME}/base/{at:02}.parquet')").to_arrow_table(), mode="append")
            again.keep(directory)
        again.put_back(directory)
        before = set(directory.rglob("*"))
        source = duckdb.sql(f"FROM read_parquet('{HOME}/{changes}.parquet')").to_arrow_table()
        on = "s.l_orderkey = t.l_orderkey AND s.l_linenumber = t.l_linenumber"
        merge = DeltaTable(directory).merge(source, on, source_alias="s", target_alias="t")
        seconds = timed(merge.when_matched_update_all().when_not_matched_insert_all().execute)
        megabytes = written(directory, before)
        files = DeltaTable(directory).file_uris()
        scan = f"SELECT {SCAN} FROM read_parquet({files})"
        connection = duckdb.connect()
        same(changes, list(connection.execute(scan).fetchall()[0]))
        tell(f"delta {changes}", seconds, megabytes, timed(lambda: connection.execute(scan).fetchall()))
        return seconds
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def upsert(changes: str) -> float:
    """Merge with PyIceberg's upsert, on the same files, for as long as the limit lets it."""
    from pyiceberg.catalog.sql import SqlCatalog

    directory = Path(tempfile.mkdtemp(dir=HOME))
    try:
        catalog = SqlCatalog("bench", uri=f"sqlite:///{directory}/catalog.db", warehouse=f"file://{directory}")
        catalog.create_namespace("b")
        table = catalog.create_table("b.lineitem", pq.read_table(HOME / "base/00.parquet").schema)
        for at in range(FILES):
            table.append(pq.read_table(HOME / f"base/{at:02}.parquet"))
        before, source = set(directory.rglob("*")), pq.read_table(HOME / f"{changes}.parquet")
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(LIMIT_S)
        try:
            seconds = timed(lambda: table.upsert(source, list(KEYS)))
        except TimeoutError:
            print(f"pyiceberg upsert {changes}: more than {LIMIT_S} s, stopped", file=sys.stderr)
            return float(LIMIT_S)
        signal.alarm(0)
        files = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
        scan = f"SELECT {SCAN} FROM read_parquet({files})"
        same(changes, list(duckdb.execute(scan).fetchall()[0]))
        tell(f"pyiceberg upsert {changes}", seconds, written(directory, before), timed(lambda: duckdb.execute(scan).fetchall()))
        return seconds
    finally:
        shutil.rmtree(directory)


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError


def same(changes: str, found: list[object]) -> None:
    """Make sure that a contender left the rows that the first one left."""
    said, file = json.dumps(found, default=str), HOME / f"{changes}.json"
    if not file.exists():
        file.write_text(said)
    assert said == file.read_text(), (said, file.read_text())


def tell(name: str, seconds: float, megabytes: float, reading: float) -> None:
    """Say what is not the measure itself."""
    print(f"{name:<28} merge {seconds:7.2f} s   written {megabytes:7.1f} MB   next scan {reading:6.3f} s", file=sys.stderr)


CONTENDERS = [
    Contender("limnos run, recent", lambda: flow("recent"), ("limnos", "duckdb", "pyiceberg", "pyarrow")),
    Contender("delta MERGE, recent", lambda: delta("recent"), ("deltalake",)),
    Contender("pyiceberg upsert, recent", lambda: upsert("recent"), ("pyiceberg",), rounds=1),
    Contender("limnos run, scattered", lambda: flow("scattered")),
    Contender("delta MERGE, scattered", lambda: delta("scattered")),
    Contender("pyiceberg upsert, scattered", lambda: upsert("scattered"), rounds=1),
]
TARGETS = [
    Target(f"limnos run, {changes}", most, f"{other}, {changes}")
    for changes, of_delta in (("recent", 0.25), ("scattered", 0.8))
    for other, most in (("delta MERGE", of_delta), ("pyiceberg upsert", 0.2))
]

if __name__ == "__main__":
    main(
        f"{CHANGED:,} changed and {NEW:,} new rows merged into {ROWS:,} of lineitem in twelve files",
        CONTENDERS,
        base="delta MERGE, scattered",
        target=None,
        prepare=prepare,
        targets=TARGETS,
    )
