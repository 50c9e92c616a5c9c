"""100,000 changed and 20,000 new rows are merged into 6 million: by position deletes, by rewritten files, and by Delta's MERGE.

Each contender starts from the same twelve files. Recent keys are the last 100,000 of the table, scattered ones are spread over all of it.
What is printed beside the seconds: megabytes written, and the seconds of the next full scan.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb
from measure import DATA, Contender, lineitem, main, timed

HOME = DATA / "merge"
CHANGED, NEW = 100_000, 20_000
KEY = "l_orderkey, l_linenumber"
SCAN = "sum(l_quantity), sum(l_extendedprice), max(l_comment), count(*)"


def prepare() -> None:
    """Write the twelve files and the two sets of changes, once."""
    if (HOME / "done").exists():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "base").mkdir(parents=True)
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE l AS SELECT *, row_number() OVER () - 1 AS n FROM read_parquet('{lineitem()}')")
    for at in range(12):
        part = f"SELECT * EXCLUDE n FROM l WHERE n // 500102 = {at}"
        connection.execute(f"COPY ({part}) TO '{HOME}/base/{at:02}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    rows = connection.sql("SELECT count(*) FROM l").fetchall()[0][0]
    new = f"SELECT * EXCLUDE n REPLACE (l_orderkey + 100000000 AS l_orderkey) FROM l WHERE n < {NEW}"
    for name, chosen in {
        "recent": f"n >= {rows - CHANGED}",
        "scattered": f"n IN (SELECT n FROM l ORDER BY hash(n) LIMIT {CHANGED})",
    }.items():
        changed = f"SELECT * EXCLUDE n REPLACE (l_quantity + 1 AS l_quantity) FROM l WHERE {chosen}"
        connection.execute(f"COPY ({changed} UNION ALL {new}) TO '{HOME}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    (HOME / "done").touch()


def written(directory: Path, before: set[Path]) -> float:
    """Count the megabytes of new files."""
    return sum(file.stat().st_size for file in set(directory.rglob("*")) - before if file.is_file()) / 1e6


def limnos(changes: str, *, rewrite: bool) -> float:  # noqa: PLR0915 a script, from top to bottom
    """Merge with the catalog's own means: stage and publish one version."""
    import pyarrow as pa

    from limnos.engines.duckdb import DuckEngine
    from limnos.ledger.events import StateLedger
    from limnos.ledger.state import State
    from limnos.model.contract import Column, Contract
    from limnos.model.data import Gone
    from limnos.model.names import TableName
    from limnos.model.project import StorageConfig
    from limnos.model.secret import Secret
    from limnos.model.types import canonical
    from limnos.tables.catalog import LakeCatalog
    from limnos.tables.storage import Storage

    directory = Path(tempfile.mkdtemp(dir=HOME))
    try:
        state = State(Secret(f"sqlite:///{directory}/state.db"))
        catalog = LakeCatalog(state.engine, Storage(StorageConfig(str(directory / "lake"))))
        engine, ledger = DuckEngine(), StateLedger(state, "bench")
        schema = duckdb.sql(f"FROM read_parquet('{HOME}/base/00.parquet')").to_arrow_table().schema
        contract = Contract(TableName("b", "lineitem"), tuple(Column(field.name, canonical(field.type)) for field in schema))
        layout = catalog.layout(contract, "base", replace=True)
        files = []
        for at in range(12):
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
        assert made[0].rows == 6_001_215 + NEW, made[0].rows
        with engine.session() as session:
            scan = f"SELECT {SCAN} FROM ({session.relation(catalog.relation(made[0]))})"
            assert isinstance(session.run(scan), pa.Table)
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
        for at in range(12):
            write_deltalake(directory, duckdb.sql(f"FROM read_parquet('{HOME}/base/{at:02}.parquet')").to_arrow_table(), mode="append")
        before = set(directory.rglob("*"))
        source = duckdb.sql(f"FROM read_parquet('{HOME}/{changes}.parquet')").to_arrow_table()
        same = "s.l_orderkey = t.l_orderkey AND s.l_linenumber = t.l_linenumber"
        merge = DeltaTable(directory).merge(source, same, source_alias="s", target_alias="t")
        seconds = timed(merge.when_matched_update_all().when_not_matched_insert_all().execute)
        megabytes = written(directory, before)
        files = DeltaTable(directory).file_uris()
        scan = f"SELECT {SCAN} FROM read_parquet({files})"
        connection = duckdb.connect()
        rows = connection.execute(scan).fetchall()[0][3]
        assert rows == 6_001_215 + NEW, rows
        tell(f"delta {changes}", seconds, megabytes, timed(lambda: connection.execute(scan).fetchall()))
        return seconds
    finally:
        shutil.rmtree(directory)


def tell(name: str, seconds: float, megabytes: float, reading: float) -> None:
    """Say what is not the measure itself."""
    print(f"{name:<28} merge {seconds:7.2f} s   written {megabytes:7.1f} MB   next scan {reading:6.3f} s", file=sys.stderr)


def contender(name: str, work: Callable[[], float], *packages: str) -> Contender:
    """Name one of them."""
    return Contender(name, work, packages)


if __name__ == "__main__":
    main(
        "100,000 changed and 20,000 new rows merged into lineitem SF1 in twelve files",
        [
            contender("limnos, recent", lambda: limnos("recent", rewrite=False), "limnos", "duckdb", "pyiceberg", "pyarrow"),
            contender("limnos, recent, rewritten", lambda: limnos("recent", rewrite=True)),
            contender("delta MERGE, recent", lambda: delta("recent"), "deltalake"),
            contender("limnos, scattered", lambda: limnos("scattered", rewrite=False)),
            contender("limnos, scattered, rewritten", lambda: limnos("scattered", rewrite=True)),
            contender("delta MERGE, scattered", lambda: delta("scattered")),
        ],
        base="delta MERGE, scattered",
        target=None,
        prepare=prepare,
    )
