"""The connections that rows come over: both ways of receiving them, several at once, and how they end."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from services import Postgres

from limnos.engines.duckdb import DuckEngine
from limnos.errors import SourceRefused, SourceUnreachable
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.project import Protect, SourceConfig
from limnos.model.secret import Secret
from limnos.ports import Reading
from limnos.sources.postgres import PostgresSource
from limnos.sources.postgres.wire import Wire

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("decoder")]

ROWS = 120_000
# Rows of every length around that of the buffer's padding, some without characters outside ASCII, and one that is larger than the buffer.
TABLE = f"""
CREATE TABLE wide AS SELECT n AS id, n %% 7 AS small, (CASE WHEN n %% 1000 <> 3 THEN n / 8.0 END)::numeric(15,2) AS amount,
    (CASE WHEN n %% 20000 = 5 THEN 'é' ELSE 'a' END)::char(3) AS mark, repeat('x', n %% 700) AS pad FROM generate_series(1, {ROWS}) n;
UPDATE wide SET pad = repeat('y', 9000000) WHERE id = 30000;
""".replace("%%", "%")
SUMS = """count(*), count(DISTINCT id), sum(id), sum(small), sum(amount), count(amount),
    md5(string_agg({mark}, '' ORDER BY id)), sum(length(pad))"""


@pytest.fixture(scope="module")
def database(postgres_server: Postgres) -> Generator[str]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(postgres_server.url(name), autocommit=True) as writer:
            writer.execute(TABLE)
        yield postgres_server.url(name)
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _source(url: str, connections: int = 3) -> PostgresSource:
    protect = Protect(connections=connections)
    return PostgresSource(
        SourceConfig("shop", "postgres", Path(), "shop", {"url": Secret(url, name="SHOP_DSN")}, protect=protect), DuckEngine()
    )


def _read(reading: Reading, table: str) -> Extract:
    return reading.read(table, reading.describe(table, TableName("shop", table)))


def _sum(extract: Extract) -> tuple[object, ...]:
    rows = pa.Table.from_batches(extract.batches or ())
    with DuckEngine().session() as session:
        return tuple(session.run(f"SELECT {SUMS.format(mark='mark')} FROM rows", rows=rows).to_pylist()[0].values())


def _expected(database: str) -> tuple[object, ...]:
    with psycopg.connect(database) as connection:
        (row,) = connection.execute(f"SELECT {SUMS.format(mark='rpad(mark::text, 3)')} FROM wide").fetchall()
        return tuple(row)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("way", ["", "?gssencmode=prefer"], ids=["socket", "driver"])
def test_each_row_arrives_once_over_any_number_of_connections(database: str, connections: int, way: str) -> None:
    with _source(database + way, connections).open() as reading:
        assert _sum(_read(reading, "wide")) == _expected(database)


def _streams(database: str) -> int:
    with psycopg.connect(database) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT%'").fetchall()
        return int(count)


def test_a_stream_that_is_given_up_leaves_no_connection_and_no_thread(database: str) -> None:
    with _source(database).open() as reading:
        batches = _read(reading, "wide").batches
        assert isinstance(batches, Generator)
        next(batches)
        batches.close()
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("postgres-")] == []
        deadline = time.monotonic() + 10
        while _streams(database) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert _streams(database) == 0


@pytest.mark.parametrize("way", ["", "?gssencmode=prefer"], ids=["socket", "driver"])
def test_a_connection_that_is_cut_in_the_middle_is_an_error_and_not_an_end(database: str, way: str) -> None:
    with _source(database + way, 2).open() as reading:
        batches = _read(reading, "wide").batches
        assert batches is not None
        next(batches)
        with psycopg.connect(database, autocommit=True) as killer:
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT%' AND pid <> pg_backend_pid()"
            )
        with pytest.raises((SourceUnreachable, SourceRefused)):
            Counter(batch.num_rows for batch in batches)


@pytest.mark.parametrize("way", ["", "gssencmode=prefer"], ids=["socket", "driver"])
def test_what_the_server_says_in_the_middle_of_rows_is_kept(database: str, way: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        wire = Wire(psycopg.connect(database + (f"?{way}" if way else ""), autocommit=True))
        with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero"):
            list(wire.copy("SELECT 1 / (id - 59000) FROM wide"))
        wire.close()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
