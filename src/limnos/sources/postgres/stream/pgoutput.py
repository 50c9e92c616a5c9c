"""Take the messages of PostgreSQL's output plugin `pgoutput` apart, many at once.

Source: PostgreSQL documentation, "Logical Replication Message Formats", protocol version 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Octets: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Column: TypeAlias = Any  # an Arrow array, whose stubs know less than it does

BEGIN, RELATION, INSERT, UPDATE, DELETE, TRUNCATE = b"BRIUDT"
KEY, OLD, NEW = b"KON"
_NULL, _UNCHANGED, _TEXT = b"nut"
NULL, KEPT = -1, -2
_WIDEST = 8
# Microseconds between the epoch of Unix and PostgreSQL's, 2000-01-01.
_EPOCH_US = 946_684_800_000_000


@dataclass(frozen=True, slots=True)
class Relation:
    """Describe a table as the stream does before it speaks of its rows; `identity` are the columns that old rows come with."""

    oid: int
    columns: tuple[tuple[str, int], ...]
    identity: frozenset[str]

    @classmethod
    def parse(cls, message: bytes) -> Relation:
        r"""Read a message `R`.

        Examples:
            >>> Relation.parse(b"R\0\0@\0public\0t\0d\0\1\1id\0\0\0\0\x17\xff\xff\xff\xff")
            Relation(oid=16384, columns=(('id', 23),), identity=frozenset({'id'}))
        """
        at = message.index(b"\0", message.index(b"\0", 5) + 1) + 4
        columns: list[tuple[str, int]] = []
        identity: set[str] = set()
        while at < len(message):
            end = message.index(b"\0", at + 1)
            name = message[at + 1 : end].decode()
            columns.append((name, int.from_bytes(message[end + 1 : end + 5], "big")))
            if message[at] & 1:
                identity.add(name)
            at = end + 9
        return cls(int.from_bytes(message[1:5], "big"), tuple(columns), frozenset(identity))


@dataclass(frozen=True, slots=True)
class Cells:
    """Say where the values of one column lie in the data, for many rows; a length may be `NULL` or `KEPT`."""

    starts: Numbers
    lengths: Numbers

    def at(self, rows: Numbers | Flags) -> Cells:
        """Choose rows."""
        return Cells(self.starts[rows], self.lengths[rows])


@dataclass(frozen=True, slots=True)
class Transactions:
    """List transactions in the order in which they were committed: 32-bit ids, places of the commit in the log, commit times in µs."""

    xids: Numbers
    lsns: Numbers
    times_us: Numbers


class Messages:
    """Hold consecutive messages as they came: their bytes, back to back, and where each one begins and ends."""

    def __init__(self, data: Octets, starts: Numbers, ends: Numbers) -> None:
        self.data, self.starts, self.ends = data, starts, ends
        self.kinds: Octets = data[starts]

    @classmethod
    def of(cls, data: Octets, values: Numbers) -> Messages:
        """Find messages that stand as values in a COPY: each behind its length."""
        lengths = _numbers(data, values, 4)
        return cls(data, values + 4, values + 4 + lengths)

    def __len__(self) -> int:
        return len(self.starts)

    def bytes(self, index: int) -> bytes:
        """Give one message."""
        return self.data[self.starts[index] : self.ends[index]].tobytes()

    def number(self, at: Numbers, width: int) -> Numbers:
        """Read unsigned big-endian numbers (signed ones of 8 bytes) of `width` bytes."""
        return _numbers(self.data, at, width)

    def relations(self, rows: Numbers) -> Numbers:
        """Name the table of each row message by its object id."""
        return self.number(self.starts[rows] + 1, 4)

    def transactions(self) -> Transactions:
        """Read the messages that begin a transaction."""
        at = self.starts[self.kinds == BEGIN]
        return Transactions(self.number(at + 17, 4), self.number(at + 1, 8), self.number(at + 9, 8) + _EPOCH_US)

    def truncated(self, index: int) -> tuple[int, ...]:
        """Name the tables that one message truncated together."""
        message = self.bytes(index)
        return tuple(int.from_bytes(message[at : at + 4], "big") for at in range(6, len(message), 4))

    def tuples(self, at: Numbers, width: int) -> tuple[list[Cells], Numbers]:
        """Find the cells of one row of `width` columns behind each place, and the places behind the rows.

        Raises:
            ValueError: If a row has another number of columns, or a cell is none of text, null and unchanged.
        """
        if (self.number(at, 2) != width).any():
            raise ValueError(f"a row that has not the {width} columns of its relation message")
        at = at + 2
        cells: list[Cells] = []
        for _ in range(width):
            kinds = self.data[at]
            text = kinds == _TEXT
            if not (text | (kinds == _NULL) | (kinds == _UNCHANGED)).all():
                raise ValueError("a value that is neither text nor null nor unchanged")
            every = bool(text.all())
            # Where there is no text, some place that certainly exists is read instead.
            lengths = self.number(at + 1 if every else np.where(text, at + 1, 0), 4)
            starts = at + 5
            at = starts + lengths if every else np.where(text, starts + lengths, at + 1)
            cells.append(Cells(starts, lengths if every else np.where(text, lengths, np.where(kinds == _NULL, NULL, KEPT))))
        return cells, at

    def texts(self, cells: Cells) -> Column:
        """Copy cells out as strings; what is null or kept is null."""
        return self.octets(cells).cast(pa.string())

    def octets(self, cells: Cells) -> Column:
        """Copy cells out as bytes; what is null or kept is null."""
        there = cells.lengths >= 0
        starts, lengths = cells.starts[there], cells.lengths[there]
        picks = np.zeros(len(there), np.int64)
        if (starts[1:] >= (starts + lengths)[:-1]).all():
            picks[there] = np.arange(len(starts))
        else:
            starts, first, picks[there] = np.unique(starts, return_index=True, return_inverse=True)
            lengths = lengths[first]
        # One array over the whole data, in which every other element is a cell and the ones between are what lies between cells.
        places = np.empty(2 * len(starts) + 1, np.int32)
        places[:-1:2], places[1::2] = starts, starts + lengths
        places[-1] = places[-2] if len(starts) else 0
        whole: Column = pa.Array.from_buffers(pa.binary(), 2 * len(starts), [None, pa.py_buffer(places.data), pa.py_buffer(self.data.data)])
        return whole.take(pa.array(picks * 2, mask=~there))


def _numbers(data: Octets, at: Numbers, width: int) -> Numbers:
    # One number at every byte of the data, of which those are picked that stand where one is.
    every: np.ndarray[Any, Any] = np.ndarray((len(data) - width + 1,), f">{'i' if width == _WIDEST else 'u'}{width}", data, strides=(1,))
    return every[at].astype(np.int64)
