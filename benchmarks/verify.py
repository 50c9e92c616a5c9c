"""A lake of 6 million rows is compared with PostgreSQL, every column, in at most 1.2 of one hash scan by the server itself.

The sums of the lake's files are kept from the first comparison on; the first is measured as well, as one that finds none, and has the same
target.

Beside it reladiff compares the same table with a DuckDB file of the rows as they were. It is installed into an environment of its own, for
it needs other versions than the project, and left out, with a word, where that cannot be done.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import venv
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import psycopg
from measure import DATA, Contender, Target, lineitem, main, option, timed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))
import services

ROWS = option("rows", 6_001_215, "rows of lineitem")
CHANGED = 300
LONGEST_S = option("longest", 100, "seconds after which reladiff is stopped; it then counts as having taken them")
STATE = DATA / "verify.json"
DAYS = ", ".join(f"{name}::TIMESTAMP AS {name}" for name in ("l_shipdate", "l_commitdate", "l_receiptdate"))
RELADIFF = DATA / "reladiff"
COPY = DATA / f"verify-{ROWS}.duckdb"
PROJECT = 'version: 1\nproject: verify\nsources:\n  tpch: {{type: postgres, url: "{url}", tables: {{lineitem: {{}}}}}}\n'
CREATE = """CREATE TABLE lineitem (
    l_orderkey int8 NOT NULL, l_partkey int8, l_suppkey int8, l_linenumber int4 NOT NULL, l_quantity numeric(15,2),
    l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag text, l_linestatus text, l_shipdate date,
    l_commitdate date, l_receiptdate date, l_shipinstruct text, l_shipmode text, l_comment text)"""
CHANGE = f"""UPDATE lineitem SET l_tax = l_tax + 0.01 WHERE (l_orderkey, l_linenumber) IN (
    SELECT l_orderkey, l_linenumber FROM lineitem ORDER BY md5(l_orderkey || ' ' || l_linenumber) LIMIT {CHANGED})"""


@contextmanager
def world() -> Generator[None]:
    """Run a server with lineitem, load it into a lake, then change some rows at the server."""
    from limnos import Lake

    with services.postgres() as server, tempfile.TemporaryDirectory() as name, psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        csv = Path(name) / "lineitem.csv"
        duckdb.execute(f"COPY (SELECT * FROM read_parquet('{lineitem()}') LIMIT {ROWS}) TO '{csv}' (HEADER false)")
        with csv.open("rb") as rows, connection.cursor().copy("COPY lineitem FROM STDIN (FORMAT csv)") as copy:
            while block := rows.read(1 << 20):
                copy.write(block)
        csv.unlink()
        connection.execute("ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber)")
        connection.execute("VACUUM ANALYZE lineitem")
        (Path(name) / "limnos.yml").write_text(PROJECT.format(url=server.dsn))
        assert Lake(name).run().exit_code() == 0
        (columns,) = connection.execute(
            "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'lineitem'::regclass AND attnum > 0"
        ).fetchone() or ([],)
        connection.execute(CHANGE)
        connection.execute("VACUUM ANALYZE lineitem")
        STATE.write_text(json.dumps({"url": server.dsn, "lake": name, "columns": columns}))
        yield


def verify_anew() -> float:
    """Compare when no sums of the lake's files are kept."""
    with closing(sqlite3.connect(Path(json.loads(STATE.read_text())["lake"]) / ".limnos/state.db")) as state, state:
        state.execute("DELETE FROM limnos_file_sums")
    return verify()


def verify() -> float:
    """Compare all columns with Limnos, and make sure that exactly the changed rows are found."""
    import limnos.flow.verify
    import limnos.sources.postgres  # noqa: F401 imports are not measured
    from limnos import Lake

    lake = Lake(json.loads(STATE.read_text())["lake"])
    lake.query("select 1").to_arrow()
    found = []
    seconds = timed(lambda: found.extend(lake.verify(limit=CHANGED)))
    (one,) = found
    assert (one.changed, one.missing, one.extra, len(one.differences)) == (CHANGED, 0, 0, CHANGED), one
    assert all(list(each.values) == ["l_tax"] for each in one.differences)
    return seconds


def scan() -> float:
    """Hash every row in the server, in one statement under its own settings, as it is commonly written."""
    said = json.loads(STATE.read_text())
    text = " || '|' || ".join(f"coalesce({column}::text, '')" for column in said["columns"])
    sql = f"SELECT count(*), sum(('x' || substr(md5({text}), 1, 15))::bit(60)::bigint) FROM lineitem"
    with psycopg.connect(said["url"]) as connection:
        return timed(lambda: connection.execute(sql.encode()).fetchall())


def install() -> None:
    """Install reladiff once, and write the file that it compares with."""
    if not (RELADIFF / "bin/reladiff").exists():
        venv.create(RELADIFF, with_pip=True)
        pip = [str(RELADIFF / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "reladiff[duckdb,postgresql]==0.6.0"]
        if subprocess.run(pip, check=False).returncode:
            print("reladiff cannot be installed here and is left out")
            return
    if not COPY.exists():
        with duckdb.connect(str(COPY)) as connection:
            # It does not know DuckDB's type of days.
            rows = f"SELECT * REPLACE ({DAYS}) FROM read_parquet('{lineitem()}') LIMIT {ROWS}"
            connection.execute(f"CREATE TABLE lineitem AS {rows}")


def reladiff() -> float:
    """Compare with reladiff, and make sure that it finds the same rows."""
    said = json.loads(STATE.read_text())
    command = [str(RELADIFF / "bin/reladiff"), said["url"], "lineitem", f"duckdb://:@{COPY}", "lineitem", "--json"]
    command += ["-k", "l_orderkey", "-k", "l_linenumber", *(part for column in said["columns"] for part in ("-c", column))]
    printed: list[str] = []
    try:
        seconds = timed(lambda: printed.append(_ran(command)))
    except subprocess.TimeoutExpired:
        print(f"reladiff was stopped after {LONGEST_S} s", file=sys.stderr)
        return float(LONGEST_S)
    assert len(re.findall("^[+\\[{]", printed[0], re.MULTILINE)) == 2 * CHANGED, printed[0][:300]
    return seconds


def _ran(command: list[str]) -> str:
    """Run a command and give what it prints; it does not outlive its time, nor do the processes that it started."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            printed, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0
    return printed


CONTENDERS = [
    Contender("limnos verify, 300 rows changed", verify, ("limnos", "duckdb", "psycopg")),
    Contender("one hash scan by PostgreSQL", scan),
    Contender("limnos verify, no sums kept", verify_anew, rounds=4),
]
TARGETS = [Target(one.name, 1.2, CONTENDERS[1].name) for one in (CONTENDERS[0], CONTENDERS[2])]


def measure() -> None:
    """Measure what is there."""
    if COPY.exists():
        CONTENDERS.append(Contender("reladiff", reladiff, rounds=1))
        TARGETS.append(Target(CONTENDERS[0].name, 0.125, "reladiff"))
    main(str(__doc__).splitlines()[0], CONTENDERS, base=CONTENDERS[1].name, target=None, targets=TARGETS)


if __name__ == "__main__":
    if "--one" in sys.argv:
        measure()
    else:
        DATA.mkdir(exist_ok=True)
        install()
        with world():
            measure()
