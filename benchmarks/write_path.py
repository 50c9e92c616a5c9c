"""A Parquet file becomes a published, audited table at no more than 1.15 of what DuckDB takes to copy it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import duckdb
from measure import Contender, lineitem, main, timed

PROJECT = """
version: 1
project: write_path
sources:
  tpch: {{type: files, format: parquet, path: "{file}", tables: {{lineitem: {{}}}}}}
"""
CHECKS = """
tables:
  tpch.lineitem:
    checks:
      - not_null: [l_orderkey, l_linenumber, l_partkey, l_suppkey, l_shipdate]
      - range: {column: l_quantity, min: 1, max: 50}
      - range: {column: l_discount, min: 0, max: 0.10}
      - accepted_values: {column: l_returnflag, values: [A, N, R]}
"""


def copy() -> float:
    """Copy the file with DuckDB to one zstd Parquet file."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "lineitem.parquet"
        connection = duckdb.connect()
        sql = f"COPY (SELECT * FROM read_parquet('{lineitem()}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        return timed(lambda: connection.execute(sql))


def load(checks: str = "") -> float:
    """Load the file into an empty lake, to the published table."""
    from limnos import Lake

    directory = Path(tempfile.mkdtemp())
    try:
        (directory / "limnos.yml").write_text(PROJECT.format(file=lineitem()) + checks)
        lake = Lake(directory)
        lake.query("select 1").to_arrow()
        # Imports are outside the measured part on both sides.
        import limnos.tables.iceberg  # noqa: F401

        seconds = timed(lake.run)
        (row,) = lake.query("select count(*) as n from tpch.lineitem").rows()
        assert row["n"] == 6_001_215, row
        return seconds
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main(
        "lineitem SF1 from Parquet to a published table, against plain duckdb COPY to zstd Parquet",
        [
            Contender("limnos run", load, ("limnos", "duckdb", "pyiceberg", "pyarrow")),
            Contender("limnos run, 8 checks", lambda: load(CHECKS)),
            Contender("duckdb COPY", copy),
        ],
        base="duckdb COPY",
        target=1.15,
        prepare=lambda: print(f"data: {lineitem().stat().st_size:,} bytes"),
    )
