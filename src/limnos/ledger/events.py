"""The ledger: append-only, hash-linked events in the state database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from limnos.errors import LedgerBroken
from limnos.ledger.state import State, StateTransaction, dispositions, events, head, positions
from limnos.model.contract import RuleSpec
from limnos.model.event import GENESIS, Event
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.state import EntryStatus
from limnos.ports import Transaction

STARTED = "run.started"
FINISHED = "run.finished"
RELEASED = "quarantine.released"
REJECTED = "quarantine.rejected"
UPKEPT = "upkeep.finished"
AHEAD = "ahead.finished"
COMPARED = "verify.finished"
CHECKED = "check.finished"
FAILED = "run.failed"
ABANDONED = "run.abandoned"
ENDINGS = (FINISHED, RELEASED, REJECTED, UPKEPT, AHEAD, FAILED, ABANDONED)

_INSERT_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Mark:
    """Remember the load that a table's published rows come from.

    `basis` says what else the load depended on (contract, parents); `read` and `quarantined` are its counts,
    `source_rules` the rules that the source itself promised.
    """

    position: Position | None
    run_id: str
    basis: str
    read: int
    quarantined: int
    score: float | None = None
    source_rules: tuple[RuleSpec, ...] = ()


class StateLedger:
    """Keep events, marks and dispositions in the state database."""

    def __init__(self, state: State, actor: str) -> None:
        self._state = state
        self._actor = actor

    def begin(self) -> AbstractContextManager[StateTransaction]:
        """Open one transaction of the state database."""
        return self._state.begin()

    def append(
        self, action: str, subject: str, payload: Mapping[str, object], *, run_id: str = "", transaction: Transaction | None = None
    ) -> Event:
        """Add an event to the end of the chain, in `transaction` or in one of its own."""
        if transaction is None:
            with self.begin() as own:
                return self.append(action, subject, payload, run_id=run_id, transaction=own)
        connection: Connection = transaction.connection
        last = connection.execute(sa.select(head)).first()
        if last is None:
            raise _broken("the end of the chain", "no last event", "one")
        event = Event(
            seq=last.seq + 1,
            at=datetime.now(UTC),
            actor=self._actor,
            action=action,
            subject=subject,
            run_id=run_id,
            payload=json.loads(json.dumps(payload)),
            previous=last.hash,
        )
        connection.execute(
            events.insert().values(
                seq=event.seq,
                at=event.at.isoformat(),
                actor=event.actor,
                action=event.action,
                subject=event.subject,
                run_id=event.run_id,
                payload=json.dumps(event.payload, sort_keys=True),
                previous=event.previous,
                hash=event.hash,
            )
        )
        connection.execute(head.update().values(seq=event.seq, hash=event.hash))
        return event

    def events(self, *, action: str | None = None, run_id: str | None = None) -> Iterator[Event]:
        """Read events in order."""
        query = sa.select(events).order_by(events.c.seq)
        if action is not None:
            query = query.where(events.c.action == action)
        if run_id is not None:
            query = query.where(events.c.run_id == run_id)
        with self._state.reading() as connection:
            for row in connection.execute(query):
                yield _event(row)

    def open_runs(self) -> tuple[str, ...]:
        """Name the runs that started and never ended: their process died."""
        ended = sa.select(events.c.run_id).where(events.c.action.in_(ENDINGS))
        query = sa.select(events.c.run_id).where(events.c.action == STARTED, events.c.run_id.not_in(ended)).order_by(events.c.seq)
        with self._state.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def verify(self) -> int:
        """Check every link of the chain; gives how many events there are.

        Raises:
            LedgerBroken: At the first event that was changed, dropped, inserted or moved.
        """
        previous, seq = GENESIS, 0
        with self._state.reading() as connection:
            for row in connection.execute(sa.select(events).order_by(events.c.seq)):
                event, seq = _event(row), seq + 1
                if event.seq != seq or event.previous != previous or event.hash != row.hash:
                    raise _broken(
                        f"event {event.seq}",
                        f"seq {event.seq}, previous {event.previous[:12]}, hash {event.hash[:12]}",
                        f"seq {seq}, previous {previous[:12]}, hash {row.hash[:12]}",
                    )
                previous = event.hash
            last = connection.execute(sa.select(head)).first()
        if last is None or (last.seq, last.hash) != (seq, previous):
            expected = f"seq {last.seq}, hash {last.hash[:12]}" if last else "a record of the last event"
            raise _broken("the end of the chain", f"seq {seq}, hash {previous[:12]}", expected)
        return seq

    def marks(self) -> Mapping[TableName, Mark]:
        """Give what is remembered of each table's last load."""
        with self._state.reading() as connection:
            return {
                TableName.parse(row.table_name): Mark(
                    Position.from_json(row.position) if row.position else None,
                    row.run_id,
                    row.basis,
                    row.read,
                    row.quarantined,
                    row.score,
                    tuple(RuleSpec.from_json(said) for said in json.loads(row.source_rules)),
                )
                for row in connection.execute(sa.select(positions))
            }

    def positions(self) -> Mapping[TableName, Position]:
        """Give the position of each table as of its last published version."""
        return {table: mark.position for table, mark in self.marks().items() if mark.position}

    def set_mark(self, table: TableName, mark: Mark, transaction: Transaction) -> None:
        """Remember a table's load, together with its publishing."""
        connection: Connection = transaction.connection
        connection.execute(positions.delete().where(positions.c.table_name == str(table)))
        connection.execute(
            positions.insert().values(
                table_name=str(table),
                position=mark.position.as_json() if mark.position else "",
                run_id=mark.run_id,
                basis=mark.basis,
                read=mark.read,
                quarantined=mark.quarantined,
                score=mark.score,
                source_rules=json.dumps([rule.as_json() for rule in mark.source_rules]),
            )
        )

    def dispose(
        self, table: TableName, entries: Iterable[tuple[str, str]], status: EntryStatus, run_id: str, transaction: Transaction
    ) -> int:
        """Record what became of quarantine entries, given as (id, fingerprint); gives how many."""
        connection: Connection = transaction.connection
        at = datetime.now(UTC).isoformat()
        rows = [
            {
                "entry_id": entry_id,
                "table_name": str(table),
                "fingerprint": fingerprint,
                "status": status.value,
                "run_id": run_id,
                "at": at,
                "actor": self._actor,
            }
            for entry_id, fingerprint in entries
        ]
        for start in range(0, len(rows), _INSERT_CHUNK):
            connection.execute(dispositions.insert(), rows[start : start + _INSERT_CHUNK])
        return len(rows)

    def dispositions(self) -> Iterator[tuple[str, str, str, EntryStatus]]:
        """Give (entry id, table, fingerprint, status) of every entry that somebody decided on."""
        with self._state.reading() as connection:
            for row in connection.execute(sa.select(dispositions)):
                yield row.entry_id, row.table_name, row.fingerprint, EntryStatus(row.status)


def _event(row: sa.Row[tuple[object, ...]]) -> Event:
    said = row._mapping  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] SQLAlchemy's documented name for access by column name
    try:
        return Event(
            seq=said["seq"],
            at=datetime.fromisoformat(said["at"]),
            actor=said["actor"],
            action=said["action"],
            subject=said["subject"],
            run_id=said["run_id"],
            payload=json.loads(said["payload"]),
            previous=said["previous"],
        )
    except (TypeError, ValueError) as error:
        raise _broken(f"event {said['seq']}", str(error), "what Limnos wrote") from error


def _broken(subject: str, seen: str, expected: str) -> LedgerBroken:
    return LedgerBroken(
        "The event chain does not verify",
        subject=subject,
        seen=seen,
        expected=expected,
        hint="compare the state database with a backup from before this event",
    )
