"""Make rows of a table's change messages, in the order in which they were committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from limnos.model.changes import ENVELOPE, Operation
from limnos.sources.postgres.stream.pgoutput import DELETE, INSERT, KEPT, NEW, OLD, UPDATE, Cells, Column, Flags, Messages, Numbers

_OPERATIONS: Column = pa.array([Operation.INSERT, Operation.UPDATE, Operation.DELETE], pa.string())
_compute: Any = pyarrow.compute  # its stubs know no plain Python values
_INSERTED, _UPDATED, _DELETED = range(3)


class Untold(Exception):
    """Say that a message does not hold what a row needs; the text is for a person."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Hold changes of one kind: `places` is twice the number of the message, and one more for what comes second of it."""

    places: Numbers
    operation: int
    cells: list[Cells]

    def at(self, rows: Flags, operation: int, later: int = 0) -> _Part:
        return _Part(self.places[rows] + later, operation, [cells.at(rows) for cells in self.cells])


@dataclass(frozen=True, slots=True)
class Rows:
    """Hold the changes of one table: places as in the messages (two for each), what happened, and the cells of each column."""

    places: Numbers
    operations: Numbers
    cells: tuple[Cells, ...]

    @classmethod
    def of(cls, messages: Messages, picked: Numbers, width: int, identity: Sequence[int], *, keyless: bool) -> Rows:
        """Read the picked messages, all of one table of `width` columns; without a key each update is a delete and an insert.

        Raises:
            Untold: If a row moves to another identity and one of its values was not sent.
        """
        kinds, forms = messages.kinds[picked], messages.data[messages.starts[picked] + 5]
        parts = [
            _plain(messages, picked[kinds == INSERT], width, _INSERTED),
            _plain(messages, picked[kinds == DELETE], width, _DELETED),
            _plain(messages, picked[(kinds == UPDATE) & (forms == NEW)], width, _UPDATED),
            *_with_old(messages, picked[(kinds == UPDATE) & (forms != NEW)], width, identity, keyless=keyless),
        ]
        parts = [part for part in parts if len(part.places)]
        places = np.concatenate([part.places for part in parts])
        order = np.argsort(places)
        operations = np.concatenate([np.full(len(part.places), part.operation) for part in parts])[order]
        columns = zip(*(part.cells for part in parts), strict=True)
        return cls(places[order], operations, tuple(_joined(column, order) for column in columns))

    def batch(self, messages: Messages, columns: Sequence[tuple[str, str]], first: int, times_us: Numbers) -> pa.RecordBatch:
        """Make a batch of the envelope and the columns, given with their types' names; `times_us` has one for each message."""
        envelope = [
            pa.array(self.places + first),
            _OPERATIONS.take(pa.array(self.operations)),
            pa.array(times_us[self.places >> 1]).cast(pa.timestamp("us", tz="UTC")),
            self._kept([name for name, _ in columns]),
        ]
        values = [_spelled(messages.texts(cells), kind) for cells, (_, kind) in zip(self.cells, columns, strict=True)]
        schema = pa.schema([*ENVELOPE, *(pa.field(name, pa.string()) for name, _ in columns)])
        return pa.RecordBatch.from_arrays([*envelope, *values], schema=schema)

    def _kept(self, names: Sequence[str]) -> Column:
        kind = ENVELOPE.field("_kept").type
        kept = np.stack([cells.lengths == KEPT for cells in self.cells], axis=1)
        if not kept.any():
            return pa.nulls(len(kept), kind)
        patterns, codes = np.unique(kept, axis=0, return_inverse=True)
        lists = [[names[place] for place in np.flatnonzero(pattern).tolist()] or None for pattern in patterns]
        found: Column = pa.array(lists, kind)
        return found.take(pa.array(codes.reshape(-1)))


def _plain(messages: Messages, picked: Numbers, width: int, operation: int) -> _Part:
    cells, _ = messages.tuples(messages.starts[picked] + 6, width)
    return _Part(picked * 2, operation, cells)


def _with_old(messages: Messages, picked: Numbers, width: int, identity: Sequence[int], *, keyless: bool) -> list[_Part]:
    """Read updates that bring the old identity or the whole old row along."""
    whole = messages.data[messages.starts[picked] + 5] == OLD
    old, behind = messages.tuples(messages.starts[picked] + 6, width)
    sent, _ = messages.tuples(behind + 1, width)
    new = [_filled(after, before, whole | (place in identity)) for place, (before, after) in enumerate(zip(old, sent, strict=True))]
    moved = np.full(len(picked), keyless)
    for place in identity:
        moved |= _differ(messages, old[place], new[place])
    if any((cells.lengths[moved] == KEPT).any() for cells in new):
        raise Untold("a row got another key while a large value of it stayed as it was, and was not sent")
    updates = _Part(picked * 2, _UPDATED, new)
    deletes = _Part(picked * 2, _DELETED, old)
    return [updates.at(~moved, _UPDATED), deletes.at(moved, _DELETED), updates.at(moved, _INSERTED, later=1)]


def _filled(new: Cells, old: Cells, known: Flags) -> Cells:
    fill = (new.lengths == KEPT) & known
    return Cells(np.where(fill, old.starts, new.starts), np.where(fill, old.lengths, new.lengths)) if fill.any() else new


def _differ(messages: Messages, old: Cells, new: Cells) -> Flags:
    """Compare value by value; two nulls are equal."""
    differ = old.lengths != new.lengths
    same = _compute.fill_null(_compute.equal(messages.octets(old), messages.octets(new)), fill_value=True)
    found: Flags = differ | ~np.asarray(same)
    return found


def _joined(parts: Sequence[Cells], order: Numbers) -> Cells:
    return Cells(np.concatenate([part.starts for part in parts])[order], np.concatenate([part.lengths for part in parts])[order])


def _spelled(texts: Column, kind: str) -> Column:
    """Spell a value as a cast to text does, where that is not what the type's own output is."""
    if kind == "bool":
        return _compute.if_else(_compute.equal(texts, "t"), "true", "false")
    if kind == "inet":
        bits = _compute.if_else(_compute.match_substring(texts, ":"), "/128", "/32")
        whole = _compute.binary_join_element_wise(texts, bits, "")
        return _compute.if_else(_compute.match_substring(texts, "/"), texts, whole)
    return texts
