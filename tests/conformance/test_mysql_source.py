from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pymysql
import pytest
from pymysql.constants import CLIENT
from services import MariaDB

from limnos.engines.duckdb import DuckEngine
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.sources.mysql import MariadbSource, MysqlSource
from limnos.testing.source import SourceSuite, World

pytestmark = pytest.mark.e2e

PASSWORD = "p@ss/w%rd of 'Müller'"
SCHEMA = """
CREATE TABLE planes (tailnum varchar(20) PRIMARY KEY, seats bigint, speed float, price decimal(12,2), photo blob, built date);
INSERT INTO planes VALUES
  ('N1', 9007199254740993, 1.5, 12.34, x'00FF', '2013-01-31'),
  ('é', NULL, 1e30, -0.01, NULL, NULL),
  ('', 0, 0, 7, '', '0001-01-01');
CREATE TABLE `hard ``na"%me` (`select` text, `a%s"` int);
INSERT INTO `hard ``na"%me` VALUES ('a', 1), ('a', 1), (NULL, NULL), ('', 3);
CREATE TABLE seats (row int, place int, note varchar(700) NOT NULL, PRIMARY KEY (place, row)) PARTITION BY HASH (row) PARTITIONS 3;
INSERT INTO seats SELECT seq, seq % 6, repeat('N', 600) FROM seq_1_to_9000;
CREATE VIEW fast AS SELECT tailnum, speed FROM planes WHERE speed > 1;
CREATE TABLE old (id int PRIMARY KEY, word varchar(5)) ENGINE=MyISAM;
INSERT INTO old VALUES (1, 'one'), (2, NULL);
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
        },
        {"tailnum": "é", "seats": None, "speed": "1e+30", "price": "-0.01", "photo": None, "built": None},
        {"tailnum": "", "seats": "0", "speed": "0.0", "price": "7.00", "photo": "", "built": "0001-01-01"},
    ],
    'hard `na"%me': [{"select": a, 'a%s"': b} for a, b in (("a", "1"), ("a", "1"), (None, None), ("", "3"))],
    "seats": [{"row": str(n), "place": str(n % 6), "note": "N" * 600} for n in range(1, 9001)],
    "fast": [{"tailnum": "N1", "speed": "1.5"}, {"tailnum": "é", "speed": "1e+30"}],
    "old": [{"id": "1", "word": "one"}, {"id": "2", "word": None}],
}
CHANGES = {
    "planes": "UPDATE planes SET seats = seats - 1 WHERE tailnum = 'N1'",
    'hard `na"%me': 'UPDATE `hard ``na"%me` SET `a%s"` = 4 WHERE `a%s"` = 3',
    "seats": "UPDATE seats SET note = 'é' WHERE row = 8000",
    "fast": "UPDATE planes SET speed = 2 WHERE tailnum = 'N1'",
    "old": "UPDATE old SET word = 'two' WHERE id = 2",
}


@pytest.fixture(scope="module")
def reader(mariadb_server: MariaDB) -> Generator[str]:
    def owner(sql: str) -> None:
        _run(mariadb_server, "", sql)

    owner(f"CREATE USER suite@'127.0.0.1' IDENTIFIED BY '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
    owner("GRANT SELECT ON suite.* TO suite@'127.0.0.1'")
    yield mariadb_server.url("suite", user="suite", password=PASSWORD)
    owner("DROP DATABASE suite; DROP USER suite@'127.0.0.1'")


def _run(server: MariaDB, database: str, sql: str) -> None:
    arguments = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    with (
        pymysql.connect(**arguments, database=database or None, client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
        while cursor.nextset():
            pass


def _world(reader: str, server: MariaDB, kind: type[MysqlSource]) -> World:
    _run(server, "", "DROP DATABASE IF EXISTS suite; CREATE DATABASE suite CHARACTER SET utf8mb4")
    _run(server, "suite", SCHEMA)

    def source(url: str) -> MysqlSource:
        return kind(SourceConfig("air", kind.kind, Path(), "air", {"url": Secret(url, name="AIR_URL")}), DuckEngine())

    nobody = reader.replace(f":{server.port}/", ":1/")
    keys = {"planes": ("tailnum",), "seats": ("place", "row"), "old": ("id",)}
    secrets = (PASSWORD, reader.split(":")[2].partition("@")[0])
    return World(source(reader), DuckEngine(), ROWS, lambda table: _run(server, "suite", CHANGES[table]), source(nobody), keys, secrets)


class TestMysqlSource(SourceSuite):
    @pytest.fixture
    def world(self, reader: str, mariadb_server: MariaDB) -> World:
        return _world(reader, mariadb_server, MysqlSource)


class TestMariadbSource(SourceSuite):
    @pytest.fixture
    def world(self, reader: str, mariadb_server: MariaDB) -> World:
        return _world(reader, mariadb_server, MariadbSource)
