"""A database under load keeps at least 90 % of its throughput beside a full load that is protected.

pgbench runs with two clients that never wait, alone and while a table of the same server is loaded once, from its fingerprint to the
published version. What counts are the transactions that ended while the load ran. Its default transaction updates a few rows of two small
tables again and again; a snapshot keeps their old versions from being cleared away, whoever holds it and whatever it reads, so what one
costs that is only held open is measured too. The simple transaction leaves those two tables out. Before each measurement all versions
are cleared away. Everything shares the same cores: server, pgbench and Limnos. Limnos has imported itself before it begins, as it has
where it serves.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from measure import HERE, RESULTS, machine, only_options, option

sys.path.insert(0, str(HERE.parent / "tests/e2e"))
import services

if TYPE_CHECKING:
    from collections.abc import Generator

REPEATS = option("repeats", 5, "how often each is measured")
ROWS = option("rows", 300_000, "rows of the table that is loaded at a pace")
MANY = option("many", 5_000_000, "rows of the table that is loaded without one")
ALONE_S = option("alone-s", 7, "seconds of pgbench alone, and beside a snapshot")
TARGET = 0.9
WARM_UP_S = 1.5
SCALE = 50
PACE = "max_rows_per_s: 50000, connections: 1"


class Case(NamedTuple):
    """Say what pgbench runs, and beside what: a load of a table, or nothing where there is none."""

    flags: tuple[str, ...]
    name: str
    table: str = ""
    protect: str = ""


DEFAULT, SIMPLE = (), ("-N",)
ALONE = "alone"
SNAPSHOT = Case(DEFAULT, "a snapshot that reads nothing")
PROTECTED = Case(DEFAULT, "a protected load", "lines", f"{PACE}, max_snapshot_age: 2s")
CASES = (
    Case(DEFAULT, ALONE),
    SNAPSHOT,
    Case(DEFAULT, "the same under one snapshot", "lines", PACE),
    PROTECTED,
    Case(DEFAULT, "an adaptive load", "many_lines", "connections: 1, adaptive: true, max_snapshot_age: 2s"),
    Case(SIMPLE, ALONE),
    Case(SIMPLE, "a load under one snapshot", "lines", PACE),
)
PROJECT = """
version: 1
project: impact
sources:
  shop: {{type: postgres, url: secret://IMPACT_DSN, tables: {{{table}: {{}}}}, protect: {{{protect}}}}}
"""
LINES = """
CREATE TABLE {table} AS SELECT n AS id, n % 1000 AS part, (n % 9973) * 1.07::numeric(12,2) AS amount,
    date '2020-01-01' + n % 2000 AS day, 'line ' || n AS note FROM generate_series(1, {rows}) n
"""
CLEAR = ("VACUUM FULL pgbench_branches", "VACUUM FULL pgbench_tellers", "CHECKPOINT")


@contextmanager
def pgbench(directory: Path, flags: tuple[str, ...]) -> Generator[None]:
    """Run pgbench for as long as this lasts; it writes a line for each transaction."""
    with psycopg.connect(os.environ["IMPACT_DSN"], autocommit=True) as connection:
        for statement in CLEAR:
            connection.execute(statement)
    command = ["pgbench", "-n", "-c", "2", "-j", "1", "-T", "3600", "-M", "prepared", "-l", f"--log-prefix={directory}/log", *flags]
    running = subprocess.Popen([*command, os.environ["IMPACT_DSN"]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(WARM_UP_S)
        yield
    finally:
        assert running.poll() is None, "pgbench ended early"
        running.terminate()
        running.wait()


def measured(directory: Path, start: float, end: float) -> Mapping[str, float]:
    """Give transactions a second and the 95th percentile of their latency, of those that ended in an interval."""
    lines = [line.split() for file in directory.glob("log.*") for line in file.read_text().splitlines()[:-1]]
    latencies = [int(line[2]) / 1000 for line in lines if start <= int(line[4]) + int(line[5]) / 1e6 < end]
    p95_ms = statistics.quantiles(latencies, n=20)[-1]
    return {"tps": len(latencies) / (end - start), "p95_ms": p95_ms, "load_s": 0.0, "load_cpu_s": 0.0}


def measure(case: Case) -> Mapping[str, float]:
    """Measure pgbench beside what a case says."""
    if case.table:
        return beside(case)
    with tempfile.TemporaryDirectory() as name, psycopg.connect(os.environ["IMPACT_DSN"]) as connection:
        with pgbench(Path(name), case.flags):
            if case is SNAPSHOT:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.execute("SELECT 1")
            start = time.time()
            time.sleep(ALONE_S)
            end = time.time()
        return measured(Path(name), start, end)


def beside(case: Case) -> Mapping[str, float]:
    """Measure pgbench while another process loads a table."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "limnos.yml").write_text(PROJECT.format(table=case.table, protect=case.protect))
        loader = subprocess.Popen([sys.executable, *sys.argv, "--load", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert loader.stdin
        assert loader.stdout
        with closing(loader.stdin), closing(loader.stdout):
            assert loader.stdout.readline() == "ready\n"
            with pgbench(Path(name), case.flags):
                loader.stdin.write("go\n")
                loader.stdin.flush()
                start, end, cpu_s, written = (float(word) for word in loader.stdout.readline().split())
        assert loader.wait() == 0
        assert written == (MANY if case.table == "many_lines" else ROWS)
        return {**measured(Path(name), start, end), "load_s": end - start, "load_cpu_s": cpu_s}


def load(directory: str) -> None:
    """Load the table once told to; print when that began and ended, the processor's seconds, and the rows."""
    import limnos.sources.postgres
    import limnos.tables.iceberg  # noqa: F401
    from limnos import Lake

    lake = Lake(directory)
    lake.query("SELECT 1").to_arrow()
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.time()
    (table,) = lake.run().tables
    assert table.error is None, table.error
    print(start, time.time(), time.process_time(), table.written, flush=True)


def main() -> None:
    """Measure in turns, and say how much of its throughput the database kept."""
    found: dict[Case, list[Mapping[str, float]]] = {case: [] for case in CASES}
    with services.postgres() as server:
        os.environ["IMPACT_DSN"] = server.dsn
        subprocess.run(["pgbench", "-i", "-q", "-s", str(SCALE), server.dsn], check=True, capture_output=True)
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for table, rows in (("lines", ROWS), ("many_lines", MANY)):
                connection.execute(LINES.format(table=table, rows=rows))
            connection.execute("VACUUM ANALYZE")
        for _ in range(REPEATS):
            for case, each in found.items():
                each.append(measure(case))
    report(found)


def report(found: Mapping[Case, list[Mapping[str, float]]]) -> None:
    """Print a table, and write it beside the others; a share is the median over the repeats of a round's own share of `alone`."""
    rows: list[Mapping[str, object]] = []
    print(f"\n{'pgbench':<8} {'beside':<30} {'tps':>7} {'min':>7} {'max':>7} {'share':>6} {'p95 ms':>7} {'load s':>7}  protect")
    for case, each in found.items():
        tps = [one["tps"] for one in each]
        middle = {key: statistics.median(one[key] for one in each) for key in each[0]}
        share = statistics.median(one / other["tps"] for one, other in zip(tps, found[Case(case.flags, ALONE)], strict=True))
        flags = " ".join(case.flags) or "default"
        print(f"{flags:<8} {case.name:<30} {middle['tps']:>7.0f} {min(tps):>7.0f} {max(tps):>7.0f} {share:>6.3f} ", end="")
        print(f"{middle['p95_ms']:>7.2f} {middle['load_s']:>7.1f}  {case.protect}")
        rows.append({"pgbench": flags, "beside": case.name, **middle, "share": share, "protect": case.protect, "repeats": len(each)})
        if case is PROTECTED:
            kept = f"{share:.3f} of the throughput alone, target {TARGET}: {'kept' if share >= TARGET else 'MISSED'}"
    print(f"{PROTECTED.name}: {kept}")
    versions = {package: version(package) for package in ("limnos", "psycopg", "duckdb")}
    claim = str(__doc__).splitlines()[0]
    text = {"claim": claim, "rows": ROWS, "many": MANY, "target": TARGET, "found": rows, "versions": versions, "machine": machine()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "source_impact.json").write_text(json.dumps(text, indent=2) + "\n")


if __name__ == "__main__":
    if "--load" in sys.argv:
        load(sys.argv[-1])
    else:
        only_options(str(__doc__).splitlines()[0])
        main()
