"""A million row changes of a MariaDB table are decoded, merged and published at no less than 60,000 a second, in bounded memory.

Inserts, updates and deletes over half as many keys, in statements of ten thousand rows, wait in the binary log. `limnos run` merges them
into the table as it was published before; the other contenders show what of it is the decoder's, and what another decoder takes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import again
import pymysql
from measure import DATA, HERE, Contender, Target, main, option, timed

sys.path.insert(0, str(HERE.parent / "tests/e2e"))
import services

CHANGES = option("changes", 1_000_000, "row changes that wait in the log")
SINGLE = CHANGES // 50
PER_STATEMENT = min(10_000, CHANGES // 100)
TARGET_PER_S = 60_000
KEYS, FIRST = CHANGES // 2, CHANGES * 3 // 10
INSERTED, DELETED = KEYS - FIRST, CHANGES // 10
UPDATED = CHANGES - INSERTED - DELETED
HOME = DATA / "mariadb-cdc"
LAKE = HOME / "lake"
STATE = HOME / "state.json"
PROJECT = 'version: 1\nproject: bench\nsources:\n  bench: {{type: mariadb, url: "{url}", tables: {{accounts: {{mode: cdc}}}}}}\n'
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
        again.new(LAKE, PROJECT.format(url=url))
        again.keep(LAKE)
        with _source(url).open() as reading:
            positions = {table: reading.cut(table).as_json() for table in ("accounts", "single")}
        STATE.write_text(json.dumps({"url": url, "positions": positions}))
        for statement, first, count in ((INSERT, FIRST + 1, INSERTED), (UPDATE, 0, UPDATED), (DELETE, 0, DELETED)):
            for low in range(first, first + count, PER_STATEMENT):
                cursor.execute(statement.format(first=low, last=low + PER_STATEMENT - 1))
        for number in range(SINGLE):
            cursor.execute("INSERT INTO single VALUES (%s, 1, 2.5, 'note', NOW(6), 'open')", (number,))
    again.verified(again.back(LAKE))
    print(f"{INSERTED:,} inserts, {UPDATED:,} updates, {DELETED:,} deletes in statements of {PER_STATEMENT:,}, {server.version}")


def merge() -> float:
    """Have the waiting changes read, merged and published."""
    import limnos.sources.mysql  # noqa: F401

    lake, results = again.back(LAKE), []
    seconds = timed(lambda: results.extend(lake.run().tables))
    again.merged(lake, results, read=CHANGES, rows=KEYS - DELETED)
    return seconds


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
    _source("")
    return timed(lambda: _checked(sum(_changes("accounts")), CHANGES))


def _processor(table: str, expected: int) -> Callable[[], float]:
    def run() -> float:
        _source("")
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
            if rows >= CHANGES // 10:
                return

    seconds = timed(drain) * 10
    stream.close()
    return seconds


CONTENDERS = [
    Contender("limnos run, merged and published", merge, ("limnos", "duckdb", "numpy", "pyarrow", "PyMySQL")),
    Contender("limnos, decoded", decode),
    Contender("limnos, decoded, processor seconds", _processor("accounts", CHANGES)),
    Contender("limnos, transactions of one, processor seconds", _processor("single", SINGLE)),
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
