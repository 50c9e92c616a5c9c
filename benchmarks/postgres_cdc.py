"""A million changes of a PostgreSQL table are decoded, merged and published at no less than 100,000 a second, in bounded memory.

Inserts, updates and deletes over half as many keys, in transactions of one hundred rows, wait in the server's log. `limnos run` merges them
into the table as it was published before; the other contenders show what of it is the decoder's and what the server's own part.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import again
import psycopg
from measure import DATA, HERE, Contender, Target, main, timed
from waiting import CHANGES, DELETED, FIRST, INSERTED, KEYS, UPDATED, decoded, project

sys.path.insert(0, str(HERE.parent / "tests/e2e"))
import services

PER_TRANSACTION = 100
TARGET_PER_S = 100_000
HOME = DATA / "postgres-cdc"
LAKE = HOME / "lake"
STATE = HOME / "state.json"
TABLE = """
CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance bigint, filler char(20), changed timestamptz DEFAULT now(), open boolean)
"""
ROWS = "SELECT n, n % 100, 0, 'filler ' || n, now(), n % 2 = 0 FROM generate_series({first}, {last}) n"
# A multiplication by a number that has no factor in common with the number of keys scatters them, each once a round.
SCATTERED = f"SELECT n::bigint * 7919 % {KEYS} + 1 FROM generate_series({{first}}, {{last}}) n"
UPDATE = f"UPDATE accounts SET abalance = abalance + aid, changed = clock_timestamp() WHERE aid IN ({SCATTERED})"
DELETE = f"DELETE FROM accounts WHERE aid IN ({SCATTERED})"


def _source(url: str):  # noqa: ANN202 imports belong into the measured process, not to the one that starts it
    from limnos.engines.duckdb import DuckEngine
    from limnos.model.names import TableName
    from limnos.model.project import Mode, SourceConfig, SourceTable
    from limnos.model.secret import Secret
    from limnos.sources.postgres import PostgresSource

    table = SourceTable("accounts", TableName("bench", "accounts"), Mode.CDC)
    return PostgresSource(SourceConfig("bench", "postgres", Path(), "bench", {"url": Secret(url)}, (table,)), DuckEngine())


def prepare(server: services.Postgres) -> None:
    """Publish the table as it is at first, change it, and make sure that a merge makes the lake equal to it."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(f"INSERT INTO accounts {ROWS.format(first=1, last=FIRST)}".encode())
        connection.execute("VACUUM ANALYZE accounts")
        again.new(LAKE, project("postgres", server.dsn))
        connection.execute("SELECT pg_copy_logical_replication_slot('limnos_bench', 'kept')")
        again.keep(LAKE)
        with _source(server.dsn).open() as reading:
            STATE.write_text(json.dumps({"url": server.dsn, "position": reading.cut("accounts").as_json()}))
        _in_parts(connection, f"INSERT INTO accounts {ROWS}", FIRST + 1, INSERTED)
        _in_parts(connection, UPDATE, 0, UPDATED)
        _in_parts(connection, DELETE, 0, DELETED)
        connection.execute("VACUUM ANALYZE accounts")
    again.verified(_waiting())
    print(f"{INSERTED:,} inserts, {UPDATED:,} updates, {DELETED:,} deletes in transactions of {PER_TRANSACTION}, {server.version}")


def _in_parts(connection: psycopg.Connection, statement: str, first: int, count: int) -> None:
    """Run a statement over ranges of numbers, each a transaction of its own."""
    bounds = statement.format(first=f"{first} + part * {PER_TRANSACTION}", last=f"{first - 1} + (part + 1) * {PER_TRANSACTION}")
    loop = f"FOR part IN 0..{count // PER_TRANSACTION - 1} LOOP {bounds}; COMMIT; END LOOP"
    connection.execute(f"DO $$ BEGIN {loop}; END $$".encode())


def _waiting():  # noqa: ANN202 as above
    """Put lake and slot back to where they stood, with all changes waiting."""
    with psycopg.connect(json.loads(STATE.read_text())["url"], autocommit=True) as connection:
        connection.execute("SELECT pg_drop_replication_slot('limnos_bench')")
        connection.execute("SELECT pg_copy_logical_replication_slot('kept', 'limnos_bench')")
    import limnos.sources.postgres  # noqa: F401

    return again.back(LAKE)


def merge() -> float:
    """Have the waiting changes read, merged and published."""
    lake, results = _waiting(), []
    seconds = timed(lambda: results.extend(lake.run().tables))
    again.merged(lake, results, read=CHANGES, rows=KEYS - DELETED)
    return seconds


def decode() -> float:
    """Read and decode all changes; the seconds are those of the whole, with the server's part."""
    _waiting()
    state = json.loads(STATE.read_text())
    source = _source(state["url"])
    return timed(lambda: decoded(source, "accounts", state["position"], CHANGES))


def fetch() -> float:
    """Have the server send the same messages, and decode nothing."""
    state = json.loads(STATE.read_text())
    sql = """COPY (SELECT data FROM pg_logical_slot_peek_binary_changes('kept', NULL, NULL,
        'proto_version', '1', 'publication_names', 'limnos_bench')) TO STDOUT (FORMAT binary)"""

    def drain() -> None:
        with psycopg.connect(state["url"]) as connection, connection.cursor().copy(sql) as copy:
            while copy.read():
                pass

    return timed(drain)


CONTENDERS = [
    Contender("limnos run, merged and published", merge, ("limnos", "duckdb", "numpy", "pyarrow", "psycopg")),
    Contender("limnos, decoded", decode),
    Contender("psycopg COPY, not decoded", fetch),
]


def measure() -> None:
    """Measure against the server at hand."""
    main(
        f"{CHANGES:,} changes of a table of 6 columns that wait in PostgreSQL's log, in seconds; target {TARGET_PER_S:,} a second",
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
        with services.postgres() as server:
            prepare(server)
            measure()
