"""Every value has one canonical text, whoever writes it: what a database hashes is what the engine hashes of the rows it loaded."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from services import MariaDB, Postgres

from limnos.engines.duckdb import DuckEngine
from limnos.flow.land import Stream
from limnos.model.casts import Casts
from limnos.model.digest import DIGITS
from limnos.model.names import TableName
from limnos.model.project import SourceConfig
from limnos.ports import DigestReading, Session
from limnos.quality.comparison import Found, Matter, compare
from limnos.quality.comparison_sides import EngineSide, SourceSide, typed_rows
from limnos.sources.mysql import MariadbSource
from limnos.sources.postgres import PostgresSource

pytestmark = pytest.mark.e2e

_SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_INSTANTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001 without a zone on purpose


def _decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    bound = 10**precision - 1
    return st.integers(-bound, bound).map(lambda whole: Decimal(whole).scaleb(-scale))


def _around(power: int) -> st.SearchStrategy[float]:
    """Give numbers about which the notation changes."""
    near = st.floats(0.5, 20.0)
    return st.tuples(near, st.sampled_from([10.0**power, 10.0**-power, -(10.0**power), -(10.0**-power)])).map(
        lambda pair: pair[0] * pair[1]
    )


POSTGRES: dict[str, st.SearchStrategy[Any]] = {
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "numeric(12,2)": _decimals(12, 2),
    "numeric(5,5)": _decimals(5, 5),
    "numeric(38,10)": _decimals(37, 10),
    "numeric": _decimals(30, 20),
    "boolean": st.booleans(),
    "date": st.dates(date(1, 1, 1)),
    "time": st.times(),
    "timestamp": st.datetimes(datetime(1, 1, 1)),  # noqa: DTZ001 without a zone on purpose
    "timestamptz": _INSTANTS.map(lambda at: at.replace(tzinfo=UTC)),
    "real": st.floats(width=32),
    "double precision": st.floats(),
    "text": _TEXT,
    "varchar(20)": _TEXT,
    "char(14)": _TEXT,
    "bytea": st.binary(max_size=9),
    "uuid": st.uuids(),
    "interval": st.timedeltas(),
    "text[]": st.lists(_TEXT, max_size=3),
}
MARIADB: dict[str, st.SearchStrategy[Any]] = {
    "tinyint unsigned": st.integers(0, 255),
    "int(8) zerofill": st.integers(0, 2**32 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "bigint unsigned": st.integers(0, 2**64 - 1),
    "decimal(12,2)": _decimals(12, 2),
    "decimal(5,5)": _decimals(5, 5),
    "decimal(38,10)": _decimals(37, 10),
    "year": st.integers(1901, 2155),
    "bit(9)": st.integers(0, 511),
    "date": st.dates(date(1000, 1, 1)),
    "time(6)": st.times(),
    "datetime": _INSTANTS.map(lambda at: at.replace(microsecond=0)),
    "datetime(3)": _INSTANTS.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)),
    "datetime(6)": _INSTANTS,
    "timestamp(6) null": st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31)),  # noqa: DTZ001 the session is in UTC
    "varchar(60)": _TEXT,
    "varchar(60) character set utf8mb4 collate utf8mb4_bin": _TEXT,
    "char(30)": _TEXT.map(str.rstrip),
    "enum('a','b é','')": st.sampled_from(["a", "b é"]),
    "varbinary(9)": st.binary(max_size=9),
    "blob": st.binary(max_size=9),
    "uuid": st.uuids(version=4).map(str),
    "double": st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 16).flatmap(_around),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
}


def _rows(kinds: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    return st.lists(st.tuples(*(st.none() | values for values in kinds.values())), min_size=1, max_size=6)


@contextmanager
def _session() -> Iterator[Session]:
    with DuckEngine().session() as session:
        yield session


def _compared(reading: DigestReading, key: tuple[str, ...] = ("id",)) -> Found:
    """Load the table into the engine the way a run does, then compare."""
    contract = reading.describe("t", TableName("shop", "t"))
    comparable = reading.comparable("t")
    extract = reading.read("t", contract)
    assert extract.batches is not None
    with _session() as session:
        Stream(extract).run(session, f"CREATE TEMP TABLE loaded AS {Casts.of(extract.schema, contract).fitting('raw')}")
        assert session.run("SELECT count(*) AS n FROM loaded").to_pylist() == [{"n": extract.rows}]
        chosen = tuple(name for name in contract.names if name not in comparable.left_out)
        matter = Matter(contract.schema, key, chosen, 10)
        digits = [name for name, kind in comparable.forms.items() if kind == DIGITS]
        source = SourceSide(lambda question: reading.digest("t", question))
        return compare(session, source, EngineSide(typed_rows("loaded", contract.schema, digits)), matter)


Fill = Callable[[list[tuple[Any, ...]]], None]


@pytest.fixture(scope="module")
def postgres_table(postgres_server: Postgres) -> Generator[tuple[PostgresSource, Fill]]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        columns = ", ".join(f"c{at} {kind}" for at, kind in enumerate(POSTGRES))
        with psycopg.connect(postgres_server.url(name), autocommit=True) as connection:
            connection.execute(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")

            def fill(rows: list[tuple[Any, ...]]) -> None:
                connection.execute("TRUNCATE t")
                places = ", ".join(["%s", *(f"%s::{kind}" for kind in POSTGRES)])
                with connection.cursor() as cursor:
                    cursor.executemany(f"INSERT INTO t VALUES ({places})", [(at, *row) for at, row in enumerate(rows)])

            url = postgres_server.url(name)
            yield PostgresSource(SourceConfig("shop", "postgres", Path(), "shop", {"url": url}), DuckEngine()), fill
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def mariadb_table(mariadb_server: MariaDB) -> Generator[tuple[MariadbSource, Fill]]:
    name = f"t{uuid.uuid4().hex[:12]}"
    address = {"host": mariadb_server.host, "port": mariadb_server.port, "user": mariadb_server.user, "password": mariadb_server.password}
    with pymysql.connect(**address, autocommit=True, init_command="SET time_zone = '+00:00'") as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        columns = ", ".join(f"c{at} {kind}" for at, kind in enumerate(MARIADB))
        cursor.execute(f"CREATE TABLE {name}.t (id int PRIMARY KEY, {columns})")

        def fill(rows: list[tuple[Any, ...]]) -> None:
            cursor.execute(f"DELETE FROM {name}.t")
            places = ", ".join(["%s"] * (len(MARIADB) + 1))
            cursor.executemany(f"INSERT INTO {name}.t VALUES ({places})", [(at, *row) for at, row in enumerate(rows)])

        yield MariadbSource(SourceConfig("shop", "mariadb", Path(), "shop", {"url": mariadb_server.url(name)}), DuckEngine()), fill
        cursor.execute(f"DROP DATABASE {name}")


@_SETTINGS
@given(rows=_rows(POSTGRES))
@example(rows=[tuple(None for _ in POSTGRES)])
@example(rows=[(0, 0, *[Decimal(0)] * 4, False, *[None] * 4, -0.0, float("nan"), "", "|", " ", b"", None, None, [])])
def test_postgresql_hashes_rows_as_the_engine_does(postgres_table: tuple[PostgresSource, Fill], rows: list[tuple[Any, ...]]) -> None:
    source, fill = postgres_table
    fill(rows)
    with source.open() as reading:
        assert _compared(reading) == Found(len(rows), len(rows))
        assert _compared(reading, key=()) == Found(len(rows), len(rows))


@_SETTINGS
@given(rows=_rows(MARIADB))
@example(rows=[tuple(None for _ in MARIADB)])
def test_mariadb_hashes_rows_as_the_engine_does(mariadb_table: tuple[MariadbSource, Fill], rows: list[tuple[Any, ...]]) -> None:
    source, fill = mariadb_table
    fill(rows)
    with source.open() as reading:
        assert reading.comparable("t").left_out == {}
        assert _compared(reading) == Found(len(rows), len(rows))
