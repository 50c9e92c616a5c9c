"""A PostgreSQL table becomes a published, audited table in the time that DuckDB's own scanner takes to copy it to plain Parquet.

`CPU s` is what the client's whole process took, imports included, and `user s` what it computed in the measured part; the server is another
process. dlt is a contender where `LIMNOS_BENCHMARK_DLT` names a Python that has `dlt[postgres,parquet]`, SQLAlchemy and connectorx. It is
measured twice; with its default, which takes minutes, on a part of the rows, and its seconds are stretched to all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from importlib.resources import files
from pathlib import Path

import duckdb
import psycopg
from measure import Contender, Target, lineitem, main, option, timed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e"))
import services

ADDRESS = "LIMNOS_BENCHMARK_DSN"
ROWS = option("rows", 6_001_215, "how many rows of lineitem")
DLT_ROWS = option("dlt-rows", 500_000, "how many of them for dlt with its default")
DLT = os.environ.get("LIMNOS_BENCHMARK_DLT", "")
PROJECT = """
version: 1
project: postgres_read
sources:
  tpch: {type: postgres, url: secret://LIMNOS_BENCHMARK_DSN, tables: {lineitem: {}}}
"""
TABLE = """
CREATE TABLE lineitem (
    l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber integer NOT NULL,
    l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL,
    l_discount numeric(15,2) NOT NULL, l_tax numeric(15,2) NOT NULL,
    l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL,
    l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL)
"""
DLT_LOAD = """
import sys, time
import dlt
from dlt.sources.sql_database import sql_table
url, table, directory, backend = sys.argv[1:]
rows = sql_table(credentials=url, table=table, backend=backend)
target = dlt.destinations.filesystem(directory)
pipeline = dlt.pipeline("bench", destination=target, pipelines_dir=directory + "/state", dataset_name="tpch")
start = time.perf_counter()
pipeline.run(rows, loader_file_format="parquet")
seconds = time.perf_counter() - start
print(pipeline.last_trace.last_normalize_info.row_counts[table], seconds)
"""


def fill() -> None:
    """Copy lineitem into the server, through CSV."""
    with tempfile.TemporaryDirectory() as directory, psycopg.connect(os.environ[ADDRESS], autocommit=True) as owner:
        file = Path(directory) / "lineitem.csv"
        duckdb.sql(f"COPY (FROM read_parquet('{lineitem()}') LIMIT {ROWS}) TO '{file}' (FORMAT csv, HEADER false)")
        owner.execute(TABLE)
        with file.open("rb") as rows, owner.cursor().copy("COPY lineitem FROM STDIN (FORMAT csv)") as into:
            while part := rows.read(1 << 20):
                into.write(part)
        if DLT:
            owner.execute(f"CREATE TABLE lineitem_part AS SELECT * FROM lineitem LIMIT {DLT_ROWS}")
        owner.execute("VACUUM ANALYZE")


def load() -> float:
    """Load the table into an empty lake, to the published table."""
    from limnos import Lake

    directory = Path(tempfile.mkdtemp())
    try:
        (directory / "limnos.yml").write_text(PROJECT)
        lake = Lake(directory)
        lake.query("select 1").to_arrow()
        # Imports are outside the measured part on both sides.
        import limnos.flow.run
        import limnos.sources.postgres
        import limnos.tables.iceberg  # noqa: F401

        seconds = timed(lake.run)
        (row,) = lake.query("select count(*) as n from tpch.lineitem").rows()
        assert row["n"] == ROWS, row
        return seconds
    finally:
        shutil.rmtree(directory)


def scan() -> float:
    """Copy the table with DuckDB's scanner to one zstd Parquet file."""
    with tempfile.TemporaryDirectory() as directory:
        connection = duckdb.connect()
        (extension,) = Path(str(files("duckdb_extension_postgres_scanner"))).rglob("*.duckdb_extension")
        connection.execute(f"LOAD '{extension}'")
        connection.execute(f"ATTACH '{os.environ[ADDRESS]}' AS pg (TYPE postgres, READ_ONLY)")
        target = Path(directory) / "lineitem.parquet"
        return timed(lambda: connection.execute(f"COPY (FROM pg.public.lineitem) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"))


def dlt(table: str, count: int, backend: str) -> float:
    """Load a table of so many rows with dlt into Parquet files; the seconds are those after its imports, as if it had been all rows."""
    with tempfile.TemporaryDirectory() as directory:
        command = [DLT, "-c", DLT_LOAD, os.environ[ADDRESS].replace("postgresql:", "postgresql+psycopg2:"), table, directory, backend]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    rows, seconds = done.stdout.splitlines()[-1].split()
    assert int(rows) == count, rows
    return float(seconds) * ROWS / count


def measure() -> None:
    """Measure against the server at hand."""
    limnos, scanner = "limnos run", "duckdb postgres scanner"
    contenders = [Contender(limnos, load, ("limnos", "duckdb", "pyarrow", "numpy", "psycopg")), Contender(scanner, scan)]
    targets = [Target(limnos, 1.0, scanner)]
    if DLT:
        default, connectorx = f"dlt, stretched from {DLT_ROWS:,} rows", "dlt with connectorx"
        contenders.append(Contender(default, partial(dlt, "lineitem_part", DLT_ROWS, "sqlalchemy"), rounds=3))
        contenders.append(Contender(connectorx, partial(dlt, "lineitem", ROWS, "connectorx"), rounds=3))
        targets += [Target(limnos, 0.2, default), Target(limnos, 0.5, connectorx)]
    else:
        print("dlt is left out: LIMNOS_BENCHMARK_DLT names no Python that has it", file=sys.stderr)
    claim = f"{ROWS:,} rows of lineitem from PostgreSQL to a published table, against DuckDB's postgres scanner to zstd Parquet"
    main(claim, contenders, base=scanner, target=None, prepare=fill, targets=targets)


if __name__ == "__main__":
    if ADDRESS in os.environ:
        measure()
    else:
        with services.postgres() as server:
            os.environ[ADDRESS] = server.dsn
            measure()
