from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import services
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from limnos.engines.duckdb import DuckEngine
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.sources.database import DatabaseSource
from limnos.testing.source import Row, SourceSuite, World

SECRET = "p@ss w/rd?"
COLUMNS = "id INTEGER PRIMARY KEY, n DECIMAL(12,2) NOT NULL, d DOUBLE PRECISION, s VARCHAR(20) UNIQUE, day DATE"
SCHEMA = f"""
CREATE TABLE planes ({COLUMNS});
INSERT INTO planes VALUES (1, 12.34, 1.5, 'é', '2013-01-31'), (2, -0.01, NULL, NULL, NULL), (3, 7, 1e300, '', '0001-01-01');
CREATE TABLE "hard ""na:me%" (n INTEGER, "select" TEXT);
INSERT INTO "hard ""na:me%" VALUES (1, 'a'), (1, 'a'), (2, NULL);
CREATE TABLE seats (row_no INTEGER, place INTEGER, plane INTEGER REFERENCES planes (id), PRIMARY KEY (place, row_no));
CREATE VIEW fast AS SELECT id, d FROM planes WHERE d > 1;
"""
SEATS = "INSERT INTO seats SELECT n, n % 6, 1 FROM generate_series(1, 3000) AS g(n)"
ROWS: dict[str, list[Row]] = {
    "planes": [
        {"id": "1", "n": "12.34", "d": "1.5", "s": "é", "day": "2013-01-31"},
        {"id": "2", "n": "-0.01", "d": None, "s": None, "day": None},
        {"id": "3", "n": "7.00", "d": "1e+300", "s": "", "day": "0001-01-01"},
    ],
    'hard "na:me%': [{"n": "1", "select": "a"}, {"n": "1", "select": "a"}, {"n": "2", "select": None}],
    "seats": [{"row_no": str(n), "place": str(n % 6), "plane": "1"} for n in range(1, 3001)],
    "fast": [{"id": "1", "d": "1.5"}, {"id": "3", "d": "1e+300"}],
}
CHANGES = {
    "planes": "UPDATE planes SET n = n + 1 WHERE id = 1",
    'hard "na:me%': 'UPDATE "hard ""na:me%" SET n = 3 WHERE "select" = \'a\'',
    "seats": "UPDATE seats SET plane = 2 WHERE row_no = 2000",
    "fast": "UPDATE planes SET d = 2 WHERE id = 1",
}
KEYS = {"planes": ("id",), "seats": ("place", "row_no")}


def source(url: str, **options: str) -> DatabaseSource:
    config = SourceConfig("air", "database", Path(), "air", {"url": Secret(url, name="AIR_URL"), **options})
    return DatabaseSource(config, DuckEngine())


def executed(url: str, *statements: str) -> None:
    with sa.create_engine(url, poolclass=NullPool).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%") if url.startswith("postgresql") else statement)


def statements(script: str) -> list[str]:
    return [statement.strip() for statement in script.split(";\n") if statement.strip()]


class TestDuckDB(SourceSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        url = f"duckdb:///{tmp_path}/planes.duckdb"
        executed(url, *statements(SCHEMA), SEATS)
        broken = source(f"duckdb:///{tmp_path}/absent/planes.duckdb")
        return World(source(url), DuckEngine(), ROWS, lambda table: executed(url, CHANGES[table]), broken, KEYS)


class TestSqlite(SourceSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        file = tmp_path / "planes.db"
        series = "WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 3000)"
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(f"PRAGMA journal_mode = WAL; {SCHEMA}")
            connection.execute(f"{series} INSERT INTO seats SELECT n, n % 6, 1 FROM g")
            connection.commit()
        url = f"sqlite:///{file}"
        broken = source(f"sqlite:///{tmp_path}/absent/planes.db")
        return World(source(url), DuckEngine(), ROWS, lambda table: executed(url, CHANGES[table]), broken, KEYS)


@pytest.fixture
def url(postgres_server: services.Postgres) -> Generator[str]:
    name = f"planes_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield postgres_server.url(name)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class TestPostgres(SourceSuite):
    @pytest.fixture
    def world(self, url: str, postgres_server: services.Postgres) -> World:
        executed(url, *statements(SCHEMA), SEATS)
        broken = source(postgres_server.url("absent", user="nobody", password=SECRET))
        secrets = (SECRET, postgres_server.password)
        return World(source(url), DuckEngine(), ROWS, lambda table: executed(url, CHANGES[table]), broken, KEYS, secrets)
