"""A million row changes of a MariaDB table are decoded, exactly, at no less than 250,000 a second of the decoder's own time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
from measure import DATA, HERE, Contender, main, timed

sys.path.insert(0, str(HERE.parent / "tests/e2e"))
import services

ROWS = 500_000
SINGLE = 20_000
TABLE = """
CREATE TABLE accounts (
    id BIGINT PRIMARY KEY, branch INT NOT NULL, balance DECIMAL(12,2), note VARCHAR(80), changed DATETIME(6), state CHAR(8)
)
"""
INSERT = "SELECT seq, seq % 1000, seq * 0.37, CONCAT('note number ', seq), '2024-01-01' + INTERVAL seq SECOND, 'open' FROM seq_1_to_"
STATE = DATA / "mariadb-cdc.json"


def _source(url: str):  # noqa: ANN202 imports belong into the measured process, not to the one that starts it
    from limnos.engines.duckdb import DuckEngine
    from limnos.model.project import SourceConfig
    from limnos.model.secret import Secret
    from limnos.sources.mysql import MariadbSource

    return MariadbSource(SourceConfig("bench", "mariadb", Path(), "bench", {"url": Secret(url)}), DuckEngine())


def prepare(server: services.MariaDB) -> None:
    """Insert, update and delete a million rows in statements of many, and some thousands in transactions of one."""
    connection = pymysql.connect(host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench")
        cursor.execute("USE bench")
        url, positions = server.url("bench"), {}
        for table in ("accounts", "single"):
            cursor.execute(TABLE.replace("accounts", table))
            with _source(url).open() as reading:
                positions[table] = reading.cut(table).as_json()
            if table == "accounts":
                cursor.execute(f"INSERT INTO accounts {INSERT}{ROWS}")
                cursor.execute(f"UPDATE accounts SET state = 'closed', balance = balance + 1 WHERE id <= {ROWS * 3 // 5}")
                cursor.execute(f"DELETE FROM accounts WHERE id > {ROWS * 3 // 5}")
        for number in range(SINGLE):
            cursor.execute("INSERT INTO single VALUES (%s, 1, 2.5, 'note', NOW(6), 'open')", (number,))
    STATE.write_text(json.dumps({"url": url, "positions": positions}))
    print(f"{2 * ROWS:,} changes in three statements, {SINGLE:,} in transactions of one, {server.version}")


def _changes(table: str) -> Iterator[int]:
    from limnos.model.position import Position

    state = json.loads(STATE.read_text())
    with _source(state["url"]).open() as reading:
        for one in reading.changes({table: Position.from_json(state["positions"][table])}):
            assert one.rows is not None, one.reload
            yield one.rows.num_rows


def _checked(rows: int, expected: int) -> None:
    assert rows == expected, rows


def decode() -> float:
    """Read and decode the changes of the large statements; the seconds are those of the whole, with the server's part."""
    return timed(lambda: _checked(sum(_changes("accounts")), 2 * ROWS))


def _processor(table: str, expected: int) -> Callable[[], float]:
    def run() -> float:
        start = time.process_time()
        _checked(sum(_changes(table)), expected)
        return time.process_time() - start

    return run


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
            if rows >= ROWS // 5:
                return

    seconds = timed(drain) * 10
    stream.close()
    return seconds


if __name__ == "__main__":
    contenders = [
        Contender("limnos, decoded", decode, ("limnos", "numpy", "pyarrow", "PyMySQL")),
        Contender("limnos, processor seconds", _processor("accounts", 2 * ROWS)),
        Contender("limnos, transactions of one, processor seconds", _processor("single", SINGLE)),
        Contender("python-mysql-replication", python_mysql_replication, ("mysql-replication",)),
    ]
    claim = f"{2 * ROWS:,} row changes of a table of 6 columns, from the binary log to Arrow, in seconds"
    if "--one" in sys.argv:
        main(claim, contenders, base="python-mysql-replication", target=None)
    else:
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        with services.mariadb() as server:
            main(claim, contenders, base="python-mysql-replication", target=None, prepare=lambda: prepare(server))
