"""A PostgreSQL table becomes a published, audited table in the time that DuckDB's own scanner takes to copy it to plain Parquet."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import duckdb
import psycopg
from measure import Contender, lineitem, main, timed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e"))
import services

ADDRESS = "LIMNOS_BENCHMARK_DSN"
ROWS = 6_001_215
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


def fill() -> None:
    """Copy lineitem into the server, through CSV."""
    with tempfile.TemporaryDirectory() as directory, psycopg.connect(os.environ[ADDRESS], autocommit=True) as owner:
        file = Path(directory) / "lineitem.csv"
        duckdb.sql(f"COPY (FROM read_parquet('{lineitem()}')) TO '{file}' (FORMAT csv, HEADER false)")
        owner.execute(TABLE)
        with file.open("rb") as rows, owner.cursor().copy("COPY lineitem FROM STDIN (FORMAT csv)") as into:
            while part := rows.read(1 << 20):
                into.write(part)
        owner.execute("VACUUM ANALYZE lineitem")


def load() -> float:
    """Load the table into an empty lake, to the published table."""
    from limnos import Lake

    directory = Path(tempfile.mkdtemp())
    try:
        (directory / "limnos.yml").write_text(PROJECT)
        lake = Lake(directory)
        lake.query("select 1").to_arrow()
        # Imports are outside the measured part on both sides.
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


def measure() -> None:
    """Measure against the server at hand."""
    main(
        "lineitem SF1 from PostgreSQL to a published table, against DuckDB's postgres scanner to zstd Parquet",
        [
            Contender("limnos run", load, ("limnos", "duckdb", "pyarrow", "numpy", "psycopg")),
            Contender("duckdb postgres scanner", scan),
        ],
        base="duckdb postgres scanner",
        target=1.0,
        prepare=fill,
    )


if __name__ == "__main__":
    if ADDRESS in os.environ:
        measure()
    else:
        with services.postgres() as server:
            os.environ[ADDRESS] = server.dsn
            measure()
