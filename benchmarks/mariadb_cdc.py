"""A million row changes of a MariaDB table are decoded, merged and published at no less than 60,000 a second, in bounded memory.

Inserts, updates and deletes over half as many keys, in statements of ten thousand rows, wait in the binary log. `limnos run` merges them
into the table as it was published before; the other contenders show what of it is the decoder's, and what another decoder takes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import again
import pymysql
from measure import DATA, HERE, Contender, Target, main, timed
from waiting import CHANGES, DELETED, FIRST, INSERTED, KEYS, UPDATED, decoded, project

sys.path.insert(0, str(HERE.parent / "tests/e2e"))
import services

SINGLE = CHANGES // 10
PER_STATEMENT = min(10_000, CHANGES // 100)
TARGET_PER_S = 60_000
HOME = DATA / "mariadb-cdc"
LAKE = HOME / "lake"
STATE = HOME / "state.json"
TABLE = """
CREATE TABLE accounts (
    id BIGINT PRIMARY KEY, branch INT NOT NULL, balance DECIMAL(12,2), note VARCHAR(80), changed DATETIME(6), state CHAR(8)
)
"""
VALUES = "SELECT seq, seq % 1000, seq * 0.37, CONCAT('note number ', seq), '2024-01-01' + INTERVAL seq SECOND, 'open' FROM"
INSERT = f"INSERT INTO accounts {VALUES} seq_{{first}}_to_{{last}}"
# A multiplication by a number that has no factor in common with the number of keys scatters them, each once a round.
SCATTERED = f"(SELECT seq * 7919 % {KEYS} + 1 AS id FROM seq_{{first}}_to_{{last}}) AS some USING (id)"
UPDATE = f"UPDATE accounts JOIN {SCATTERED} SET state = 'closed', balance = balance + 1"
DELETE = f"DELETE accounts FROM accounts JOIN {SCATTERED}"


def _source(url: str):  # noqa: ANN202 imports belong into the measured process, not to the one that starts it
    from limnos.engines.duckdb import DuckEngine
    from limnos.model.project import SourceConfig
    from limnos.model.secret import Secret
    from limnos.sources.mysql import MariadbSource

    return MariadbSource(SourceConfig("bench", "mariadb", Path(), "bench", {"url": Secret(url)}), DuckEngine())


def _cut(url: str):  # noqa: ANN202 as above
    with _source(url).open() as reading:
        return reading.cut("accounts").as_json()


def prepare(server: services.MariaDB) -> None:
    """Publish the table as it is at first, change it, and make sure that a merge makes the lake equal to it."""
    connection = pymysql.connect(host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench")
        cursor.execute("USE bench")
        url, positions = server.url("bench"), {}
        for table in ("accounts", "single"):
            cursor.execute(TABLE.replace("accounts", table))
        cursor.execute(INSERT.format(first=1, last=FIRST))
        again.new(LAKE, project("mariadb", url))
        again.keep(LAKE)
        positions["accounts"] = _cut(url)
        for statement, first, count in ((INSERT, FIRST + 1, INSERTED), (UPDATE, 0, UPDATED), (DELETE, 0, DELETED)):
            for low in range(first, first + count, PER_STATEMENT):
                cursor.execute(statement.format(first=low, last=low + PER_STATEMENT - 1))
        positions["single"] = _cut(url)
        cursor.execute(f"FOR i IN 1..{SINGLE} DO INSERT INTO single VALUES (i, 1, 2.5, 'note', NOW(6), 'open'); COMMIT; END FOR")
        STATE.write_text(json.dumps({"url": url, "positions": positions}))
    again.verified(again.back(LAKE))
    print(f"{INSERTED:,} inserts, {UPDATED:,} updates, {DELETED:,} deletes in statements of {PER_STATEMENT:,}, {server.version}")


def merge() -> float:
    """Have the waiting changes read, merged and published."""
    import limnos.sources.mysql  # noqa: F401

    lake, results = again.back(LAKE), []
    seconds = timed(lambda: results.extend(lake.run().tables))
    again.merged(lake, results, read=CHANGES, rows=KEYS - DELETED)
    return seconds


def _decoded(table: str, expected: int) -> float:
    state = json.loads(STATE.read_text())
    source = _source(state["url"])
    return timed(lambda: decoded(source, table, state["positions"][table], expected))


def decode() -> float:
    """Read and decode the changes of the large statements; the seconds are those of the whole, with the server's part."""
    return _decoded("accounts", CHANGES)


def single() -> float:
    """Read and decode transactions of one row."""
    return _decoded("single", SINGLE)


def python_mysql_replication() -> float:
    """Decode a tenth of the changes of the large statements with python-mysql-replication; the seconds are ten times what it took."""
    from pymysqlreplication import BinLogStreamReader
    from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

    state = json.loads(STATE.read_text())
    place = json.loads(state["positions"]["accounts"])["value"]
    url = urlsplit(state["url"])
    settings = {"host": url.hostname, "port": url.port, "user": url.username, "passwd": url.password}
    stream = BinLogStreamReader(
        connection_settings=settings,
        server_id=4711,
        is_mariadb=True,
        log_file=place["file"],
        log_pos=place["pos"],
        resume_stream=True,
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )

    def drain() -> None:
        rows = 0
        for event in stream:
            rows += len(event.rows)
            if rows >= CHANGES // 10:
                return

    seconds = timed(drain) * 10
    stream.close()
    return seconds


CONTENDERS = [
    Contender("limnos run, merged and published", merge, ("limnos", "duckdb", "numpy", "pyarrow", "PyMySQL")),
    Contender("limnos, decoded", decode),
    Contender(f"limnos, {SINGLE:,} transactions of one, decoded", single),
    Contender("python-mysql-replication, decoded", python_mysql_replication, ("mysql-replication",)),
]


def measure() -> None:
    """Measure against the server at hand."""
    main(
        f"{CHANGES:,} row changes of a table of 6 columns that wait in MariaDB's log, in seconds; target {TARGET_PER_S:,} a second",
        CONTENDERS,
        base=CONTENDERS[-1].name,
        target=None,
        targets=[Target(CONTENDERS[0].name, CHANGES / TARGET_PER_S)],
    )


if __name__ == "__main__":
    if "--one" in sys.argv:
        measure()
    else:
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        with services.mariadb() as server:
            prepare(server)
            measure()
