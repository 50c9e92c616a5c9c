"""How the columns of a table lie in the rows of the log.

Source: MySQL 8.0 source code documentation, "Table_map_event" (types and metadata), "Rows_event".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from limnos.sources.mysql.binlog.events import TableMap

Offsets: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Truths: TypeAlias = npt.NDArray[np.bool_]
Array: TypeAlias = "pa.Array[Any]"


class Wire(IntEnum):
    """Name the types of a table map."""

    TINY = 1
    SHORT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    TIMESTAMP = 7
    LONGLONG = 8
    INT24 = 9
    DATE = 10
    TIME = 11
    DATETIME = 12
    YEAR = 13
    NEWDATE = 14
    VARCHAR = 15
    BIT = 16
    TIMESTAMP2 = 17
    DATETIME2 = 18
    TIME2 = 19
    BLOB_COMPRESSED = 140
    VARCHAR_COMPRESSED = 141
    JSON = 245
    NEWDECIMAL = 246
    ENUM = 247
    SET = 248
    BLOB = 252
    STRING = 254
    GEOMETRY = 255


_FIXED = {
    Wire.TINY: 1,
    Wire.SHORT: 2,
    Wire.LONG: 4,
    Wire.LONGLONG: 8,
    Wire.INT24: 3,
    Wire.DATE: 3,
    Wire.NEWDATE: 3,
    Wire.YEAR: 1,
}
_METADATA_BYTES = {
    Wire.FLOAT: 1,
    Wire.DOUBLE: 1,
    Wire.VARCHAR: 2,
    Wire.BIT: 2,
    Wire.TIMESTAMP2: 1,
    Wire.DATETIME2: 1,
    Wire.TIME2: 1,
    Wire.BLOB_COMPRESSED: 1,
    Wire.VARCHAR_COMPRESSED: 2,
    Wire.JSON: 1,
    Wire.NEWDECIMAL: 2,
    Wire.BLOB: 1,
    Wire.STRING: 2,
    Wire.GEOMETRY: 1,
    Wire.ENUM: 2,
    Wire.SET: 2,
}
_PATTERNS = 65_536
PADDING = 80
"""The bytes that must follow the last row: numbers are read as words from wherever a cell, or a part of one, begins."""
DIGITS_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


class UnknownLayout(Exception):  # a fact of this room, which never leaves it
    """A column lies in the log in a form that this room does not read; `args[0]` names it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Say how one column lies in a row: `size` bytes, or a length of `prefix` bytes and as many bytes as it says.

    `first` and `second` are the two numbers of the metadata, whose meaning is the type's.
    """

    wire: Wire
    size: int = 0
    prefix: int = 0
    first: int = 0
    second: int = 0


def decimal_bytes(precision: int, scale: int) -> int:
    """Count the bytes of a decimal.

    Examples:
        >>> decimal_bytes(14, 4)
        7
    """
    whole = precision - scale
    return whole // 9 * 4 + DIGITS_BYTES[whole % 9] + scale // 9 * 4 + DIGITS_BYTES[scale % 9]


def cells(found: TableMap) -> tuple[Cell, ...]:
    """Read the types and metadata of a table map.

    Raises:
        UnknownLayout: If a column is of a type that this room does not read.
    """
    laid: list[Cell] = []
    at = 0
    for number in found.types:
        if number not in Wire.__members__.values():
            raise UnknownLayout(f"type {number}")
        wire = Wire(number)
        width = _METADATA_BYTES.get(wire, 0)
        laid.append(_cell(wire, *found.metadata[at : at + width]))
        at += width
    return tuple(laid)


def _cell(wire: Wire, first: int = 0, second: int = 0) -> Cell:
    match wire:
        case Wire.FLOAT | Wire.DOUBLE:
            return Cell(wire, first)
        case Wire.NEWDECIMAL:
            return Cell(wire, decimal_bytes(first, second), first=first, second=second)
        case Wire.TIMESTAMP2 | Wire.DATETIME2 | Wire.TIME2:
            return Cell(wire, {Wire.TIMESTAMP2: 4, Wire.DATETIME2: 5, Wire.TIME2: 3}[wire] + (first + 1) // 2, first=first)
        case Wire.BIT:
            return Cell(wire, second + (first > 0), first=second * 8 + first)
        case Wire.VARCHAR | Wire.VARCHAR_COMPRESSED:
            return Cell(wire, prefix=1 if first | second << 8 < 256 else 2)
        case Wire.BLOB | Wire.BLOB_COMPRESSED | Wire.GEOMETRY:
            return Cell(wire, prefix=first)
        case Wire.STRING | Wire.ENUM | Wire.SET:
            return _string(first, second)
        case _ if wire in _FIXED:
            return Cell(wire, _FIXED[wire])
        case _:
            raise UnknownLayout(f"type {wire.name}")


def _string(kind: int, length: int) -> Cell:
    if kind in (Wire.ENUM, Wire.SET):
        return Cell(Wire(kind), length)
    # Lengths above 255 hide two of their bits, turned over, in the type.
    length |= ((kind & 0x30) ^ 0x30) << 4
    return Cell(Wire.STRING, prefix=1 if length < 256 else 2, first=length)


class Layouts(dict[bytes, tuple[tuple[tuple[int, int], ...], int]]):
    """Say for each pattern of nulls how to walk over a row: steps of (bytes to the next length, its width), then the bytes that remain."""

    def __init__(self, columns: Sequence[Cell]) -> None:
        super().__init__()
        self._columns = columns
        self.nulls_bytes = (len(columns) + 7) // 8

    def __missing__(self, nulls: bytes) -> tuple[tuple[tuple[int, int], ...], int]:
        steps: list[tuple[int, int]] = []
        skip = self.nulls_bytes
        for index, cell in enumerate(self._columns):
            if nulls[index >> 3] >> (index & 7) & 1:
                continue
            if cell.prefix:
                steps.append((skip, cell.prefix))
                skip = cell.prefix
            else:
                skip += cell.size
        if len(self) >= _PATTERNS:
            self.clear()
        self[nulls] = (tuple(steps), skip)
        return self[nulls]


def walk(rows: bytes, ends: Sequence[int], layouts: Layouts) -> tuple[Offsets, Offsets]:
    """Find where each row image begins; gives the starts, and how many images lie before each of `ends` (of events).

    Raises:
        UnknownLayout: If the images of an event do not end where it does.
    """
    starts: list[int] = []
    counts: list[int] = []
    add, width, at = starts.append, layouts.nulls_bytes, 0
    for end in ends:
        while at < end:
            add(at)
            steps, rest = layouts[rows[at : at + width]]
            for skip, prefix in steps:
                at += skip
                if prefix == 1:
                    at += rows[at]
                elif prefix == 2:
                    at += rows[at] | rows[at + 1] << 8
                else:
                    at += int.from_bytes(rows[at : at + prefix], "little")
            at += rest
        if at != end:
            raise UnknownLayout("a row that does not end where its event does")
        counts.append(len(starts))
    return np.array(starts, np.int64), np.array(counts, np.int64)


class Buffer:
    """Hold encoded rows as bytes, and as the word of 8 bytes that begins at each of them; they end with `PADDING` bytes more."""

    __slots__ = ("bytes", "rows", "words")

    def __init__(self, rows: bytes) -> None:
        self.rows = rows
        self.bytes: Bytes = np.frombuffer(rows, np.uint8)
        self.words: npt.NDArray[np.uint64] = np.ndarray((len(rows) - 7,), "<u8", rows, strides=(1,))


class Images:
    """Hold row images, and find the cells of each column among them."""

    def __init__(self, buffer: Buffer, starts: Offsets, columns: Sequence[Cell]) -> None:
        self.buffer = buffer
        self._columns = columns
        self._starts = starts
        self._cells: list[Cells] = []

    def __len__(self) -> int:
        return len(self._starts)

    def column(self, index: int) -> Cells:
        """Give the cells of a column."""
        if not self._cells:
            self._find()
        return self._cells[index]

    def _find(self) -> None:
        at = self._starts + (len(self._columns) + 7) // 8
        for index, cell in enumerate(self._columns):
            null = (self.buffer.bytes[self._starts + (index >> 3)] >> (index & 7) & 1).astype(bool)
            length: Offsets | int = cell.size
            if cell.prefix:
                length = (self.buffer.words[at] & np.uint64((1 << 8 * cell.prefix) - 1)).astype(np.int64)
                at = at + np.where(null, 0, cell.prefix)
            end = at + np.where(null, 0, length)
            self._cells.append(Cells(self.buffer, at, end, null))
            at = end

    def take(self, chosen: Truths) -> Images:
        """Give some of the images."""
        return Images(self.buffer, self._starts[chosen], self._columns)


@dataclass(frozen=True, slots=True)
class Cells:
    """Say where the cells of one column begin and end, and which are null; a null one begins and ends at the same place."""

    buffer: Buffer
    begin: Offsets
    end: Offsets
    null: Truths

    def __len__(self) -> int:
        return len(self.begin)

    def differ(self, left: Offsets, right: Offsets) -> Truths:
        """Tell for each pair of cells whether their bytes differ."""
        length = self.end - self.begin
        found: Truths = length[left] != length[right]
        for skip in range(0, int(length[left].max(initial=0)), 8):
            rest = np.clip(length[left] - skip, 0, 8)
            # A word is cut to what belongs to the cell; one shift by 64 would do nothing, so it takes two.
            shift = (np.uint64(4) * (8 - rest).astype(np.uint64)).astype(np.uint64)
            words = (
                self.buffer.words[self.begin[left] + np.where(rest, skip, 0)]
                ^ self.buffer.words[self.begin[right] + np.where(rest, skip, 0)]
            )
            found |= ((words << shift) << shift) != 0
        return found

    def little(self, size: int) -> npt.NDArray[np.uint64]:
        """Read each cell as a little-endian number of up to 8 bytes."""
        words = self.buffer.words[self.begin]
        return words if size == 8 else words & np.uint64((1 << 8 * size) - 1)

    def big(self, size: int, skip: int = 0) -> npt.NDArray[np.uint64]:
        """Read each cell as a big-endian number of up to 8 bytes, which begins after `skip` bytes."""
        return self.buffer.words[self.begin + skip].byteswap() >> np.uint64(64 - 8 * size)

    def signed(self, size: int) -> npt.NDArray[np.int64]:
        """Read each cell as a little-endian number of up to 8 bytes in two's complement."""
        shift = np.int64(64 - 8 * size)
        return (self.buffer.words[self.begin].view(np.int64) << shift) >> shift

    def binary(self) -> pa.BinaryArray:
        """Give the bytes of each cell."""
        edges = np.empty(2 * len(self) + 1, np.int32)
        edges[0:-1:2], edges[1::2] = self.begin, self.end
        edges[-1] = self.end[-1] if len(self) else 0
        # Between the cells of this column lie gaps; as an array the buffer is cell, gap, cell, gap ...
        pieces = pa.Array.from_buffers(pa.binary(), 2 * len(self), [None, pa.py_buffer(edges.data), pa.py_buffer(self.buffer.rows)])
        return cast("pa.BinaryArray", taken(pieces, np.arange(0, 2 * len(self), 2), self.null))


def taken(values: Array, places: Offsets, null: Truths | None = None) -> Array:
    """Give the values at `places`."""
    indices: Any = pa.array(places, mask=null)
    return values.take(indices)
