"""The 22 TPC-H queries through `Lake.query` take no more than 1.05 of raw DuckDB on the same rows as plain Parquet, in total."""

from __future__ import annotations

import os
import re
from pathlib import Path

import duckdb
from measure import DATA, Contender, main, timed, tpch

QUERIES = [path.read_text() for path in sorted(Path(__file__).with_name("tpch").glob("q*.sql"))]
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
LAKE = DATA / "tpch-lake"
COPIES = DATA / "tpch-copies"
PROJECT = """
version: 1
project: tpch
sources:
  tpch:
    type: files
    format: parquet
    tables:
"""


def prepare() -> None:
    """Make the lake once."""
    from limnos import Lake

    if not COPIES.exists():
        COPIES.mkdir()
        for table in TABLES:
            duckdb.sql(f"COPY (FROM '{tpch() / table}.parquet') TO '{COPIES / table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    LAKE.mkdir(exist_ok=True)
    lines = "".join(f'      {table}: {{path: "{tpch() / table}.parquet"}}\n' for table in TABLES)
    (LAKE / "limnos.yml").write_text(PROJECT + lines)
    result = Lake(LAKE).run()
    assert result.exit_code() == 0, result


def raw(directory: Path) -> float:
    """Run the queries on plain Parquet files."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA tpch")
    for table in TABLES:
        connection.execute(f"CREATE VIEW tpch.{table} AS SELECT * FROM read_parquet('{directory / table}.parquet')")
    return _all(lambda sql: connection.execute(sql).to_arrow_table())


def rewritten() -> float:
    """Run the queries with raw DuckDB on the lake's own data files: what is the engine's and not the files' doing."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA tpch")
    for table in TABLES:
        connection.execute(f"CREATE VIEW tpch.{table} AS SELECT * FROM read_parquet('{LAKE}/.limnos/lake/tpch/{table}/data/*/*.parquet')")
    return _all(lambda sql: connection.execute(sql).to_arrow_table())


def lake() -> float:
    """Run the queries through the lake."""
    from limnos import Lake

    opened = Lake(LAKE)
    # Imports are outside the measured part on both sides.
    opened.query("select 1").to_arrow()
    return _all(lambda sql: opened.query(sql).to_arrow())


def _all(run: object) -> float:
    assert callable(run)
    total = 0.0
    for number, sql in enumerate(QUERIES, 1):
        seconds = timed(lambda sql=sql: run(re.sub(r";\s*$", "", sql)))
        if os.environ.get("LIMNOS_BENCHMARK_EACH"):
            print(f"q{number:02d} {seconds:.3f}")
        total += seconds
    return total


if __name__ == "__main__":
    assert len(QUERIES) == 22
    main(
        "22 TPC-H queries, SF1, total, against raw DuckDB on plain Parquet",
        [
            Contender("limnos query", lake, ("limnos", "duckdb", "pyiceberg", "pyarrow")),
            Contender("duckdb, plain Parquet (zstd)", lambda: raw(COPIES)),
            Contender("duckdb, plain Parquet (snappy)", lambda: raw(tpch())),
            Contender("duckdb, the lake's files", rewritten),
        ],
        base="duckdb, plain Parquet (zstd)",
        target=1.05,
        prepare=prepare,
    )
