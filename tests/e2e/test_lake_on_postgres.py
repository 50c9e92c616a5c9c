"""The state database in PostgreSQL: the same flow, the same lock, the same chain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from services import Postgres
from tests.unit.ledger.test_ledger import check_the_lock
from whole_flow import Shop, reveals, take

from limnos import Lake
from limnos.errors import LedgerBroken
from limnos.ledger.events import STARTED, StateLedger
from limnos.ledger.state import State
from limnos.model.secret import Secret

pytestmark = pytest.mark.e2e

_numbers = itertools.count()


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[str]:
    name = f"on_postgres_{next(_numbers)}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        yield postgres_server.url(name)
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_whole_flow(database: str, postgres_server: Postgres, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", f"state: {database}\n")
    take(shop)
    secrets = {"password": postgres_server.password}
    assert not any(postgres_server.password in text for text in shop.said)
    assert reveals(shop.directory, secrets) == []
    assert not (shop.directory / ".limnos" / "state.db").exists()


def test_the_lock_is_freed_when_its_holder_is_killed(database: str) -> None:
    check_the_lock(database, lambda error: database.split(":")[2].partition("@")[0] not in error.render())


def test_the_chain_does_not_fork_under_many_writers_who_open_it_at_once(database: str) -> None:
    def write(actor: int) -> None:
        own = StateLedger(State(Secret(database)), f"writer {actor}")
        for n in range(10):
            own.append(STARTED, "pond", {"n": n})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    ledger = StateLedger(State(Secret(database)), "reader")
    assert ledger.verify() == 40
    with psycopg.connect(database, autocommit=True) as eve:
        eve.execute("DELETE FROM limnos_events WHERE seq = 40")
    with pytest.raises(LedgerBroken):
        ledger.verify()


def test_a_reading_is_at_one_point_in_time(database: str) -> None:
    state = State(Secret(database))
    ledger = StateLedger(state, "ana")
    ledger.append(STARTED, "pond", {})
    with state.reading() as connection:
        count = "SELECT count(*) FROM limnos_events"
        before = connection.exec_driver_sql(count).scalar()
        ledger.append(STARTED, "pond", {})
        assert connection.exec_driver_sql(count).scalar() == before == 1
    assert len(list(ledger.events())) == 2


def test_an_empty_lake_can_be_asked(database: str, tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(f"version: 1\nstate: {database}\nsources: {{}}\n")
    lake = Lake(tmp_path)
    assert lake.history() == ()
    assert lake.query("SELECT count(*) AS n FROM system.runs").rows() == [{"n": 0}]
