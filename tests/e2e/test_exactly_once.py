"""Limnos and the database are killed again and again while writers write: in the end the lake is the source, row for row."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import services

from limnos import Lake
from limnos.errors import UnknownName

pytestmark = pytest.mark.e2e

ROUNDS = 200
MARIADB_ROUNDS = 200
PUBLISHING = 3
LIMNOS_RUNS = """
import os, sys
import pyarrow.compute, pyarrow.ipc, pyarrow.parquet
import limnos.flow.follow, limnos.tables.iceberg, limnos.engines.duckdb, limnos.sources.postgres, limnos.sources.mysql
from limnos import Lake
from limnos.errors import UnknownName
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.stdin.close()
        Lake(sys.argv[1]).follow(told=lambda result: None)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
"""
TABLES = (
    "CREATE TABLE numbers (writer int NOT NULL, n int NOT NULL, said varchar(60) NOT NULL)",
    "CREATE TABLE accounts (id int PRIMARY KEY, balance decimal(12,2) NOT NULL, moves int NOT NULL)",
)
PROJECT = """
version: 1
project: bank
sources:
  bank: {{type: {kind}, url: "{url}", follow: {{latency: 50ms}}, tables: {{numbers: {{mode: cdc}}, accounts: {{mode: cdc}}}}}}
"""


class Writer(threading.Thread):
    """Write numbered rows and move money, one transaction at a time, whatever happens to the server; some are rolled back."""

    def __init__(self, number: int, connect: Callable[[], Any], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.connect, self.stop, self.random = number, connect, stop, random.Random(number)
        self.at, self.committed, self.unexpected = 0, 0, ""

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                connection = self.connect()
            except (psycopg.OperationalError, pymysql.Error, OSError):
                time.sleep(0.05)
                continue
            try:
                while not self.stop.is_set():
                    self.transaction(connection)
            except (psycopg.Error, pymysql.Error, OSError) as error:
                # A crash ends a connection; anything else would be a fault of the test.
                if "syntax" in str(error).lower():
                    self.unexpected = str(error)
                    return
            finally:
                with suppress(Exception):
                    connection.close()

    def transaction(self, connection: Any) -> None:
        cursor = connection.cursor()
        for _ in range(self.random.randint(1, 5)):
            self.at += 1
            cursor.execute(f"INSERT INTO numbers VALUES ({self.number}, {self.at}, 'number {self.at} of writer {self.number}')")
        key, amount = self.number * 100 + self.random.randint(0, 20), self.random.randint(1, 10_000) / 100
        what = self.random.random()
        if what < 0.2:
            cursor.execute(f"DELETE FROM accounts WHERE id = {key}")
        elif what < 0.3:
            cursor.execute(f"UPDATE accounts SET id = id + 50 WHERE id = {key} AND id < {self.number * 100 + 50}")
        cursor.execute(f"UPDATE accounts SET balance = balance + {amount}, moves = moves + 1 WHERE id = {key}")
        if not cursor.rowcount and what >= 0.3:
            cursor.execute(f"INSERT INTO accounts VALUES ({key}, {amount}, 0)")
        if self.random.random() < 0.1:
            connection.rollback()
        else:
            connection.commit()
            self.committed += 1
        time.sleep(self.random.random() * 0.02)


class Limnos:
    """Fork a process that follows the project each time one is asked for; it has imported everything before."""

    def __init__(self, project: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIMNOS_RUNS, str(project)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def postgres_bank() -> Generator[services.Postgres]:
    with services.postgres() as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for table in TABLES:
                connection.execute(table)
            connection.execute("ALTER TABLE numbers REPLICA IDENTITY FULL")
        yield server


@pytest.fixture
def mariadb_bank() -> Generator[services.MariaDB]:
    # What was committed must survive the end of the process, as it does in any server that is not set up for tests.
    with services.mariadb("--innodb-flush-log-at-trx-commit=1") as server:
        with mariadb_connection(server, "mysql") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE bank")
            cursor.execute("USE bank")
            for table in TABLES:
                cursor.execute(table)
        yield server


def mariadb_connection(server: services.MariaDB, database: str) -> Any:
    return pymysql.connect(host=server.host, port=server.port, user=server.user, password=server.password, database=database)


def crash_and_compare(project: Path, running: services.Running, connect: Callable[[], Any], rounds: int) -> None:
    chance, stop, limnos = random.Random(7), threading.Event(), Limnos(project)
    writers = [Writer(number, connect, stop) for number in (1, 2, 3)]
    ended: list[int] = []
    for writer in writers:
        writer.start()
    try:
        for at in range(rounds):
            child = limnos.start()
            if at < PUBLISHING:
                # The first ones may publish, so that the others are killed between one version and the next.
                wait_for(lambda least=at + 1: versions(project) >= least)
            time.sleep(chance.uniform(0.0, 1.2))
            if at % 10 == 9:
                running.crash()
                time.sleep(chance.uniform(0.0, 0.2))
                running.start()
                time.sleep(chance.uniform(0.0, 0.4))
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                ended.append(at)
    finally:
        stop.set()
        for writer in writers:
            writer.join(timeout=30)
        limnos.close()
    assert not ended, f"whatever happens to its source, Limnos follows on; it ended by itself in the rounds {ended}"
    assert not any(writer.unexpected for writer in writers)
    assert min(writer.committed for writer in writers) > rounds / 10
    equal(project, connect)


def versions(project: Path) -> int:
    """Count the versions with rows in them that were published so far."""
    try:
        return sum(bool(entry.snapshot.rows) for entry in Lake(project).history("bank.numbers"))
    except UnknownName:
        return 0


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < until, "nothing was published in two minutes"
        time.sleep(0.2)


def equal(project: Path, connect: Callable[[], Any]) -> None:
    lake = Lake(project)
    result = lake.run()
    assert result.exit_code() == 0, [table.error for table in result.tables]
    assert not any("read in full" in note for table in result.tables for note in table.notes)
    connection = connect()
    for table in ("numbers", "accounts"):
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table}")
        there = Counter(tuple(row) for row in cursor.fetchall())
        here = Counter(tuple(row.values()) for row in lake.query(f"SELECT * FROM bank.{table}").rows())
        missing, surplus = list((there - here).items())[:3], list((here - there).items())[:3]
        assert (missing, surplus) == ([], []), f"{table}: {len(there)} rows, lost {missing}, too much {surplus}"
        assert there
    connection.close()
    twice = lake.query("SELECT count(*) AS n FROM (SELECT writer, n FROM bank.numbers GROUP BY ALL HAVING count(*) > 1)").rows()
    assert twice == [{"n": 0}]
    assert versions(project) > PUBLISHING


def test_postgresql_and_limnos_are_killed_and_nothing_is_lost_or_doubled(postgres_bank: services.Postgres, tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(PROJECT.format(kind="postgres", url=postgres_bank.dsn))
    assert postgres_bank.running is not None
    crash_and_compare(tmp_path, postgres_bank.running, lambda: psycopg.connect(postgres_bank.dsn, connect_timeout=5), ROUNDS)


def test_mariadb_and_limnos_are_killed_and_nothing_is_lost_or_doubled(mariadb_bank: services.MariaDB, tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(PROJECT.format(kind="mariadb", url=mariadb_bank.url("bank")))
    assert mariadb_bank.running is not None
    crash_and_compare(tmp_path, mariadb_bank.running, lambda: mariadb_connection(mariadb_bank, "bank"), MARIADB_ROUNDS)
