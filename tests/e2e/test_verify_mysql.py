"""Verify: a lake compared with the MariaDB database that it was loaded from."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import pymysql
import pytest
from pymysql.constants import CLIENT
from services import MariaDB

from limnos import Lake
from limnos.model.comparison import Comparison, Kind

pytestmark = pytest.mark.e2e

Run = Callable[[str], None]
PROJECT = """\
version: 1
project: shop
sources:
  shop: {{type: mariadb, url: "{url}"}}
"""
ORDERS = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer varchar(40), amount decimal(12,2), day date, at datetime(6), paid timestamp NULL,
    state enum('open', 'paid'), weight double, note text, raw varbinary(9));
SET time_zone = '+00:00';
INSERT INTO orders SELECT seq, concat('customer ', seq % 7), seq / 4, '2026-01-01' + INTERVAL seq % 300 DAY,
    '2026-01-01' + INTERVAL seq * 1500000 MICROSECOND, '2026-01-01' + INTERVAL seq SECOND, elt(1 + seq % 2, 'open', 'paid'), seq / 3e0,
    if(seq % 5, repeat('é', seq % 4), NULL), unhex(lpad(hex(seq), 8, '0')) FROM seq_1_to_5000
"""


@pytest.fixture
def database(mariadb_server: MariaDB) -> Generator[str]:
    name = f"t{uuid.uuid4().hex[:12]}"
    _execute(mariadb_server, "", f"CREATE DATABASE {name}")
    yield name
    _execute(mariadb_server, "", f"DROP DATABASE {name}")


@pytest.fixture
def run(mariadb_server: MariaDB, database: str) -> Run:
    return lambda sql: _execute(mariadb_server, database, sql)


@pytest.fixture
def lake(tmp_path: Path, mariadb_server: MariaDB, database: str, run: Run) -> Lake:
    run(ORDERS)
    (tmp_path / "limnos.yml").write_text(PROJECT.format(url=mariadb_server.url(database)))
    lake = Lake(tmp_path)
    assert lake.run().exit_code() == 0
    return lake


def _execute(server: MariaDB, database: str, sql: str) -> None:
    at = {"host": server.host, "port": server.port, "user": server.user, "password": server.password, "database": database or None}
    with pymysql.connect(**at, client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        while cursor.nextset():
            pass


def _only(found: tuple[Comparison, ...]) -> Comparison:
    (one,) = found
    assert one.error is None, one.error
    return one


def test_a_lake_that_was_just_loaded_equals_its_source(lake: Lake) -> None:
    one = _only(lake.verify())
    assert (one.source_rows, one.lake_rows, one.differing, one.exit_code()) == (5000, 5000, 0, 0)
    assert one.columns == ("id", "customer", "amount", "day", "at", "paid", "state", "weight", "note", "raw")
    assert one.left_out == {}
    assert one.pushed_down


def test_each_kind_of_difference_is_found_down_to_keys_columns_and_values(lake: Lake, run: Run) -> None:
    run("DELETE FROM orders WHERE id IN (17, 4711); INSERT INTO orders (id, amount) VALUES (6000, 1)")
    run("UPDATE orders SET amount = amount + 0.01, note = NULL WHERE id = 42")
    run("UPDATE orders SET at = at + INTERVAL 1 MICROSECOND, raw = 0xff, weight = weight + 1e-14 WHERE id = 99")
    one = _only(lake.verify())
    assert (one.missing, one.extra, one.changed, one.exit_code()) == (1, 2, 2, 1)
    assert {(each.kind, each.key["id"]): set(each.values) for each in one.differences} == {
        (Kind.MISSING, "6000"): set(),
        (Kind.EXTRA, "17"): set(),
        (Kind.EXTRA, "4711"): set(),
        (Kind.CHANGED, "42"): {"amount", "note"},
        (Kind.CHANGED, "99"): {"at", "raw", "weight"},
    }
    (changed,) = (each.values for each in one.differences if each.key["id"] == "42")
    assert changed == {"amount": ("10.51", "10.50"), "note": (None, "éé")}


def test_three_hundred_scattered_changes_are_found_exactly(lake: Lake, run: Run) -> None:
    run("UPDATE orders SET day = day + INTERVAL 1 DAY WHERE id % 16 = 3 AND id < 4800")
    one = _only(lake.verify(limit=1000))
    assert {int(str(each.key["id"])): list(each.values) for each in one.differences} == {number: ["day"] for number in range(3, 4800, 16)}
    assert (one.changed, one.differing) == (300, 300)
