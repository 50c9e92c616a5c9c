"""What a source does at the worst moment ends in recovery or in a clear error: nothing is lost, nothing is published half."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import services
from tests.e2e.proxy import Proxy, proxy

from limnos import Lake
from limnos.errors import SourceUnreachable
from limnos.model.digest import Ask, Question
from limnos.model.names import TableName
from limnos.model.run import RunResult, TableResult, TableStatus

pytestmark = pytest.mark.e2e

ROWS = 20_000


@dataclass
class Shop:
    """A table `orders` at a source that is reached through a proxy, and the lake that reads it."""

    kind: str
    server: services.Postgres | services.MariaDB
    database: str
    proxy: Proxy
    directory: Path
    words: str = ""

    def execute(self, *statements: str) -> list[Any]:
        rows: list[Any] = []
        connection = (
            psycopg.connect(self.server.url(self.database), autocommit=True)
            if self.kind == "postgres"
            else pymysql.connect(
                host=self.server.host,
                port=self.server.port,
                user=self.server.user,
                password=self.server.password,
                database=self.database,
                autocommit=True,
            )
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall()) if cursor.description else []
        return rows

    def lake(self, *, mode: str = "cdc", user: str = "", password: str = "") -> Lake:
        url = self.server.url(self.database, user=user, password=password).replace(f":{self.server.port}/", f":{self.proxy.port}/")
        (self.directory / "limnos.yml").write_text(
            f'version: 1\nproject: p\nsources:\n  shop: {{type: {self.kind}, url: "{url}", {self.words} '
            f"tables: {{orders: {{mode: {mode}}}}}}}\n"
        )
        return Lake(self.directory)

    def equal(self, lake: Lake) -> None:
        there = Counter(tuple(row) for row in self.execute("SELECT id, note FROM orders"))
        here = Counter(tuple(row.values()) for row in lake.query("SELECT id, note FROM shop.orders").rows())
        assert list((there - here).items())[:3] == []
        assert list((here - there).items())[:3] == []
        assert there


def one(result: RunResult) -> TableResult:
    (table,) = result.tables
    return table


def told(table: TableResult, *errors: str) -> None:
    assert table.status is TableStatus.FAILED
    assert table.error is not None
    assert table.error["error"] in errors, table.error
    assert all(table.error[part] for part in ("what", "subject", "hint"))


@pytest.fixture(params=["postgres", "mariadb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Shop]:
    server = request.getfixturevalue(f"{request.param}_server")
    database = f"faults_{secrets.token_hex(4)}"
    admin = Shop(request.param, server, "postgres" if request.param == "postgres" else "mysql", Proxy(0), tmp_path)
    admin.execute(f"CREATE DATABASE {database}")
    with proxy(server.port) as between:
        shop = Shop(request.param, server, database, between, tmp_path)
        filled = f"INSERT INTO orders SELECT n, repeat('x', 200) FROM {series(request.param, ROWS)}"
        shop.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)", filled)
        yield shop
    if request.param == "postgres":
        admin.execute(
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{database}'",
            f"DROP DATABASE {database} WITH (FORCE)",
        )
    else:
        admin.execute(f"DROP DATABASE {database}")


def series(kind: str, rows: int) -> str:
    return f"generate_series(1, {rows}) n" if kind == "postgres" else f"(SELECT seq AS n FROM seq_1_to_{rows}) AS s"


def test_a_connection_that_is_cut_while_rows_are_read(shop: Shop) -> None:
    lake = shop.lake()
    shop.proxy.cut_after_bytes = 2_000_000
    failed = one(lake.run())
    told(failed, "source-unreachable")
    assert shop.proxy.cuts == 1
    assert lake.history() == ()
    assert one(lake.run()).read == ROWS
    shop.equal(lake)


def test_a_connection_that_is_gone_is_an_error_of_ours_whatever_is_asked_next(shop: Shop) -> None:
    lake = shop.lake()
    assert one(lake.run()).error is None
    with lake._parts.source("shop").open() as reading:
        contract = reading.describe("orders", TableName("shop", "orders"))
        where = reading.cut("orders")
    shop.execute("DELETE FROM orders WHERE id = 1")
    counts = Question(Ask.BUCKETS, ("id",), ("note",), 4, by_value=True)
    asked: dict[str, Callable[[Any], object]] = {
        "describe": lambda reading: reading.describe("orders", contract.table),
        "read": lambda reading: list(reading.read("orders", contract).batches),
        "cut": lambda reading: reading.cut("orders"),
        "changes": lambda reading: list(reading.changes({"orders": where})),
        "comparable": lambda reading: reading.comparable("orders"),
        "digest": lambda reading: list(reading.digest("orders", counts)),
        "findings": lambda reading: list(reading.findings("shop")),
    }
    for name, ask in asked.items():
        with lake._parts.source("shop").open() as reading:
            shop.proxy.cut()
            with pytest.raises(SourceUnreachable):
                pytest.fail(f"{name} gave {ask(reading)}")


def test_a_connection_that_is_cut_while_changes_are_read(shop: Shop) -> None:
    lake = shop.lake()
    assert one(lake.run()).error is None
    before = lake.history("shop.orders")
    shop.execute("UPDATE orders SET note = repeat('y', 200)", "DELETE FROM orders WHERE id % 7 = 0")
    shop.proxy.passed, shop.proxy.cut_after_bytes = 0, 2_000_000
    told(one(lake.run()), "source-unreachable")
    assert lake.history("shop.orders") == before
    again = one(lake.run())
    assert again.error is None
    assert not any("read in full" in note for note in again.notes)
    shop.equal(lake)


def test_a_source_that_is_down_and_comes_back_is_followed_on(shop: Shop) -> None:
    lake, stop, rounds = shop.lake(), threading.Event(), list[object]()
    heard = threading.Event()

    def tell(result: object) -> None:
        rounds.append(result)
        heard.set()

    follower = threading.Thread(target=lambda: lake.follow(told=tell, stopped=stop.wait))
    follower.start()
    try:
        assert heard.wait(60)
        heard.clear()
        shop.proxy.down = True
        shop.proxy.cut()
        assert heard.wait(60)
        heard.clear()
        shop.execute("INSERT INTO orders VALUES (1000001, 'while it was away')")
        shop.proxy.down = False
        while not any(isinstance(one_, RunResult) and one(one_).read == 1 for one_ in rounds):
            assert heard.wait(60), rounds
            heard.clear()
    finally:
        stop.set()
        follower.join(60)
    assert any(isinstance(one_, RunResult) and one(one_).status is TableStatus.FAILED for one_ in rounds)
    shop.equal(lake)


def test_a_slow_source_is_waited_for(shop: Shop) -> None:
    lake = shop.lake()
    shop.proxy.bytes_per_s = 4_000_000
    assert one(lake.run()).read == ROWS
    shop.equal(lake)


def test_a_locked_table_ends_in_an_error_that_names_the_lock_and_then_recovers(shop: Shop) -> None:
    shop.words = "protect: {lock_timeout: 500ms},"
    lake = shop.lake()
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        if shop.kind == "postgres":
            with psycopg.connect(shop.server.url(shop.database)) as connection:
                connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
                locked.set()
                release.wait(60)
        else:
            server = shop.server
            with (
                pymysql.connect(
                    host=server.host, port=server.port, user=server.user, password=server.password, database=shop.database
                ) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("LOCK TABLES orders WRITE")
                locked.set()
                release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert locked.wait(30)
        failed = one(lake.run())
        told(failed, "source-refused")
        assert failed.error is not None
        assert "lock" in f"{failed.error['what']} {failed.error['seen']}".lower()
    finally:
        release.set()
        holder.join(30)
    assert one(lake.run()).read == ROWS
    shop.equal(lake)


def test_a_log_that_is_gone_has_the_table_read_anew(shop: Shop) -> None:
    lake = shop.lake()
    assert one(lake.run()).error is None
    shop.execute("DELETE FROM orders WHERE id <= 100", "INSERT INTO orders VALUES (1000001, 'after')")
    if shop.kind == "postgres":
        shop.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{shop.database}'")
    else:
        shop.execute("FLUSH BINARY LOGS")
        ((newest, *_),) = shop.execute("SHOW MASTER STATUS")
        # The server keeps a file until its storage engine has no more need of it.
        while shop.execute(f"PURGE BINARY LOGS TO '{newest}'", "SHOW BINARY LOGS")[0][0] != newest:
            time.sleep(0.1)
    recovered = one(lake.run())
    assert any("read in full" in note for note in recovered.notes)
    shop.equal(lake)
    shop.execute("DELETE FROM orders WHERE id = 101")
    assert one(lake.run()).read == 1
    shop.equal(lake)


def test_a_password_that_was_rotated_is_told_and_the_new_one_goes_on(shop: Shop) -> None:
    user, old, new = f"reader_{secrets.token_hex(3)}", "old-s3cret", "new-s3cret"
    if shop.kind == "postgres":
        shop.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{old}'")
    else:
        shop.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{old}'", f"GRANT ALL ON *.* TO {user}@'127.0.0.1'")
    lake = shop.lake(user=user, password=old)
    assert one(lake.run()).error is None
    shop.execute(
        f"ALTER ROLE {user} PASSWORD '{new}'" if shop.kind == "postgres" else f"ALTER USER {user}@'127.0.0.1' IDENTIFIED BY '{new}'",
        "DELETE FROM orders WHERE id = 1",
    )
    failed = one(lake.run())
    told(failed, "source-refused")
    assert old not in str(failed.as_json())
    lake = shop.lake(user=user, password=new)
    result = one(lake.run())
    assert (result.error, result.read) == (None, 1)
    shop.equal(lake)
