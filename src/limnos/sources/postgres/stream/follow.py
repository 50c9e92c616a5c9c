"""Choose, from the messages of the log, the changes that one snapshot sees and a table's last position did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from limnos.errors import SourceRefused
from limnos.model.changes import COMMITTED_AT, ENVELOPE, OPERATION, SEQUENCE, Changes, Operation
from limnos.sources.postgres.stream.generated import Generated
from limnos.sources.postgres.stream.pgoutput import (
    BEGIN,
    DELETE,
    INSERT,
    RELATION,
    TRUNCATE,
    UPDATE,
    Column,
    Flags,
    Messages,
    Numbers,
    Relation,
)
from limnos.sources.postgres.stream.rows import Rows, Untold
from limnos.sources.postgres.stream.snapshot import Snapshot
from limnos.sources.postgres.stream.tables import Streamed

_ROWS = np.frombuffer(bytes([INSERT, UPDATE, DELETE]), np.uint8)


@dataclass(frozen=True, slots=True)
class Followed:
    """Hold a table whose changes are wanted: what it is, what was read of it already, and its columns with their types' names.

    `generated` completes its rows with the columns that the log does not hold, where there are some.
    """

    table: Streamed
    seen: Snapshot
    columns: tuple[tuple[str, str], ...]
    generated: Generated | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that tell rows apart, generated ones among them where all columns do."""
        return self.names if self.table.keyless else self.table.identity

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of its changes, in order."""
        return self.generated.order if self.generated else tuple(name for name, _ in self.columns)

    def differs(self, relation: Relation) -> str:
        """Say how the log's rows are not those of the table as it is now; empty if they are."""
        if relation.columns != self.table.columns:
            return "its columns were altered while its rows changed"
        if not self.table.partitioned and not set(self.table.identity) <= relation.identity:
            return "its replica identity was altered while its rows changed"
        return ""


@dataclass(frozen=True, slots=True)
class _Transactions:
    """Know each transaction of a batch, and before them the one that the batch begins within; `of` has one's place for each message."""

    xids: Numbers
    times_us: Numbers
    visible: Flags
    of: Numbers


class Follower:
    """Go once through the log for all followed tables, by object id; `left_out` is where the first unseen transaction committed."""

    def __init__(self, snapshot: Snapshot, followed: Mapping[int, Followed]) -> None:
        self._snapshot = snapshot
        self._followed = dict(followed)
        self._relations: dict[int, Relation] = {}
        self._open = (np.zeros(1, np.int64), np.zeros(1, np.int64))
        self._first = 0
        self.left_out: int | None = None

    def over(self, batches: Iterable[Messages]) -> Iterator[Changes]:
        """Hand over the changes in these messages; batches may end anywhere.

        Raises:
            SourceRefused: If the messages are not what the protocol says.
        """
        for messages in batches:
            yield from self._batch(messages, self._begun(messages))
            self._first += 2 * len(messages)

    def _begun(self, messages: Messages) -> _Transactions:
        found = messages.transactions()
        xids = np.concatenate([self._open[0], self._snapshot.whole(found.xids)])
        times_us = np.concatenate([self._open[1], found.times_us])
        visible = self._snapshot.sees(xids)
        if self.left_out is None and not visible[1:].all():
            self.left_out = int(found.lsns[~visible[1:]][0])
        self._open = xids[-1:], times_us[-1:]
        return _Transactions(xids, times_us, visible, np.cumsum(messages.kinds == BEGIN))

    def _batch(self, messages: Messages, begun: _Transactions) -> Iterator[Changes]:
        start = 0
        for index in np.flatnonzero((messages.kinds == RELATION) | (messages.kinds == TRUNCATE)).tolist():
            if messages.kinds[index] == RELATION:
                relation = Relation.parse(messages.bytes(index))
                if self._relations.get(relation.oid) == relation:
                    continue
                yield from self._rows(messages, begun, start, index)
                self._relations[relation.oid] = relation
            else:
                yield from self._rows(messages, begun, start, index)
                yield from self._truncations(messages, begun, index)
            start = index
        yield from self._rows(messages, begun, start, len(messages))

    def _taken(self, followed: Followed, begun: _Transactions) -> Flags:
        return begun.visible & ~followed.seen.sees(begun.xids)

    def _truncations(self, messages: Messages, begun: _Transactions, index: int) -> Iterator[Changes]:
        for oid in messages.truncated(index):
            followed = self._followed.get(oid)
            if followed and self._taken(followed, begun)[begun.of[index]]:
                at = np.array([begun.times_us[begun.of[index]]])
                schema = pa.schema([*ENVELOPE, *(pa.field(name, pa.string()) for name in followed.names)])
                said: dict[str, Column] = {
                    SEQUENCE: pa.array([self._first + 2 * index]),
                    OPERATION: pa.array([Operation.TRUNCATE], pa.string()),
                    COMMITTED_AT: pa.array(at).cast(pa.timestamp("us", tz="UTC")),
                }
                row = pa.RecordBatch.from_arrays([said.get(field.name, pa.nulls(1, field.type)) for field in schema], schema=schema)
                yield Changes(followed.table.name, row, followed.identity)

    def _rows(self, messages: Messages, begun: _Transactions, start: int, end: int) -> Iterator[Changes]:
        rows = start + np.flatnonzero(np.isin(messages.kinds[start:end], _ROWS))
        oids = messages.relations(rows)
        for oid in np.unique(oids).tolist():
            if followed := self._followed.get(oid):
                mine = rows[oids == oid]
                picked = mine[self._taken(followed, begun)[begun.of[mine]]]
                if len(picked):
                    yield self._changes(messages, begun, followed, picked)

    def _changes(self, messages: Messages, begun: _Transactions, followed: Followed, picked: Numbers) -> Changes:
        table = followed.table
        names = [name for name, _ in followed.columns]
        why = followed.differs(self._relations[table.oid])
        if not why:
            try:
                identity = [names.index(name) for name in table.identity]
                rows = Rows.of(messages, picked, len(names), identity, keyless=table.keyless)
                batch = rows.batch(messages, followed.columns, self._first, begun.times_us[begun.of])
                if followed.generated:
                    batch = followed.generated.complete(batch, keyless=table.keyless)
                return Changes(table.name, batch, followed.identity)
            except Untold as untold:
                why = f"{untold}; ALTER TABLE ... REPLICA IDENTITY FULL has such values sent"
            except (ValueError, IndexError) as error:
                raise SourceRefused(
                    "The change stream of PostgreSQL is not what its protocol says",
                    subject=table.name,
                    seen=str(error),
                    expected="messages of pgoutput, version 1",
                    hint="run again; if it says so again, read the table with `mode: full`",
                ) from error
        del self._followed[table.oid]
        return Changes(table.name, reload=why)
