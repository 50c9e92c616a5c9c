from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.project import SourceConfig
from limnos.sources.sqlite import SqliteSource
from limnos.testing.source import SourceSuite, World

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE planes (tailnum TEXT PRIMARY KEY, seats INTEGER, speed REAL, price DECIMAL(12,2), photo BLOB, built DATE, flies BOOLEAN);
INSERT INTO planes VALUES
  ('N1', 9007199254740993, 1.5, 12.34, x'00FF', '2013-01-31', 1),
  ('é', NULL, 1e300, '-0.01', NULL, NULL, 0),
  ('', 0, 0.0, 7, x'', '0001-01-01', NULL);
CREATE TABLE [hard "name"] (n, "select" TEXT);
INSERT INTO [hard "name"] VALUES (1, 'a'), (1, 'a'), (2.5, NULL), ('x', 'b'), (x'AB', '');
CREATE TABLE seats (row INTEGER, place INTEGER, tailnum TEXT REFERENCES planes, PRIMARY KEY (place, row)) WITHOUT ROWID;
WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 5000) INSERT INTO seats SELECT n, n % 6, 'N1' FROM up;
CREATE VIEW fast AS SELECT tailnum, speed FROM planes WHERE speed > 1;
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
        {"tailnum": "é", "seats": None, "speed": "1e+300", "price": "-0.01", "photo": None, "built": None, "flies": "false"},
        {"tailnum": "", "seats": "0", "speed": "0.0", "price": "7.00", "photo": "", "built": "0001-01-01", "flies": None},
    ],
    'hard "name"': [
        {"n": "1", "select": "a"},
        {"n": "1", "select": "a"},
        {"n": "2.5", "select": None},
        {"n": "x", "select": "b"},
        {"n": "X'AB'", "select": ""},
    ],
    "seats": [{"row": str(n), "place": str(n % 6), "tailnum": "N1"} for n in range(1, 5001)],
    "fast": [{"tailnum": "N1", "speed": "1.5"}, {"tailnum": "é", "speed": "1e+300"}],
}
CHANGES = {
    "planes": "UPDATE planes SET seats = seats - 1 WHERE tailnum = 'N1'",
    'hard "name"': 'UPDATE [hard "name"] SET n = 3 WHERE "select" = \'b\'',
    "seats": "UPDATE seats SET tailnum = 'é' WHERE row = 4000",
    "fast": "UPDATE planes SET speed = 2 WHERE tailnum = 'N1'",
}


class TestSqliteSource(SourceSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        file = tmp_path / "100% of what?#.db"
        with sqlite3.connect(file) as connection:
            connection.executescript(SCHEMA)
        connection.close()

        def change(table: str) -> None:
            with sqlite3.connect(file) as writer:
                writer.execute(CHANGES[table])
            writer.close()

        def source(path: str) -> SqliteSource:
            return SqliteSource(SourceConfig("planes", "sqlite", tmp_path, "air", {"path": path}), DuckEngine())

        keys = {"planes": ("tailnum",), "seats": ("place", "row")}
        return World(source(file.name), DuckEngine(), ROWS, change, source("absent.db"), keys)
