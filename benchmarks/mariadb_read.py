"""A MariaDB table becomes a published, audited table in at most 1.2 of the time in which `mariadb --quick` writes it to nowhere.

dlt is a contender where `LIMNOS_BENCHMARK_DLT` names a Python that has `dlt[parquet,filesystem]`, SQLAlchemy and PyMySQL. It would
take many minutes for the whole table, so it loads the first twentieth of it, once; its seconds are printed as they are, not multiplied.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pymysql
from measure import DATA, HERE, Contender, Target, lineitem, main, option, timed

sys.path.insert(0, str(HERE.parent / "tests/e2e"))
import services

ROWS = option("rows", 6_001_215, "how many rows of lineitem")
DLT_ROWS = ROWS // 20
DLT = os.environ.get("LIMNOS_BENCHMARK_DLT", "")
STATE = DATA / "mariadb-read.json"
PROJECT = 'version: 1\nproject: mariadb_read\nsources:\n  tpch: {{type: mariadb, url: "{url}", tables: {{lineitem: {{}}}}}}\n'
TABLE = """
CREATE TABLE lineitem (
    l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber int NOT NULL,
    l_quantity decimal(15,2) NOT NULL, l_extendedprice decimal(15,2) NOT NULL,
    l_discount decimal(15,2) NOT NULL, l_tax decimal(15,2) NOT NULL,
    l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL,
    l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL,
    PRIMARY KEY (l_orderkey, l_linenumber))
"""
DLT_LOAD = """
import sys, time
import dlt
from dlt.sources.sql_database import sql_table
url, directory, limit = sys.argv[1:]
rows = sql_table(credentials=url, table="lineitem", query_adapter_callback=lambda query, table: query.limit(int(limit)))
target = dlt.destinations.filesystem(directory)
pipeline = dlt.pipeline("bench", destination=target, pipelines_dir=directory + "/state", dataset_name="tpch")
start = time.perf_counter()
pipeline.run(rows, loader_file_format="parquet")
print(time.perf_counter() - start)
"""


def fill(server: services.MariaDB) -> None:
    """Load lineitem into the server, through CSV, past its binary log."""
    at = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    with tempfile.TemporaryDirectory() as directory, pymysql.connect(**at, local_infile=True) as owner, owner.cursor() as cursor:
        file = Path(directory) / "lineitem.csv"
        duckdb.sql(f"COPY (FROM read_parquet('{lineitem()}') LIMIT {ROWS}) TO '{file}' (FORMAT csv, HEADER false)")
        for statement in ("SET GLOBAL local_infile = 1", "SET sql_log_bin = 0", "CREATE DATABASE bench", "USE bench", TABLE):
            cursor.execute(statement)
        cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE lineitem FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'")
        owner.commit()
        cursor.execute("ANALYZE TABLE lineitem")
    STATE.write_text(json.dumps({"url": server.url("bench"), **at}))


def load() -> float:
    """Load the table into an empty lake, to the published table."""
    from limnos import Lake

    directory = Path(tempfile.mkdtemp())
    try:
        (directory / "limnos.yml").write_text(PROJECT.format(url=json.loads(STATE.read_text())["url"]))
        lake = Lake(directory)
        lake.query("select 1").to_arrow()
        # Imports are outside the measured part on both sides.
        import limnos.flow.run
        import limnos.sources.mysql
        import limnos.tables.iceberg  # noqa: F401

        seconds = timed(lake.run)
        (row,) = lake.query("select count(*) as n from tpch.lineitem").rows()
        assert row["n"] == ROWS, row
        return seconds
    finally:
        shutil.rmtree(directory)


def client() -> float:
    """Write the table to nowhere with the server's own client."""
    said = json.loads(STATE.read_text())
    command = ["mariadb", "--quick", "-B", f"-h{said['host']}", f"-P{said['port']}", f"-u{said['user']}", "bench"]
    environment = {**os.environ, "MYSQL_PWD": said["password"]}
    command += ["-e", "SELECT * FROM lineitem"]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment))


def dlt() -> float:
    """Load rows with dlt's default into Parquet files; the seconds are those that it takes after its imports."""
    url = json.loads(STATE.read_text())["url"].replace("mariadb://", "mysql+pymysql://")
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run([DLT, "-c", DLT_LOAD, url, directory, str(DLT_ROWS)], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    base, dlt_name = "mariadb --quick to nowhere", f"dlt, {DLT_ROWS:,} rows only"
    contenders = [
        Contender("limnos run", load, ("limnos", "duckdb", "pyarrow", "numpy", "PyMySQL")),
        Contender(base, client),
        *([Contender(dlt_name, dlt, rounds=1)] if DLT else []),
    ]
    targets = [Target("limnos run", 1.2, base), *([Target("limnos run", 0.5, dlt_name)] if DLT else [])]
    claim = f"{ROWS:,} rows of lineitem from MariaDB to a published table, against its own client to /dev/null"
    if "--one" in sys.argv:
        main(claim, contenders, base=base, target=None, targets=targets)
    else:
        if not DLT:
            print("dlt is left out: LIMNOS_BENCHMARK_DLT names no Python that has it")
        with services.mariadb() as server:
            main(claim, contenders, base=base, target=None, targets=targets, prepare=lambda: fill(server))
