from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from limnos.errors import LedgerBroken, LimnosError, ProjectInvalid, RunInProgress, StateCorrupt, StorageFailed
from limnos.ledger.events import FINISHED, STARTED, Mark, StateLedger
from limnos.ledger.lock import exclusive
from limnos.ledger.state import SCHEMA_VERSION, State
from limnos.model.contract import RuleSpec, Severity
from limnos.model.event import GENESIS
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.secret import Secret
from limnos.model.state import EntryStatus

FISH = TableName("pond", "fish")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def ledger(database: Path) -> StateLedger:
    return opened(database)


def opened(database: Path) -> StateLedger:
    return StateLedger(State(Secret(f"sqlite:///{database}")), "ana")


def tamper(database: Path, *statements: str) -> None:
    with sqlite3.connect(database) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_events_come_back_as_they_were_appended(ledger: StateLedger, database: Path) -> None:
    first = ledger.append(STARTED, "pond", {"tables": ["pond.fish"], "n": 1.5, "none": None}, run_id="run-1")
    second = ledger.append(FINISHED, "pond", {"text": "naïve \x00 😀"}, run_id="run-1")
    assert (first.seq, first.previous, second.seq, second.previous) == (1, GENESIS, 2, first.hash)
    assert list(ledger.events()) == list(opened(database).events()) == [first, second]
    assert list(ledger.events(action=FINISHED)) == [second]
    assert list(ledger.events(run_id="run-2")) == []
    assert ledger.verify() == 2


def test_an_empty_chain_verifies(ledger: StateLedger) -> None:
    assert ledger.verify() == 0


CHANGED = {
    "at": "at = replace(at, '20', '21')",
    "actor": "actor = 'eve'",
    "action": "action = 'run.failed'",
    "subject": "subject = 'lake'",
    "run_id": "run_id = 'run-9'",
    "payload": """payload = '{"n": 30}'""",
    "previous": f"previous = '{'1' * 64}'",
    "hash": f"hash = '{'1' * 64}'",
    "payload that is no JSON": "payload = '{'",
    "time that is none": "at = 'yesterday'",
}
INSERTED = (
    "INSERT INTO limnos_events SELECT {seq}, at, actor, action, subject, run_id, payload, hash, '" + "1" * 64 + "' "
    "FROM limnos_events WHERE seq = {after}"
)
TAMPERED = {
    **{
        f"changed {name} of event {seq}": (f"UPDATE limnos_events SET {how} WHERE seq = {seq}",)
        for name, how in CHANGED.items()
        for seq in (1, 3, 5)
    },
    **{f"dropped event {seq}": (f"DELETE FROM limnos_events WHERE seq = {seq}",) for seq in range(1, 6)},
    "dropped and counted anew": ("DELETE FROM limnos_events WHERE seq = 3", "UPDATE limnos_events SET seq = seq - 1 WHERE seq > 3"),
    "dropped all": ("DELETE FROM limnos_events",),
    "dropped all and the record of the last": ("DELETE FROM limnos_events", "DELETE FROM limnos_head"),
    "inserted at the end": (INSERTED.format(seq=6, after=5),),
    "inserted in the middle": (
        "UPDATE limnos_events SET seq = seq + 10 WHERE seq > 2",
        "UPDATE limnos_events SET seq = seq - 9 WHERE seq > 10",
        INSERTED.format(seq=3, after=2),
    ),
    "exchanged two": (
        "UPDATE limnos_events SET seq = 99 WHERE seq = 2",
        "UPDATE limnos_events SET seq = 2 WHERE seq = 3",
        "UPDATE limnos_events SET seq = 3 WHERE seq = 99",
    ),
    "exchanged two payloads": ("UPDATE limnos_events SET payload = json_object('n', 5 - seq) WHERE seq IN (2, 3)",),
}


@pytest.mark.parametrize("statements", TAMPERED.values(), ids=TAMPERED)
def test_tampering_is_found(ledger: StateLedger, database: Path, statements: tuple[str, ...]) -> None:
    for n in range(5):
        ledger.append(STARTED, "pond", {"n": n}, run_id=f"run-{n}")
    assert ledger.verify() == 5
    tamper(database, *statements)
    with pytest.raises(LedgerBroken) as caught:
        ledger.verify()
    assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    )
)
def test_any_payload_verifies(payload: dict[str, object]) -> None:
    ledger = StateLedger(State(Secret("sqlite://")), "ana")
    ledger.append(STARTED, "pond", payload)
    assert ledger.verify() == 1
    assert [event.payload for event in ledger.events()] == [payload]


def test_a_transaction_that_is_rolled_back_leaves_nothing(ledger: StateLedger) -> None:
    before = ledger.append(STARTED, "pond", {})
    with pytest.raises(ZeroDivisionError), ledger.begin() as transaction:  # noqa: PT012 the transaction fails after its work
        ledger.append(FINISHED, "pond", {}, transaction=transaction)
        ledger.set_mark(FISH, Mark(None, "run-1", "", 1, 0), transaction)
        ledger.dispose(FISH, [("e1", "f1")], EntryStatus.RELEASED, "run-1", transaction)
        raise ZeroDivisionError
    assert (list(ledger.events()), ledger.marks(), list(ledger.dispositions())) == ([before], {}, [])
    assert ledger.append(FINISHED, "pond", {}).previous == before.hash
    assert ledger.verify() == 2


def test_events_of_one_transaction_follow_each_other(ledger: StateLedger) -> None:
    with ledger.begin() as transaction:
        first, second = (ledger.append(STARTED, "pond", {"n": n}, transaction=transaction) for n in range(2))
    assert second.previous == first.hash
    assert ledger.verify() == 2


def test_the_chain_does_not_fork_under_many_writers(database: Path) -> None:
    def write(actor: int) -> None:
        own = opened(database)
        for n in range(10):
            own.append(STARTED, "pond", {"actor": actor, "n": n})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    ledger = opened(database)
    assert ledger.verify() == 40
    order = [(event.payload["actor"], event.payload["n"]) for event in ledger.events()]
    assert all([n for who, n in order if who == actor] == list(range(10)) for actor in range(4))


def test_runs_that_started_and_never_ended_are_open(ledger: StateLedger) -> None:
    for run in ("run-1", "run-2", "run-3"):
        ledger.append(STARTED, "pond", {}, run_id=run)
    ledger.append(FINISHED, "pond", {}, run_id="run-2")
    assert ledger.open_runs() == ("run-1", "run-3")


def test_marks_come_back_as_they_were_set(ledger: StateLedger, database: Path) -> None:
    rules = (RuleSpec("range", ("cm",), {"min": 0}, severity=Severity.WARN, at_least=0.5, where="id > 1"), RuleSpec("unique", ("id",)))
    full = Mark(Position("files", {"a.csv": {"sha256": "9f", "stat": [1]}}), "run-1", '{"contract": "x"}', 2**40, 7, 0.98, rules)
    bare = Mark(None, "run-2", "", 0, 0)
    with ledger.begin() as transaction:
        ledger.set_mark(FISH, bare, transaction)
        ledger.set_mark(FISH, full, transaction)
        ledger.set_mark(TableName("pond", "weed"), bare, transaction)
    assert opened(database).marks() == {FISH: full, TableName("pond", "weed"): bare}


def test_dispositions_come_back_as_they_were_made(ledger: StateLedger, database: Path) -> None:
    with ledger.begin() as transaction:
        assert ledger.dispose(FISH, [("e1", "f1"), ("e2", "f2")], EntryStatus.RELEASED, "run-1", transaction) == 2
        assert ledger.dispose(FISH, [("e3", "f3")], EntryStatus.REJECTED, "run-2", transaction) == 1
        assert ledger.dispose(FISH, [], EntryStatus.REJECTED, "run-3", transaction) == 0
    assert sorted(opened(database).dispositions()) == [
        ("e1", "pond.fish", "f1", EntryStatus.RELEASED),
        ("e2", "pond.fish", "f2", EntryStatus.RELEASED),
        ("e3", "pond.fish", "f3", EntryStatus.REJECTED),
    ]


def test_the_state_of_a_newer_version_is_left_alone(database: Path) -> None:
    opened(database)
    tamper(database, f"INSERT INTO limnos_schema VALUES ({SCHEMA_VERSION + 1})")
    with pytest.raises(StateCorrupt) as caught:
        opened(database)
    assert str(SCHEMA_VERSION + 1) in caught.value.seen
    assert "upgrade" in caught.value.hint


ADDRESSES: dict[str, tuple[str, type[LimnosError]]] = {
    "malformed": ("postgresql://ana:hunter2@host:no-port/db", ProjectInvalid),
    "no address": ("hunter2", ProjectInvalid),
    "nobody there": ("postgresql://ana:hunter2@127.0.0.1:1/db", StorageFailed),
}


@pytest.mark.parametrize(("url", "kind"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_that_leads_nowhere_is_told_without_its_password(url: str, kind: type[LimnosError]) -> None:
    with pytest.raises(kind) as caught:
        State(Secret(url))
    error: BaseException | None = caught.value
    assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))
    while error is not None:
        assert "hunter2" not in f"{error!s}{error!r}"
        error = error.__cause__


def test_an_error_of_the_database_is_ours_whoever_uses_the_engine(ledger: StateLedger, database: Path) -> None:
    state = State(Secret(f"sqlite:///{database}"))
    with pytest.raises(StateCorrupt), state.engine.connect() as connection:
        connection.execute(sa.text("SELECT * FROM nowhere"))


HOLDER = """
import sys, time
from limnos.ledger.lock import exclusive
from limnos.ledger.state import State
from limnos.model.secret import Secret
with exclusive(State(Secret(sys.argv[1])), "run of the holder", wait_s=0):
    print("held", flush=True)
    time.sleep(600)
"""


def held(url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def check_the_lock(url: str, says: Callable[[RunInProgress], bool]) -> None:
    """Hold the lock in another process, be told, kill it, and have the lock."""
    state = State(Secret(url))
    holder = held(url)
    try:
        with pytest.raises(RunInProgress) as caught, exclusive(state, "run 2", wait_s=0.3):
            pytest.fail("the lock was held twice")
        assert says(caught.value), caught.value.render()
    finally:
        kill(holder)
    with exclusive(state, "run 3", wait_s=20):
        pass


def test_the_lock_is_freed_when_its_holder_is_killed(database: Path) -> None:
    check_the_lock(f"sqlite:///{database}", lambda error: "run of the holder" in error.seen)


def test_the_lock_waits_for_its_holder(database: Path) -> None:
    state = State(Secret(f"sqlite:///{database}"))
    order: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with exclusive(state, "first", wait_s=0):

            def second() -> None:
                with exclusive(state, "second", wait_s=30):
                    order.append("second")

            waiting = pool.submit(second)
            time.sleep(0.3)
            order.append("first")
        waiting.result()
    assert order == ["first", "second"]
