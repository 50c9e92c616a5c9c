"""A lake of 6 million rows is compared with PostgreSQL, every column, in at most 1.2 of one hash scan by the server itself.

Needs `pip install reladiff` for its contender, which is left out without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import duckdb
import psycopg
from measure import DATA, Contender, lineitem, main, timed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))
import services

ROWS = int(os.environ.get("LIMNOS_VERIFY_ROWS", "6001215"))
CHANGED = 300
STATE = DATA / "verify.json"
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


def verify() -> float:
    """Compare all columns with Limnos, and make sure that exactly the changed rows are found."""
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


def reladiff() -> float:
    """Compare the same table with a DuckDB copy by reladiff."""
    said = json.loads(STATE.read_text())
    copy = DATA / "verify.duckdb"
    if not copy.exists():
        with duckdb.connect(str(copy)) as connection:
            connection.execute(f"CREATE TABLE lineitem AS SELECT * FROM read_parquet('{lineitem()}') LIMIT {ROWS}")
    command = [str(Path(sys.executable).with_name("reladiff")), said["url"], "lineitem", f"duckdb://:@{copy}", "lineitem"]
    command += ["-k", "l_orderkey", "-k", "l_linenumber", *(part for column in said["columns"] for part in ("-c", column)), "--stats"]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


if __name__ == "__main__":
    contenders = [
        Contender("limnos verify, 300 rows changed", verify, ("duckdb", "psycopg")),
        Contender("one hash scan by PostgreSQL", scan, ()),
    ]
    if find_spec("reladiff"):
        contenders.append(Contender("reladiff", reladiff, ("reladiff",)))
    if "--one" in sys.argv:
        main(__doc__ or "", contenders, base=contenders[1].name, target=1.2)
    else:
        DATA.mkdir(exist_ok=True)
        with world():
            main(str(__doc__).splitlines()[0], contenders, base=contenders[1].name, target=1.2)
