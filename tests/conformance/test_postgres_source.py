from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from services import Postgres

from limnos.engines.duckdb import DuckEngine
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.sources.postgres import PostgresSource
from limnos.testing.source import SourceSuite, World

pytestmark = pytest.mark.e2e

PASSWORD = "p@ss/w%rd of 'Müller'"
SCHEMA = """
CREATE TABLE planes (tailnum text PRIMARY KEY, seats bigint, speed real, price numeric(12,2), photo bytea, built date, flies boolean);
INSERT INTO planes VALUES
  ('N1', 9007199254740993, 1.5, 12.34, '\\x00FF', '2013-01-31', true),
  ('é', NULL, 1e30, -0.01, NULL, NULL, false),
  ('', 0, '-0', 7, '', '0001-01-01', NULL);
CREATE TABLE "hard ""na%me" ("select" text, "a%s" int);
INSERT INTO "hard ""na%me" VALUES ('a', 1), ('a', 1), (NULL, NULL), ('', 3);
CREATE TABLE seats (row int, place int, tailnum text NOT NULL REFERENCES planes, PRIMARY KEY (place, row)) PARTITION BY RANGE (row);
CREATE TABLE seats_1 PARTITION OF seats FOR VALUES FROM (0) TO (60000);
CREATE TABLE seats_2 PARTITION OF seats DEFAULT;
INSERT INTO seats SELECT n, n % 6, 'N1' FROM generate_series(1, 70000) n;
CREATE MATERIALIZED VIEW fast AS SELECT tailnum, speed FROM planes WHERE speed > 1;
"""
ROWS = {
    "planes": [
        {
            "tailnum": "N1",
            "seats": "9007199254740993",
            "speed": "1.5",
            "price": "12.34",
            "photo": "\\x00\\xFF",
            "built": "2013-01-31",
            "flies": "true",
        },
        {"tailnum": "é", "seats": None, "speed": "1e+30", "price": "-0.01", "photo": None, "built": None, "flies": "false"},
        {"tailnum": "", "seats": "0", "speed": "-0.0", "price": "7.00", "photo": "", "built": "0001-01-01", "flies": None},
    ],
    'hard "na%me': [{"select": "a", "a%s": "1"}, {"select": "a", "a%s": "1"}, {"select": None, "a%s": None}, {"select": "", "a%s": "3"}],
    "seats": [{"row": str(n), "place": str(n % 6), "tailnum": "N1"} for n in range(1, 70001)],
    "fast": [{"tailnum": "N1", "speed": "1.5"}, {"tailnum": "é", "speed": "1e+30"}],
}
CHANGES = {
    "planes": "UPDATE planes SET seats = seats - 1 WHERE tailnum = 'N1'",
    'hard "na%me': """UPDATE "hard ""na%me" SET "a%s" = 4 WHERE "a%s" = 3""",
    "seats": "UPDATE seats SET tailnum = 'é' WHERE row = 65000",
    "fast": "UPDATE planes SET speed = 2 WHERE tailnum = 'N1'; REFRESH MATERIALIZED VIEW fast",
}


@pytest.fixture(scope="module")
def reader(postgres_server: Postgres) -> Generator[str]:
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE suite LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
        owner.execute("CREATE DATABASE suite OWNER suite")
        yield postgres_server.url("suite", user="suite", password=PASSWORD)
        owner.execute("DROP DATABASE suite WITH (FORCE)")
        owner.execute("DROP ROLE suite")


class TestPostgresSource(SourceSuite):
    @pytest.fixture
    def world(self, reader: str, postgres_server: Postgres, tmp_path: Path) -> World:
        with psycopg.connect(reader, autocommit=True) as owner:
            owner.execute("DROP SCHEMA IF EXISTS lake CASCADE; CREATE SCHEMA lake; SET search_path = lake;" + SCHEMA)

        def change(table: str) -> None:
            with psycopg.connect(reader, autocommit=True, options="-c search_path=lake") as writer:
                writer.execute(CHANGES[table])

        def source(url: str) -> PostgresSource:
            options = {"url": Secret(url, name="AIR_URL"), "schema": "lake"}
            return PostgresSource(SourceConfig("air", "postgres", tmp_path, "air", options), DuckEngine())

        nobody = reader.replace(f":{postgres_server.port}/", ":1/")
        keys = {"planes": ("tailnum",), "seats": ("place", "row")}
        secrets = (PASSWORD, reader.split(":")[2].partition("@")[0])
        return World(source(reader), DuckEngine(), ROWS, change, source(nobody), keys, secrets)
