"""`limnos run --follow` ends well in whichever phase it is interrupted, and at once when it is interrupted again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.crash import world
from tests.e2e.services import Postgres

from limnos import Lake

pytestmark = pytest.mark.e2e

ROWS = 6_000
PROJECT = """
version: 1
project: p
sources:
  s:
    type: postgres
    url: secret://SIGNALLED_DSN
    protect: {lock_timeout: 60s}
    follow: {latency: 200ms}
    tables: {t: {mode: cdc}}
"""
FOLLOW = [sys.executable, "-c", "from limnos.apps.cli.main import main; main()", "run", "--follow"]
STOPPING, STOPPED = "stopping after the round", "stopped between two rounds"


@dataclass
class Shop:
    """A project over a database of its own, and a follower of it in another process."""

    home: Path
    url: str

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as writer:
            writer.execute(sql.encode())

    def follow(self) -> subprocess.Popen[str]:
        return subprocess.Popen(FOLLOW, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @contextmanager
    def locked(self) -> Generator[subprocess.Popen[str]]:
        """Give a follower that waits for the table, in the middle of its round."""
        with psycopg.connect(self.url) as owner, psycopg.connect(self.url, autocommit=True) as watch:
            owner.execute("LOCK TABLE t")
            follower = self.follow()
            while not watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                assert follower.poll() is None, follower.communicate()
                time.sleep(0.02)
            yield follower

    def same(self) -> bool:
        """Run once more, and say whether the lake is as the source, with nothing left over."""
        lake = Lake(self.home)
        assert not lake.run().exit_code()
        with psycopg.connect(self.url) as reader:
            wanted = reader.execute("SELECT id, v FROM t ORDER BY id").fetchall()
        found = [tuple(row.values()) for row in lake.query("SELECT id, v FROM s.t ORDER BY id").rows()]
        return found == wanted and not world.strays(self.home) and not lake._parts.ledger.open_runs()


@pytest.fixture
def shop(postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Shop]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        made = Shop(tmp_path, postgres_server.url(name))
        made.execute(f"CREATE TABLE t AS SELECT n AS id, 0 AS v FROM generate_series(1, {ROWS}) n; ALTER TABLE t ADD PRIMARY KEY (id)")
        (tmp_path / "limnos.yml").write_text(PROJECT)
        monkeypatch.setenv("SIGNALLED_DSN", made.url)
        yield made
        owner.execute(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '{name}' AND active")
        owner.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'")
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_within_a_round_waits_for_it_and_publishes(shop: Shop, asked: signal.Signals) -> None:
    with shop.locked() as follower:
        follower.send_signal(asked)
        assert follower.stderr
        assert STOPPING in follower.stderr.readline()
    out, said = follower.communicate(timeout=60)
    assert follower.returncode == 0, said
    assert f"written {ROWS:,}" in out
    assert said.splitlines()[-1].startswith(STOPPED)
    assert Lake(shop.home).query("SELECT count(*) AS n FROM s.t").rows() == [{"n": ROWS}]
    assert shop.same()


def test_a_second_interrupt_ends_a_round_at_once_and_nothing_of_it_is_published(shop: Shop) -> None:
    with shop.locked() as follower:
        follower.send_signal(signal.SIGINT)
        assert follower.stderr
        assert STOPPING in follower.stderr.readline()
        follower.send_signal(signal.SIGTERM)
        _, said = follower.communicate(timeout=60)
    assert (follower.returncode, said) == (130, "interrupted\n")
    assert Lake(shop.home).history() == ()
    assert shop.same()


def test_an_interrupt_between_two_rounds_ends_it(shop: Shop) -> None:
    follower = shop.follow()
    assert follower.stdout
    assert f"written {ROWS:,}" in follower.stdout.readline()
    time.sleep(0.5)
    follower.send_signal(signal.SIGTERM)
    _, said = follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert STOPPED in said
    assert shop.same()


def test_interrupts_at_any_moment_lose_nothing(shop: Shop) -> None:
    chance = random.Random(11)
    codes = set[int]()
    Lake(shop.home).run()
    for round_ in range(5):
        follower = shop.follow()
        with psycopg.connect(shop.url, autocommit=True) as watch:
            while not watch.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'limnos' AND datname = current_database()"
            ).fetchone():
                time.sleep(0.02)
        for change in range(10):
            shop.execute(f"UPDATE t SET v = v + 1 WHERE id % 10 = {change}; INSERT INTO t VALUES ({ROWS + 1 + round_ * 10 + change}, 0)")
            time.sleep(chance.uniform(0, 0.06))
        follower.send_signal(signal.SIGINT)
        time.sleep(chance.uniform(0, 0.2))
        if follower.poll() is None:
            os.kill(follower.pid, signal.SIGINT)
        _, said = follower.communicate(timeout=60)
        codes.add(follower.returncode)
        assert ("interrupted" if follower.returncode else STOPPED) in said, said
        assert "Traceback" not in said
    assert codes <= {0, 130}
    assert shop.same()
