"""Read the rows of a text-protocol result set straight from the socket into blocks of bytes with an index over them.

No Python object is made per cell: a block says where each row starts, and each column is a vector of places and lengths.

Source: MySQL Internals, "Protocol::Packet", "ProtocolText::Resultset", "Protocol::LengthEncodedInteger".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ctypes import CDLL
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from limnos.sources.mysql import native
from limnos.sources.mysql.address import Connection
from limnos.sources.mysql.driver import pymysql

Places: TypeAlias = NDArray[np.int64]

BLOCK_BYTES = 2 * 1024 * 1024
MARGIN = 8
_LENGTH = struct.Struct("<I")
_HEADER, _WHOLE = 4, 0xFFFFFF
_BEYOND = 2**62
_NULL, _TWO, _THREE, _EIGHT, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF


@dataclass(frozen=True, slots=True)
class Block:
    """Hold rows of a result: `data`, with `MARGIN` bytes before and after them, and where each row begins and ends.

    It holds only until the next block is asked for.
    """

    data: NDArray[np.uint8]
    rows: Places
    ends: Places

    def cells(self, places: Places) -> tuple[Places, Places, NDArray[np.bool_] | None]:
        """Give where the cells at `places` begin, how long they say to be, and which are null (None for none)."""
        first = self.data[places]
        if not len(first) or first.max() < _NULL:
            return places + 1, first.astype(np.int64), None
        lengths, head = first.astype(np.int64), np.ones(len(first), np.int64)
        for mark, width in ((_TWO, 2), (_THREE, 3), (_EIGHT, 8)):
            for row in np.flatnonzero(first == mark):
                at = int(places[row]) + 1
                lengths[row] = min(int.from_bytes(self.data[at : at + width].tobytes(), "little"), _BEYOND)
                head[row] = 1 + width
        null = first == _NULL
        lengths[null] = 0
        lengths[first == _ERROR] = _BEYOND
        return places + head, lengths, null if null.any() else None


class Rows:
    """Run one SELECT and give its rows block by block; the connection can be used again once they are drained."""

    def __init__(self, connection: Connection, sql: str, library: CDLL | None) -> None:
        driver = cast("Any", connection)
        driver.query(sql, unbuffered=True)
        # The driver has no public way to the bytes of a row; it has read as far as the last description of a column, and maybe further.
        driver._result.unbuffered_active = False  # noqa: SLF001
        driver._result.connection = None  # noqa: SLF001
        self._ahead: BufferedReader = driver._rfile  # noqa: SLF001
        self._walk = partial(native.walk, library) if library else walk
        self.drained = False

    def __iter__(self) -> Iterator[Block]:
        """Give the blocks.

        Raises:
            pymysql.MySQLError: If the server ends the result with an error, or the connection is lost.
        """
        tail = self._ahead.read(len(self._ahead.peek(1)))
        data, starts = np.empty(0, np.uint8), np.empty(0, np.int64)
        while not self.drained:
            size = max(BLOCK_BYTES, 2 * len(tail))
            if len(data) != size + 2 * MARGIN:
                data, starts = np.empty(size + 2 * MARGIN, np.uint8), np.empty(size // _HEADER + 1, np.int64)
            view = memoryview(cast("Any", data))[MARGIN : MARGIN + size]
            view[: len(tail)] = tail
            count, filled = self._fill(data[MARGIN:-MARGIN], view, len(tail), starts)
            if count:
                yield from _blocks(data, starts[: count + 1] + MARGIN)
            tail = bytes(view[int(starts[count]) : filled])

    def _fill(self, data: NDArray[np.uint8], view: memoryview, filled: int, starts: Places) -> tuple[int, int]:
        """Read until the view is full or the result ends; gives how many rows are whole, and how much was read.

        `starts` tells where they begin, and where the last one ends.
        """
        count = end = 0
        while True:
            found, end = self._walk(data, filled, end, starts[count:])
            count += found
            starts[count] = end
            if count and _ends(view, int(starts[count - 1])):
                self.drained = True
                count -= 1
                _raise_error(view, int(starts[count]))
                break
            if filled == len(view):
                break
            try:
                received = self._ahead.raw.readinto(view[filled:])
            except OSError as error:
                raise _lost(str(error)) from error
            if not received:
                raise _lost("it closed the connection")
            filled += received
        return count, filled


def walk(data: NDArray[np.uint8], filled: int, at: int, starts: Places) -> tuple[int, int]:
    """Step from header to header over the packets that are whole; one that continues in the next stays for when both are there.

    Gives how many rows `starts` was told of, and where the last one ends.
    """
    found: list[int] = []
    view, unpack = memoryview(cast("Any", data)), _LENGTH.unpack_from
    first, limit = at, filled - _HEADER
    while at <= limit:
        length = unpack(view, at)[0] & _WHOLE
        end = at + _HEADER + length
        if end > filled:
            break
        if length < _WHOLE:
            found.append(first)
            first = end
        at = end
    starts[: len(found)] = found
    return len(found), first


def _ends(view: memoryview, start: int) -> bool:
    """Whether a packet is no row, but what comes after the last one, or an error."""
    length = _LENGTH.unpack_from(view, start)[0] & _WHOLE
    return bool(length) and (view[start + _HEADER] == _ERROR or (length < 9 and view[start + _HEADER] == _EIGHT))


def _raise_error(view: memoryview, start: int) -> None:
    length = _LENGTH.unpack_from(view, start)[0] & _WHOLE
    if view[start + _HEADER] == _ERROR:
        pymysql.err.raise_mysql_exception(bytes(view[start + _HEADER : start + _HEADER + length]))


def _blocks(data: NDArray[np.uint8], places: Places) -> Iterator[Block]:
    """Give the rows that begin at `places`, but for its last one, where the last row ends."""
    begins, ends = places[:-1], places[1:]
    whole = (data[begins] == 0xFF) & (data[begins + 1] == 0xFF) & (data[begins + 2] == 0xFF)
    start = 0
    for row in np.flatnonzero(whole).tolist():
        if row > start:
            yield Block(data, begins[start:row] + _HEADER, ends[start:row])
        yield _joined(data, int(begins[row]))
        start = row + 1
    if start < len(begins):
        yield Block(data, begins[start:] + _HEADER, ends[start:])


def _joined(data: NDArray[np.uint8], at: int) -> Block:
    """Put the packets of one row of 16 MB or more together."""
    parts, length = [np.zeros(MARGIN, np.uint8)], _WHOLE
    while length == _WHOLE:
        length = _LENGTH.unpack_from(cast("Any", data), at)[0] & _WHOLE
        parts.append(data[at + _HEADER : at + _HEADER + length])
        at += _HEADER + length
    joined = np.concatenate([*parts, parts[0]])
    return Block(joined, np.array([MARGIN], np.int64), np.array([len(joined) - MARGIN], np.int64))


def _lost(why: str) -> pymysql.MySQLError:
    return pymysql.OperationalError(2013, f"Lost connection to the server while it sent rows ({why})")
