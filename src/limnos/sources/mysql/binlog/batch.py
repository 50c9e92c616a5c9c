"""Changes of one table, gathered from row events until they are worth a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from limnos.model.changes import ENVELOPE, Changes, Operation
from limnos.sources.mysql.binlog.cells import Column, array
from limnos.sources.mysql.binlog.events import DELETE, UPDATE, WRITE, Rows
from limnos.sources.mysql.binlog.layout import PADDING, Array, Buffer, Cell, Images, Layouts, taken, walk

_OPERATIONS: Array = pa.array([Operation.INSERT.value, Operation.UPDATE.value, Operation.DELETE.value], pa.string())


@dataclass(slots=True)
class Batch:
    """Gather the row events of one table, all laid out the same; `size` is what they take, in bytes."""

    table: str
    cells: tuple[Cell, ...]
    columns: tuple[Column, ...]
    identity: tuple[str, ...]
    size: int = 0
    _layouts: Layouts = field(init=False)
    _events: list[tuple[int, int, int, bytes]] = field(default_factory=list[tuple[int, int, int, bytes]])

    def __post_init__(self) -> None:
        self._layouts = Layouts(self.cells)

    def add(self, action: int, at_us: int, sequence: int, payload: bytes) -> None:
        """Take the rows of one event; their sequence numbers begin with `sequence`, and none is greater by more than their bytes."""
        self._events.append((action, at_us, sequence, payload))
        self.size += len(payload)

    def changes(self) -> Changes:
        """Decode what was gathered, and begin anew.

        Raises:
            UnknownLayout: If the rows are not laid out as the catalog and the table map say.
        """
        actions, instants_us, sequences, payloads = zip(*self._events, strict=True)
        ends = list(accumulate(map(len, payloads)))
        rows = b"".join([*payloads, bytes(PADDING)])
        starts, counts = walk(rows, ends, self._layouts)
        sizes = np.diff(counts, prepend=0)
        images = _Marked(
            Images(Buffer(rows), starts, self.cells),
            np.repeat(np.array(actions, np.int64), sizes),
            np.repeat(np.array(instants_us, np.int64), sizes),
            np.repeat(np.array(sequences, np.int64) - (counts - sizes), sizes) + np.arange(len(starts)),
            np.arange(len(starts)) - np.repeat(counts - sizes, sizes),
        )
        self._events.clear()
        self.size = 0
        return Changes(self.table, self._record_batch(images), self.identity)

    def _record_batch(self, marked: _Marked) -> pa.RecordBatch:
        update = marked.actions == UPDATE
        before = update & (marked.places & 1 == 0)
        codes = marked.actions.copy()
        if update.any():
            moved = self._moved(marked.images, before)
            codes[before] = np.where(moved, DELETE, UPDATE)
            codes[update & ~before] = np.where(moved, WRITE, UPDATE)
            chosen = ~before
            chosen[before] = moved
            images, codes = marked.images.take(chosen), codes[chosen]
            sequences, instants = marked.sequences[chosen], marked.instants_us[chosen]
        else:
            images, sequences, instants = marked.images, marked.sequences, marked.instants_us
        decoded = [array(images.column(index), cell, self.columns[index]) for index, cell in enumerate(self.cells)]
        operations = taken(_OPERATIONS, codes)
        envelope = [
            pa.array(sequences),
            operations,
            pa.array(instants).cast(ENVELOPE.field(2).type),
            pa.nulls(len(codes), ENVELOPE.field(3).type),
        ]
        named = [pa.field(column.name, values.type) for column, values in zip(self.columns, decoded, strict=True)]
        return pa.RecordBatch.from_arrays([*envelope, *decoded], schema=pa.schema([*ENVELOPE, *named]))

    def _moved(self, images: Images, before: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Tell for each update whether it gave the row another identity; the second image of an update follows the first."""
        if len(self.identity) == len(self.cells):
            return np.ones(int(before.sum()), np.bool_)
        first = np.flatnonzero(before)
        moved = np.zeros(len(first), np.bool_)
        for index, column in enumerate(self.columns):
            if column.name in self.identity:
                moved |= images.column(index).differ(first, first + 1)
        return moved


@dataclass(frozen=True, slots=True)
class _Marked:
    """Hold images with what their events say; `places` counts the images of an event from 0."""

    images: Images
    actions: npt.NDArray[np.int64]
    instants_us: npt.NDArray[np.int64]
    sequences: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


def changed_columns(cells: tuple[Cell, ...], rows: Rows) -> set[int]:
    """Name by number the columns that some update of an event changed; all of them where its rows are not whole."""
    every = (1 << len(cells)) - 1
    if any(int.from_bytes(present, "little") & every != every for present in (rows.present, rows.after)):
        return set(range(len(cells)))
    starts, _ = walk(rows.payload, [len(rows.payload)], Layouts(cells))
    images = Images(Buffer(rows.payload + bytes(PADDING)), starts, cells)
    first = np.arange(0, len(starts), 2)
    return {index for index in range(len(cells)) if images.column(index).differ(first, first + 1).any()}
