"""A million changes of a PostgreSQL table are decoded, exactly, at no less than 500,000 changes a second of the decoder's own time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from measure import DATA, HERE, Contender, main, timed

sys.path.insert(0, str(HERE.parent / "tests/e2e"))
import services

from limnos.model.position import Position

CHANGES = 1_000_000
PER_TRANSACTION = 100
TABLE = """
CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance bigint, filler char(20), changed timestamptz DEFAULT now(), open boolean)
"""
LOAD = "INSERT INTO accounts SELECT n, n %% 100, 0, 'filler ' || n, now(), n %% 2 = 0 FROM generate_series(1, %s) n"
UPDATES = """
DO $$ BEGIN FOR part IN 0..{parts} LOOP
    UPDATE accounts SET abalance = abalance + aid, changed = clock_timestamp() WHERE aid > part * {size} AND aid <= (part + 1) * {size};
    COMMIT;
END LOOP; END $$
"""
STATE = DATA / "postgres-cdc.json"


def _source(url: str):  # noqa: ANN202 imports belong into the measured process, not to the one that starts it
    from limnos.engines.duckdb import DuckEngine
    from limnos.model.names import TableName
    from limnos.model.project import Mode, SourceConfig, SourceTable
    from limnos.model.secret import Secret
    from limnos.sources.postgres import PostgresSource

    table = SourceTable("accounts", TableName("bench", "accounts"), Mode.CDC)
    return PostgresSource(SourceConfig("bench", "postgres", Path(), "bench", {"url": Secret(url)}, (table,)), DuckEngine())


def prepare(server: services.Postgres) -> None:
    """Load a table, note where the stream stands, and change every row twice, in transactions of one hundred rows."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(LOAD.encode(), [CHANGES // 2])
        source = _source(server.dsn)
        source.prepare()
        with source.open() as reading:
            STATE.write_text(json.dumps({"url": server.dsn, "position": reading.cut("accounts").as_json()}))
        size = PER_TRANSACTION
        for _ in range(2):
            connection.execute(UPDATES.format(parts=CHANGES // 2 // size - 1, size=size).encode())
    print(f"{CHANGES:,} updates in transactions of {PER_TRANSACTION}, {server.version}")


def _changes() -> Iterator[int]:
    state = json.loads(STATE.read_text())
    with _source(state["url"]).open() as reading:
        for one in reading.changes({"accounts": Position.from_json(state["position"])}):
            assert one.rows is not None
            yield one.rows.num_rows


def decode() -> float:
    """Read and decode all changes; the seconds are those of the whole, with the server's part."""
    _source("")
    return timed(lambda: _checked(sum(_changes())))


def decoder_alone() -> float:
    """Read and decode all changes; the seconds are the processor's, of this process only."""
    _source("")
    start = time.process_time()
    _checked(sum(_changes()))
    return time.process_time() - start


def fetch() -> float:
    """Have the server send the same messages, and decode nothing."""
    state = json.loads(STATE.read_text())
    sql = """COPY (SELECT data FROM pg_logical_slot_peek_binary_changes('limnos_bench', NULL, NULL,
        'proto_version', '1', 'publication_names', 'limnos_bench')) TO STDOUT (FORMAT binary)"""

    def drain() -> None:
        with psycopg.connect(state["url"]) as connection, connection.cursor().copy(sql) as copy:
            while copy.read():
                pass

    return timed(drain)


def _checked(rows: int) -> None:
    assert rows == CHANGES, rows


if __name__ == "__main__":
    contenders = [
        Contender("limnos, decoded", decode, ("limnos", "numpy", "pyarrow", "psycopg")),
        Contender("limnos, processor seconds", decoder_alone),
        Contender("psycopg COPY, not decoded", fetch),
    ]
    claim = f"{CHANGES:,} changes of a table of 6 columns, from pgoutput to Arrow, in seconds"
    if "--one" in sys.argv:
        main(claim, contenders, base="psycopg COPY, not decoded", target=None)
    else:
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        with services.postgres() as server:
            main(claim, contenders, base="psycopg COPY, not decoded", target=None, prepare=lambda: prepare(server))
