"""Loading a 4 GB CSV file takes no more than 600 MB of memory at its peak."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import duckdb
from measure import DATA, Contender, main, timed, tpch

CSV = DATA / "lineitem-4gb.csv"
BYTES = 4_000_000_000
COLUMNS = {
    "l_orderkey": "long",
    "l_partkey": "long",
    "l_suppkey": "long",
    "l_linenumber": "int",
    "l_quantity": "decimal(15,2)",
    "l_extendedprice": "decimal(15,2)",
    "l_discount": "decimal(15,2)",
    "l_tax": "decimal(15,2)",
    "l_returnflag": "string",
    "l_linestatus": "string",
    "l_shipdate": "date",
    "l_commitdate": "date",
    "l_receiptdate": "date",
    "l_shipinstruct": "string",
    "l_shipmode": "string",
    "l_comment": "string",
}
PROJECT = """
version: 1
project: big_csv
sources:
  tpch: {{type: files, format: csv, path: "{file}", tables: {{lineitem: {{}}}}}}
tables:
  tpch.lineitem:
    columns:
{columns}
"""


def prepare() -> None:
    """Write the file once: lineitem over and over until it is 4 GB."""
    if CSV.exists() and CSV.stat().st_size >= BYTES:
        return
    part = DATA / "lineitem-part.csv"
    duckdb.sql(f"COPY (FROM read_parquet('{tpch() / 'lineitem.parquet'}')) TO '{part}' (FORMAT csv, HEADER false)")
    with CSV.open("wb") as target:
        target.write((",".join(COLUMNS) + "\n").encode())
        while target.tell() < BYTES:
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 16 * 1024 * 1024)
    part.unlink()


def load() -> float:
    """Load the file into an empty lake."""
    from limnos import Lake

    directory = Path(tempfile.mkdtemp(dir=DATA))
    try:
        columns = "\n".join(f'      - {{name: {name}, type: "{kind}"}}' for name, kind in COLUMNS.items())
        (directory / "limnos.yml").write_text(PROJECT.format(file=CSV, columns=columns))
        result = None

        def run() -> None:
            nonlocal result
            result = Lake(directory).run()

        seconds = timed(run)
        assert result is not None
        assert result.exit_code() == 0, result
        print(f"read {result.tables[0].read:,}")
        return seconds
    finally:
        shutil.rmtree(directory)


def copy() -> float:
    """Copy the file with DuckDB, typed, to zstd Parquet; it rounds what does not fit and checks nothing."""
    types = ", ".join(
        f"'{name}': '{kind.replace('long', 'BIGINT').replace('string', 'VARCHAR').upper()}'" for name, kind in COLUMNS.items()
    )
    with tempfile.TemporaryDirectory(dir=DATA) as directory:
        rows = f"FROM read_csv('{CSV}', header = true, columns = {{{types}}})"
        sql = f"COPY ({rows}) TO '{directory}/x.parquet' (FORMAT parquet, COMPRESSION zstd)"
        return timed(lambda: duckdb.sql(sql))


if __name__ == "__main__":
    main(
        "a 4 GB CSV file into a published table; the target is a peak of 600 MB (572 MiB)",
        [Contender("limnos run", load, ("limnos", "duckdb", "pyarrow")), Contender("duckdb COPY, one pass, inexact", copy)],
        base="duckdb COPY, one pass, inexact",
        target=None,
        prepare=prepare,
        repeats=3,
    )
