"""A profile of lineitem is ten times faster than ydata-profiling's minimal mode, and no slower than 1/0.8 of DuckDB's SUMMARIZE.

SUMMARIZE reads the lake's own data files. It estimates the number of different values and the quantiles; ours are exact, and top values,
patterns, keys and classes come on top. ydata-profiling is a contender where `LIMNOS_BENCHMARK_YDATA` names a Python that has it and
pyarrow. It is measured once, on a part of the rows, and its seconds are stretched to all of them; reading the file is not counted, as it
needs a pandas frame, nor is its report: it is asked for the numbers alone.
"""

from __future__ import annotations

import os
import subprocess
import sys

import duckdb
from measure import DATA, Contender, Target, lineitem, main, option, timed

ROWS = 6_001_215
YDATA_ROWS = option("ydata-rows", 1_000_000, "how many of the rows for ydata-profiling")
YDATA = os.environ.get("LIMNOS_BENCHMARK_YDATA", "")
LAKE = DATA / "profile-lake"
PROJECT = """
version: 1
project: profile
sources:
  tpch: {{type: files, format: parquet, path: "{file}", tables: {{lineitem: {{}}}}}}
"""
MINIMAL = """
import sys, time
import pyarrow as pa, pyarrow.parquet as pq
from ydata_profiling import ProfileReport
batch = next(pq.ParquetFile(sys.argv[1]).iter_batches(int(sys.argv[2])))
rows = pa.table(batch)
rows = rows.cast(pa.schema([(f.name, pa.float64() if pa.types.is_decimal(f.type) else f.type) for f in rows.schema]))
frame = rows.to_pandas(date_as_object=False)
del batch, rows
start = time.perf_counter()
described = ProfileReport(frame, minimal=True, progress_bar=False).get_description()
print(len(frame), len(described.variables), time.perf_counter() - start)
"""


def prepare() -> None:
    """Make the lake once."""
    from limnos import Lake

    if not LAKE.exists():
        LAKE.mkdir()
        (LAKE / "limnos.yml").write_text(PROJECT.format(file=lineitem()))
        assert Lake(LAKE).run().exit_code() == 0


def ours() -> float:
    """Profile the published table: distributions, keys, classes."""
    from limnos import Lake

    lake = Lake(LAKE)
    # Imports are outside the measured part on both sides.
    lake.query("select 1").to_arrow()
    import limnos.flow.profile  # noqa: F401

    found = []
    seconds = timed(lambda: found.append(lake.profile("tpch.lineitem")))
    assert found[0].rows == ROWS
    assert [key.columns for key in found[0].keys] == [("l_orderkey", "l_linenumber")], found[0].keys
    assert {column.name: column.distinct for column in found[0].columns}["l_partkey"] == 200_000
    return seconds


def summarize() -> float:
    """Summarize the lake's files with DuckDB."""
    files = sorted(map(str, (LAKE / ".limnos/lake/tpch/lineitem/data").rglob("*.parquet")))
    connection = duckdb.connect()
    found: list[tuple[object, ...]] = []
    seconds = timed(lambda: found.extend(connection.execute(f"SUMMARIZE SELECT * FROM read_parquet({files})").fetchall()))
    assert {row[10] for row in found} == {ROWS}
    return seconds


def ydata() -> float:
    """Profile a part of the rows with ydata-profiling; the seconds are as if it had been all."""
    command = [YDATA, "-W", "ignore", "-c", MINIMAL, str(lineitem()), str(YDATA_ROWS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    rows, columns, seconds = done.stdout.splitlines()[-1].split()
    assert (int(rows), int(columns)) == (min(YDATA_ROWS, ROWS), 16), done.stdout
    return float(seconds) * ROWS / int(rows)


if __name__ == "__main__":
    limnos, base, part = "limnos profile", "duckdb SUMMARIZE", f"ydata-profiling, minimal, stretched from {YDATA_ROWS:,} rows"
    contenders = [Contender(limnos, ours, ("limnos", "duckdb", "pyarrow")), Contender(base, summarize)]
    targets = [Target(limnos, 1 / 0.8, base)]
    if YDATA:
        contenders.append(Contender(part, ydata, rounds=1))
        targets.append(Target(limnos, 0.1, part))
    elif "--one" not in sys.argv:
        print("ydata-profiling is left out: LIMNOS_BENCHMARK_YDATA names no Python that has it", file=sys.stderr)
    claim = f"profile of {ROWS:,} rows of lineitem, 16 columns"
    main(claim, contenders, base=base, target=None, prepare=prepare, targets=targets, repeats=3)
