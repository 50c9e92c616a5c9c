"""CHECK constraints of PostgreSQL as rules: what is translated passes the same rows on both sides, and the rest is left out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services import Postgres

from limnos.engines.duckdb import DuckEngine
from limnos.model.names import TableName
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.sources.postgres import PostgresSource

pytestmark = pytest.mark.e2e

SAID = [
    "a IN ('x', 'y''s') AND b IN ('p', 'q')",
    "a NOT IN ('x', 'yy')",
    "a = 'x'",
    "a <> b",
    "b <> ''",
    "btrim(a) <> ''",
    "length(a) > 2",
    "char_length(b) BETWEEN 1 AND 3",
    "octet_length(a) < 4",
    "a LIKE '%x_' OR a NOT LIKE 'y%'",
    "c IN ('AB', 'C')",
    "c <> 'AB'",
    "length(c::text) = 2",
    "e = 'ok'",
    "e IN ('ok', 'sad') OR e IS NULL",
    "d >= '2020-01-01'",
    "d BETWEEN '1999-12-31' AND '2030-01-01'",
    "t < '2030-01-01 10:00' OR t = '2031-01-01'",
    "z < '2030-01-01 10:00+02'",
    "d < d2",
    "f > 0.1",
    "f <= 1e3 AND f <> 0",
    "g",
    "NOT g OR n IS NOT NULL",
    "g IS NOT TRUE",
    "g = true AND n IS NULL",
    "n NOT IN (1, 2)",
    "n <> -1",
    "m IN (1, 2.5)",
    "m > n",
    "j IS NOT NULL OR nn IS NULL",
    "NOT (n > 0 AND m > 0) OR a IS NULL",
]
LEFT_OUT = [
    "a > 'm'",
    "a ~ '^x'",
    "lower(a) = a",
    "a LIKE '%\\_%'",
    "m::int > 1",
    "n + 1 > 0",
    "d > t",
    "d < now()",
    "n IS DISTINCT FROM 3",
    "nn > 0",
    "j = '{}'",
    "k = 'x'",
    "e > 'sad'",
    "d <> 'infinity'",
    "(n > 0) = (m > 0) AND w IS NULL",
]
COLUMNS = """(id serial, a text, b varchar(4), c char(3), e mood, d date, d2 date, t timestamp, z timestamptz, f float8, g bool, n int,
m numeric(6,2), nn numeric, j jsonb, k text COLLATE blind, w pair)"""
WORDS = st.sampled_from(["", "x", "xy", "yy", "y's", " x ", "é", "😀", "pq", "p", "q", "  ", "AB", "C", "X", "axb"])
DAYS = st.dates(dt.date(1999, 12, 30), dt.date(2031, 1, 2)) | st.sampled_from([dt.date(2020, 1, 1), dt.date(1999, 12, 31)])
TIMES = st.sampled_from(["2030-01-01T09:59", "2030-01-01T10:00", "2031-01-01", "1990-01-01T00:00:01"]).map(dt.datetime.fromisoformat)
ROWS = st.lists(
    st.tuples(
        st.none() | WORDS,
        st.none() | WORDS,
        st.none() | st.sampled_from(["AB", "C", "AB ", "", "X"]),
        st.none() | st.sampled_from(["ok", "sad", "high"]),
        st.none() | DAYS,
        st.none() | DAYS,
        st.none() | TIMES,
        st.none() | TIMES.map(lambda one: one.replace(tzinfo=dt.UTC) - dt.timedelta(hours=2)),
        st.none() | st.floats() | st.sampled_from([0.1, 0.10000000000000002, 1e3, -0.0]),
        st.none() | st.booleans(),
        st.none() | st.integers(-3, 3),
        st.none() | st.sampled_from([Decimal(1), Decimal("2.50"), Decimal(-1), Decimal("0.01")]),
    ),
    min_size=1,
    max_size=20,
)


@pytest.fixture(scope="module")
def database(postgres_server: Postgres) -> Generator[str]:
    name = f"c{uuid.uuid4().hex[:16]}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(postgres_server.url(name), autocommit=True) as connection:
            connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'high'); CREATE TYPE pair AS (x int, y int)")
            connection.execute("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
            checks = [f"CONSTRAINT c{at:02} CHECK ({said})" for at, said in enumerate([*SAID, *LEFT_OUT])]
            connection.execute(f"CREATE TABLE judged {COLUMNS[:-1]}, {', '.join(checks)})".encode())
            connection.execute(f"CREATE TABLE rows {COLUMNS}".encode())
        yield postgres_server.url(name)
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


def source(url: str) -> PostgresSource:
    return PostgresSource(SourceConfig("s", "postgres", Path(), "s", {"url": Secret(url, name="S_DSN")}), DuckEngine())


@pytest.fixture(scope="module")
def rules(database: str) -> dict[str, str]:
    with source(database).open() as reading:
        described = reading.describe("judged", TableName("s", "judged"))
    return {rule.name.removeprefix("sql:"): str(rule.arguments["expression"]) for rule in described.rules if rule.kind == "sql"}


def test_what_is_not_known_to_mean_the_same_is_left_out(rules: dict[str, str]) -> None:
    spoken = {said: rules.get(f"c{at:02}") for at, said in enumerate([*SAID, *LEFT_OUT])}
    assert [said for said in SAID if spoken[said] is None] == []
    assert [(said, spoken[said]) for said in LEFT_OUT if spoken[said] is not None] == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_the_same_rows_pass_on_both_sides(database: str, rules: dict[str, str], rows: list[tuple[Any, ...]]) -> None:
    rows = [(*row[:1], row[1] and row[1][:4], *row[2:]) for row in rows]
    with psycopg.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE rows RESTART IDENTITY; SET TimeZone = 'UTC'")
        cursor.executemany("INSERT INTO rows (a, b, c, e, d, d2, t, z, f, g, n, m) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)", rows)
        conditions = ", ".join(f"({said})" for said in SAID)
        expected = cursor.execute(f"SELECT {conditions} FROM rows ORDER BY id".encode()).fetchall()
    with source(database).open() as reading:
        contract = reading.describe("rows", TableName("s", "rows"))
        extract = reading.read("rows", contract)
        batches = list(extract.batches or ())
    table = pa.Table.from_batches(batches).cast(contract.schema)
    names = [f"c{at:02}" for at in range(len(SAID))]
    with DuckEngine().session() as session:
        found = session.run(f"SELECT {', '.join(f'({rules[name]}) AS {name}' for name in names)} FROM rows ORDER BY id", rows=table)
    assert [tuple(row.values()) for row in found.to_pylist()] == expected
