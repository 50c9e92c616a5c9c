"""What reading may cost a source, on real servers: its replica, its limits of time, and how doctor tells of them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from tests.e2e import services
from tests.e2e.services import MariaDB, Postgres

from limnos import Lake
from limnos.engines.duckdb import DuckEngine
from limnos.errors import SourceRefused
from limnos.model.names import TableName
from limnos.model.project import Mode, Protect, SourceConfig, SourceTable
from limnos.model.secret import Secret
from limnos.sources.mysql import MariadbSource, lanes, parts
from limnos.sources.mysql import health as mariadb
from limnos.sources.mysql.address import ask
from limnos.sources.postgres import PostgresSource
from limnos.sources.postgres.health import choose


@pytest.fixture(scope="module")
def replica(postgres_server: Postgres) -> Iterator[Postgres]:
    with services.postgres_replica(postgres_server) as server:
        yield server


@pytest.fixture
def copied(postgres_server: Postgres, replica: Postgres, database: str) -> str:
    """Give the database once the replica has it as well."""
    with psycopg.connect(postgres_server.dsn) as primary, psycopg.connect(replica.dsn, autocommit=True) as behind:
        (written,) = primary.execute("SELECT pg_current_wal_lsn()").fetchone() or ("",)
        while behind.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]).fetchone() != (True,):
            time.sleep(0.01)
    return database


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[str]:
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute("DROP DATABASE IF EXISTS protected WITH (FORCE)")
        owner.execute("CREATE DATABASE protected")
        with psycopg.connect(postgres_server.url("protected"), autocommit=True) as connection:
            connection.execute("CREATE TABLE t (id bigint PRIMARY KEY, word text)")
            connection.execute("INSERT INTO t SELECT n, 'word ' || n FROM generate_series(1, 5000) n")
        yield "protected"
        owner.execute("DROP DATABASE protected WITH (FORCE)")


def config(server: Postgres, database: str, protect: Protect, mode: Mode = Mode.FULL) -> SourceConfig:
    table = SourceTable("t", TableName("shop", "t"), mode)
    options = {"url": Secret(server.url(database)), "schema": "public"}
    return SourceConfig("shop", "postgres", Path(), "shop", options, (table,), protect=protect)


def beside(replica: Postgres, database: str, max_lag_s: float = 30.0) -> Protect:
    return Protect(replica=Secret(replica.url(database)), max_lag_s=max_lag_s)


@contextmanager
def stopped_replay(replica: Postgres) -> Generator[None]:
    with psycopg.connect(replica.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        while connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
            time.sleep(0.01)
        try:
            yield
        finally:
            connection.execute("SELECT pg_wal_replay_resume()")


def test_a_replica_that_is_near_is_read_and_gives_the_same_rows(postgres_server: Postgres, replica: Postgres, copied: str) -> None:
    chosen = choose(config(postgres_server, copied, beside(replica, copied)))
    assert chosen.replica, chosen.note
    assert f":{replica.port}/" in chosen.address.shown
    assert chosen.note.startswith(f"the replica 127.0.0.1:{replica.port}/protected is read; it lags ")
    rows = []
    for protect in (Protect(), beside(replica, copied)):
        source = PostgresSource(config(postgres_server, copied, protect), DuckEngine())
        with source.open() as reading:
            extract = reading.read("t", reading.describe("t", TableName("shop", "t")))
            batches = list(extract.batches or ())
        rows.append(sorted(tuple(row.values()) for batch in batches for row in batch.to_pylist()))
        assert extract.rows == 5000
    assert rows[0] == rows[1]
    assert len(rows[0]) == 5000


def test_a_replica_that_lags_is_left_for_the_primary(postgres_server: Postgres, replica: Postgres, copied: str) -> None:
    with stopped_replay(replica), psycopg.connect(postgres_server.url(copied), autocommit=True) as connection:
        connection.execute("INSERT INTO t VALUES (0, 'late')")
        chosen = choose(config(postgres_server, copied, beside(replica, copied, max_lag_s=0.5)))
        assert not chosen.replica
        assert chosen.note.startswith("the primary is read, not the replica: it lags ")
        assert f":{postgres_server.port}/" in chosen.address.shown
    assert choose(config(postgres_server, copied, beside(replica, copied))).replica


def test_a_replica_is_not_read_where_it_does_not_answer_or_is_none(postgres_server: Postgres, replica: Postgres, database: str) -> None:
    nobody = Protect(replica=Secret("postgresql://ana:hunter2@127.0.0.1:1/shop"))
    unreachable = choose(config(postgres_server, database, nobody))
    assert unreachable.note == 'the primary is read, not the replica: postgres "shop" does not answer'
    itself = choose(config(postgres_server, database, beside(postgres_server, database)))
    assert itself.note.endswith(f"127.0.0.1:{postgres_server.port}/protected is not a replica")
    assert not unreachable.replica
    assert not itself.replica


def test_tables_of_mode_cdc_are_read_at_the_primary(postgres_server: Postgres, replica: Postgres, database: str) -> None:
    chosen = choose(config(postgres_server, database, beside(replica, database), Mode.CDC))
    assert (chosen.replica, chosen.note) == (False, "the primary is read, not the replica: tables of mode cdc need its log")


def test_a_run_reads_the_replica_and_doctor_says_so(
    postgres_server: Postgres, replica: Postgres, copied: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMARY", postgres_server.url(copied))
    monkeypatch.setenv("REPLICA", replica.url(copied))
    (tmp_path / "limnos.yml").write_text(
        "version: 1\nsources:\n  shop: {type: postgres, url: secret://PRIMARY, tables: {t: {}}, protect: {replica: secret://REPLICA}}\n"
    )
    with psycopg.connect(replica.url(copied), autocommit=True) as connection:
        count = "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 't'"
        ((before,),) = connection.execute(count).fetchall()
        (table,) = Lake(tmp_path).run().tables
        assert table.written == 5000
        connection.execute("SELECT pg_stat_clear_snapshot()")
        ((after,),) = connection.execute(count).fetchall()
    assert after > before
    (note,) = table.notes
    assert note.startswith(f"the replica 127.0.0.1:{replica.port}/{copied} is read; it lags ")
    found = {finding.subject: finding for finding in Lake(tmp_path).doctor("shop")}
    told = found["shop: source shop, replica"]
    assert told.ok
    assert "is read; it lags" in told.detail
    assert any("answers a trivial question in" in finding.detail for finding in Lake(tmp_path).doctor("shop"))


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[MariaDB, MariaDB]]:
    with services.mariadb() as primary, services.mariadb("--server-id=2", "--gtid-strict-mode=0") as replica:
        with pymysql.connect(**_login(primary)) as one, one.cursor() as cursor:
            cursor.execute("SHOW MASTER STATUS")
            (file, position, *_) = cursor.fetchone() or ("", 0)
            cursor.execute("CREATE DATABASE protected")
            cursor.execute("CREATE TABLE protected.t (id bigint PRIMARY KEY, word text)")
            cursor.executemany("INSERT INTO protected.t VALUES (%s, %s)", [(n, f"word {n}") for n in range(500)])
            one.commit()
            cursor.execute("SHOW MASTER STATUS")
            (_, end, *_) = cursor.fetchone() or ("", 0)
        with pymysql.connect(**_login(replica)) as two, two.cursor() as cursor:
            cursor.execute(
                f"CHANGE MASTER TO MASTER_HOST='{primary.host}', MASTER_PORT={primary.port}, MASTER_USER='{primary.user}', "
                f"MASTER_PASSWORD='{primary.password}', MASTER_LOG_FILE='{file}', MASTER_LOG_POS={position}, MASTER_USE_GTID=no"
            )
            cursor.execute("START SLAVE")
            cursor.execute("SELECT MASTER_POS_WAIT(%s, %s, 30)", [file, end])
        yield primary, replica


def _login(server: MariaDB) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "user": server.user, "password": server.password}


def _beside(pair: tuple[MariaDB, MariaDB], max_lag_s: float = 30.0) -> SourceConfig:
    primary, replica = pair
    protect = Protect(replica=Secret(replica.url("protected")), max_lag_s=max_lag_s)
    table = SourceTable("t", TableName("shop", "t"))
    return SourceConfig("shop", "mariadb", Path(), "shop", {"url": Secret(primary.url("protected"))}, (table,), protect=protect)


def test_a_replica_of_mariadb_is_read_while_it_replicates_and_the_primary_when_it_has_stopped(pair: tuple[MariaDB, MariaDB]) -> None:
    primary, replica = pair
    chosen = mariadb.choose(_beside(pair))
    assert chosen.replica, chosen.note
    assert f":{replica.port}/" in chosen.address.shown
    with MariadbSource(_beside(pair), DuckEngine()).open() as reading:
        extract = reading.read("t", reading.describe("t", TableName("shop", "t")))
        assert sum(batch.num_rows for batch in extract.batches or ()) == extract.rows == 500
    with pymysql.connect(**_login(replica)) as two, two.cursor() as cursor:
        cursor.execute("STOP SLAVE")
        stopped = mariadb.choose(_beside(pair))
        cursor.execute("START SLAVE")
    assert stopped.note.endswith("does not replicate")
    assert f":{primary.port}/" in stopped.address.shown
    found = [finding.detail for finding in MariadbSource(_beside(pair), DuckEngine()).findings()]
    assert any("answers a trivial question in" in detail for detail in found)


SLOW = Protect(max_rows_per_s=1000, statement_timeout_s=1.0, connections=1)


def _read(source: PostgresSource | MariadbSource, table: str) -> int:
    with source.open() as reading:
        extract = reading.read(table, reading.describe(table, TableName("shop", table)))
        read = sum(batch.num_rows for batch in extract.batches or ())
        assert read == extract.rows + (extract.counted() if extract.counted else 0)
        return read


def test_pauses_do_not_count_as_time_that_a_statement_takes(
    postgres_server: Postgres, database: str, pair: tuple[MariaDB, MariaDB]
) -> None:
    # The rows do not fit into what lies between server and reader: the statement goes on while the reader pauses.
    with psycopg.connect(postgres_server.url(database), autocommit=True) as connection:
        connection.execute("CREATE TABLE wide AS SELECT n AS id, repeat('x', 8000) AS word FROM generate_series(1, 3000) n")
    assert _read(PostgresSource(config(postgres_server, database, SLOW), DuckEngine()), "wide") == 3000
    primary, _ = pair
    with pymysql.connect(**_login(primary), database="protected", autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE protected.wide AS SELECT seq AS id, repeat('x', 8000) AS word FROM seq_1_to_3000")
    assert _read(MariadbSource(replace(_beside(pair), protect=SLOW), DuckEngine()), "wide") == 3000


def test_a_count_is_divided_where_the_server_is_to_be_spared(pair: tuple[MariaDB, MariaDB], monkeypatch: pytest.MonkeyPatch) -> None:
    primary, _ = pair
    with pymysql.connect(**_login(primary), database="protected", autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE protected.divided (id int PRIMARY KEY, word varchar(100))")
        cursor.execute("INSERT INTO protected.divided SELECT seq, repeat('y', 90) FROM seq_1_to_6000")
        cursor.execute("ANALYZE TABLE protected.divided")
    monkeypatch.setattr(parts, "_PART_BYTES", 64 * 1024)
    asked: list[str] = []
    monkeypatch.setattr(lanes, "ask", lambda connection, sql, *values: asked.append(sql) or ask(connection, sql, *values))
    for rate in (0, 1_000_000):
        asked.clear()
        source = MariadbSource(replace(_beside(pair), protect=Protect(max_rows_per_s=rate)), DuckEngine())
        assert _read(source, "divided") == 6000
        counts = [sql for sql in asked if "count(*)" in sql]
        # Without a pace the server says what each range found, and counts nothing beside.
        assert len(counts) > 2 if rate else not counts, counts


def test_a_lock_that_somebody_holds_ends_the_reading_in_time(postgres_server: Postgres, database: str) -> None:
    source = PostgresSource(config(postgres_server, database, Protect(lock_timeout_s=0.2)), DuckEngine())
    with source.open() as reading, psycopg.connect(postgres_server.url(database)) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SourceRefused) as caught:
            reading.position("t")
    assert "lock" in caught.value.seen
    assert "lock_timeout" in caught.value.hint
