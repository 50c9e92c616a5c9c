"""100,000 changed and 20,000 new rows are merged into 6 million, beside Delta's MERGE and PyIceberg's upsert.

Each contender starts from the same twelve files. Recent keys are the last 100,000 of the table, scattered ones are spread over all of it.
`limnos run` is the whole of it: changes from a source, their order, checks of the key, accounting, publishing. The catalog's own means are
measured beside it both ways: with position deletes, and with files written anew. All leave the same rows, or the script fails.

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
from pathlib import Path
from typing import ClassVar

import again
import duckdb
import pyarrow as pa
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
LIMIT_S = option("limit-s", 600, "seconds after which PyIceberg's upsert is stopped")
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
        for batch in pq.ParquetFile(HOME / f"{self.log}.parquet").iter_batches():
            count = batch.num_rows
            operations = [Operation.UPDATE if number < CHANGED else Operation.INSERT for number in range(first, first + count)]
            values = [range(first, first + count), operations, [datetime.now(UTC)] * count, [None] * count]
            envelope = [pa.array(value, field.type) for value, field in zip(values, ENVELOPE, strict=True)]
            schema = pa.schema([*ENVELOPE, *_schema()])
            yield Changes("lineitem", pa.RecordBatch.from_arrays([*envelope, *batch.columns], schema=schema), KEYS)
            first += count


def _schema() -> pa.Schema:
    return pq.read_schema(HOME / "base/00.parquet").remove_metadata()


def _lake(directory: Path, source: _Source) -> Lake:
    lake = Lake(directory)
    lake.__dict__["_parts"] = replace(lake._parts, source=lambda _: source)  # noqa: SLF001 a source of this script alone
    return lake


def flow(changes: str) -> float:
    """Merge with `limnos run`."""
    directory, results = HOME / "lake", []
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


def limnos(changes: str, *, rewrite: bool) -> float:  # noqa: PLR0915 a script, from top to bottom
    """Merge with the catalog's own means: stage and publish one version."""
    from limnos.engines.duckdb import DuckEngine
    from limnos.ledger.events import StateLedger
    from limnos.ledger.state import State
    from limnos.model.data import Gone
    from limnos.model.project import StorageConfig
    from limnos.model.secret import Secret
    from limnos.tables.catalog import LakeCatalog
    from limnos.tables.storage import Storage

    directory = Path(tempfile.mkdtemp(dir=HOME))
    try:
        state = State(Secret(f"sqlite:///{directory}/state.db"))
        catalog = LakeCatalog(state.engine, Storage(StorageConfig(str(directory / "lake"))))
        engine, ledger = DuckEngine(), StateLedger(state, "bench")
        contract = _Source("").describe("lineitem", TableName("b", "lineitem"))
        layout = catalog.layout(contract, "base", replace=True)
        files = []
        for at in range(FILES):
            with engine.session() as session:
                session.run("SET threads = 1")
                files += session.write(f"SELECT * FROM read_parquet('{HOME}/base/{at:02}.parquet')", layout)
        first = catalog.stage(contract, files, "base", replace=True)
        with ledger.begin() as transaction:
            catalog.publish([first], transaction)
        before = set(directory.rglob("*"))
        made = []

        def merge() -> None:
            snapshot = catalog.pin()[contract.table]
            layout = catalog.layout(contract, "merge", replace=False)
            with engine.session() as session:
                here = f"({session.relation(catalog.relation(snapshot), positions=True)})"
                came = f"read_parquet('{HOME}/{changes}.parquet')"
                rows = session.run(f"SELECT _file AS file, _row AS row FROM {here} SEMI JOIN {came} AS c USING ({KEY})")
                sql, gone = f"SELECT * FROM {came}", Gone(rows=rows)
                if rewrite:
                    touched = frozenset(rows["file"].unique().to_pylist())
                    where = ", ".join(f"'{file}'" for file in touched)
                    kept = f"SELECT * EXCLUDE (_file, _row) FROM {here} AS h ANTI JOIN {came} AS c USING ({KEY}) WHERE _file IN ({where})"
                    sql, gone = f"{sql} UNION ALL {kept}", Gone(files=touched)
                staged = catalog.stage(contract, session.write(sql, layout), "merge", replace=False, gone=gone)
            with ledger.begin() as transaction:
                made.extend(catalog.publish([staged], transaction))

        seconds = timed(merge)
        assert made[0].rows == ROWS + NEW, made[0].rows
        with engine.session() as session:
            scan = f"SELECT {SCAN} FROM ({session.relation(catalog.relation(made[0]))})"
            same(changes, list(session.run(scan).to_pylist()[0].values()))
            reading = timed(lambda: session.run(scan))
        tell(f"limnos {changes}{' rewritten' if rewrite else ''}", seconds, written(directory, before), reading)
        return seconds
    finally:
        shutil.rmtree(directory)


def delta(changes: str) -> float:
    """Merge with Delta's MERGE, on the same files."""
    from deltalake import DeltaTable, write_deltalake

    directory = Path(tempfile.mkdtemp(dir=HOME))
    try:
        for at in range(FILES):
            write_deltalake(directory, duckdb.sql(f"FROM read_parquet('{HOME}/base/{at:02}.parquet')").to_arrow_table(), mode="append")
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
        shutil.rmtree(directory)


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
            print(f"pyiceberg upsert {changes}: stopped after {LIMIT_S} s", file=sys.stderr)
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
    Contender("limnos catalog, recent, deletes", lambda: limnos("recent", rewrite=False)),
    Contender("limnos catalog, recent, rewritten", lambda: limnos("recent", rewrite=True)),
    Contender("delta MERGE, recent", lambda: delta("recent"), ("deltalake",)),
    Contender("pyiceberg upsert, recent", lambda: upsert("recent"), ("pyiceberg",), rounds=1),
    Contender("limnos run, scattered", lambda: flow("scattered")),
    Contender("limnos catalog, scattered, deletes", lambda: limnos("scattered", rewrite=False)),
    Contender("limnos catalog, scattered, rewritten", lambda: limnos("scattered", rewrite=True)),
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
