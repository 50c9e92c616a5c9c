"""MySQL itself, beside MariaDB: the same adapter, another server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
from services import MariaDB

from limnos import Lake
from limnos.model.run import RunResult, TableStatus

pytestmark = pytest.mark.e2e

Ask = Callable[[str], list[tuple[Any, ...]]]
TORTURE = """
CREATE TABLE torture (
    id bigint unsigned PRIMARY KEY,
    i tinyint, n decimal(38,10), f float, x double, b bit(9), y year, d date,
    dt datetime(6), ts timestamp(3) NULL, t time(6), c char(5),
    s varchar(40) CHARACTER SET latin1, k text CHARACTER SET utf8mb4, bin binary(3), vb varbinary(9),
    big longblob, mood enum('low','it''s'), tags set('a','b','c'), j json, g point, inv int INVISIBLE DEFAULT 7,
    twice decimal(39,10) AS (n * 2) STORED, shout varchar(50) AS (upper(s)) VIRTUAL, CHECK (i > -100)
)"""
ROWS = """
INSERT INTO torture (id, i, n, f, x, b, y, d, dt, ts, t, c, s, k, bin, vb, big, mood, tags, j, g) VALUES
(18446744073709551615, -99, 1234567890123456789012345678.0123456789, 1.1, 1e300, b'101010101', 1901, '1000-01-01',
 '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999', '-838:59:59', 'a ', 'é', '😀', x'00ff', x'', repeat('x', 70000), 'it''s', 'a,c',
 '{"b": [1, 2.50, null, "é"], "a": 1e30}', ST_GeomFromText('POINT(1 2)')),
(0, 127, -0.0000000001, -0.0, 0.1, b'0', 2155, '9999-12-31', '1000-01-01', '1970-01-01 00:00:01', '00:00:00.000001', '', '', '', '', x'00',
 '', 'low', '', '[]', NULL), (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
 NULL, NULL)"""
JSON = """'{"b": [1, 2.50, null, "é"], "a": 1e30}', """
PROJECT = """
version: 1
project: p
sources:
  shop:
    type: mysql
    url: secret://SHOP_DSN
    tables: {{{tables}}}
"""


@pytest.fixture
def ask(mysql_server: MariaDB, monkeypatch: pytest.MonkeyPatch) -> Generator[Ask]:
    name = f"m{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("SHOP_DSN", mysql_server.url(name, scheme="mysql"))
    with closing(
        pymysql.connect(
            host=mysql_server.host,
            port=mysql_server.port,
            user=mysql_server.user,
            password=mysql_server.password,
            autocommit=True,
            init_command="SET time_zone = '+00:00'",
        )
    ) as connection:

        def run(sql: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())

        run(f"CREATE DATABASE {name}")
        run(f"USE {name}")
        yield run
        run(f"DROP DATABASE {name}")


def lake(directory: Path, tables: str) -> Lake:
    (directory / "limnos.yml").write_text(PROJECT.format(tables=tables))
    return Lake(directory)


def equal(directory: Path) -> None:
    for table in Lake(directory).verify():
        assert table.exit_code() == 0, (table.changed, table.missing, table.extra, table.differences)


def statuses(result: RunResult) -> dict[str, tuple[TableStatus, int]]:
    return {table.table.name: (table.status, table.read) for table in result.tables}


def test_every_type_of_mysql_is_what_the_server_prints(ask: Ask, tmp_path: Path) -> None:
    ask(TORTURE)
    ask(ROWS)
    assert statuses(lake(tmp_path, "torture: {}").run()) == {"torture": (TableStatus.PUBLISHED, 3)}
    equal(tmp_path)
    printed = ask(
        "SELECT id, n, b + 0, dt, ts, t, c, s, k, mood, tags, CAST(j AS CHAR), CAST(twice AS CHAR), shout, inv, hex(g), hex(bin) "
        "FROM torture"
    )
    rows = Lake(tmp_path).query(
        "SELECT id, n, b, dt, ts AT TIME ZONE 'UTC' AS ts, t, c, s, k, mood, tags, j, twice, shout, inv, hex(g) AS g, hex(bin) AS bin "
        "FROM shop.torture"
    )
    there = {int(row["id"]): tuple(row.values()) for row in rows.rows()}
    assert len(there) == len(printed)
    for row in printed:
        mine = there[row[0]]
        assert [str(value) for at, value in enumerate(mine) if at != 5] == [str(value) for at, value in enumerate(row) if at != 5]
    assert there[2**64 - 1][5] == "-838:59:59.000000"


def test_changes_of_mysql_come_from_its_binlog(ask: Ask, tmp_path: Path) -> None:
    ask(TORTURE.replace(", j json", "").replace("j, ", ""))
    ask("CREATE TABLE bare (a int, b varchar(9))")
    assert statuses(lake(tmp_path, "torture: {mode: cdc}, bare: {mode: cdc}").run()) == {
        "torture": (TableStatus.PUBLISHED, 0),
        "bare": (TableStatus.PUBLISHED, 0),
    }
    without = ROWS.replace("tags, j, g", "tags, g").replace(JSON, "").replace("'[]', ", "")
    ask(without.replace("\n NULL, NULL)", " NULL)"))
    ask("INSERT INTO bare VALUES (1, 'x'), (1, 'x'), (2, NULL)")
    assert statuses(Lake(tmp_path).run()) == {"torture": (TableStatus.PUBLISHED, 3), "bare": (TableStatus.PUBLISHED, 3)}
    equal(tmp_path)
    ask("UPDATE torture SET i = 5, s = 'ü', n = n + 1, big = 'y' WHERE id > 0")
    ask("UPDATE torture SET id = 77 WHERE id = 1")
    ask("DELETE FROM torture WHERE id = 0")
    ask("DELETE FROM bare LIMIT 1")
    assert {name: status for name, (status, _) in statuses(Lake(tmp_path).run()).items()} == {
        "torture": TableStatus.PUBLISHED,
        "bare": TableStatus.PUBLISHED,
    }
    equal(tmp_path)
    ask("ALTER TABLE torture ADD COLUMN late int NOT NULL DEFAULT 5 FIRST, ALGORITHM=INSTANT")
    ask("TRUNCATE bare")
    ask("INSERT INTO bare VALUES (3, 'z')")
    ask("FLUSH BINARY LOGS")
    ask("UPDATE torture SET late = 6 WHERE id = 77")
    assert {status for status, _ in statuses(Lake(tmp_path).run()).values()} == {TableStatus.PUBLISHED}
    equal(tmp_path)
    assert {status for status, _ in statuses(Lake(tmp_path).run()).values()} == {TableStatus.UNCHANGED}
