"""Read the rows of a text-protocol result set straight from the socket into blocks of bytes with an index over them.

No Python object is made per cell: a block says where each row starts, and each column is a vector of places and lengths.

Source: MySQL Internals, "Protocol::Packet", "ProtocolText::Resultset", "Protocol::LengthEncodedInteger".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from limnos.sources.mysql.address import Connection
from limnos.sources.mysql.driver import pymysql

Places: TypeAlias = NDArray[np.int64]

BLOCK_BYTES = 4 * 1024 * 1024
MARGIN = 8
_LENGTH = struct.Struct("<I")
_HEADER, _WHOLE = 4, 0xFFFFFF
_NULL, _TWO, _THREE, _EIGHT, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF


@dataclass(frozen=True, slots=True)
class Block:
    """Hold rows of a result: `data`, with `MARGIN` bytes before and after them, and where the first cell of each row begins."""

    data: NDArray[np.uint8]
    rows: Places

    def cells(self, places: Places) -> tuple[Places, Places, NDArray[np.bool_] | None]:
        """Give where the cells at `places` begin, how long they are, and which are null (None for none)."""
        first = self.data[places]
        if not len(first) or first.max() < _NULL:
            return places + 1, first.astype(np.int64), None
        lengths, head = first.astype(np.int64), np.ones(len(first), np.int64)
        for mark, width in ((_TWO, 2), (_THREE, 3), (_EIGHT, 8)):
            for row in np.flatnonzero(first == mark):
                at = int(places[row]) + 1
                lengths[row] = int.from_bytes(self.data[at : at + width].tobytes(), "little")
                head[row] = 1 + width
        null = first == _NULL
        lengths[null] = 0
        return places + head, lengths, null if null.any() else None


class Rows:
    """Run one SELECT and give its rows block by block; the connection can be used again once they are drained."""

    def __init__(self, connection: Connection, sql: str) -> None:
        driver = cast("Any", connection)
        driver.query(sql, unbuffered=True)
        # The driver has no public way to the bytes of a row; it has read as far as the last description of a column, and maybe further.
        driver._result.unbuffered_active = False  # noqa: SLF001
        driver._result.connection = None  # noqa: SLF001
        self._ahead: BufferedReader = driver._rfile  # noqa: SLF001
        self.drained = False

    def __iter__(self) -> Iterator[Block]:
        """Give the blocks.

        Raises:
            pymysql.MySQLError: If the server ends the result with an error, or the connection is lost.
        """
        tail = self._ahead.read(len(self._ahead.peek(1)))
        while not self.drained:
            size = max(BLOCK_BYTES, 2 * len(tail))
            data = np.empty(size + 2 * MARGIN, np.uint8)
            view = memoryview(cast("Any", data))[MARGIN : MARGIN + size]
            view[: len(tail)] = tail
            starts, end, filled = self._fill(view, len(tail))
            if starts:
                yield from _blocks(data, starts)
            tail = bytes(view[end:filled])

    def _fill(self, view: memoryview, filled: int) -> tuple[list[int], int, int]:
        """Read until the view is full or the result ends; gives the packets that are whole, where they end, and how much was read."""
        starts: list[int] = []
        end = 0
        while True:
            end = _walk(view, end, filled, starts)
            if starts and _ends(view, starts[-1]):
                self.drained = True
                _raise_error(view, starts.pop())
                break
            if filled == len(view):
                break
            try:
                count = self._ahead.raw.readinto(view[filled:])
            except OSError as error:
                raise _lost(str(error)) from error
            if not count:
                raise _lost("it closed the connection")
            filled += count
        return starts, end, filled


def _walk(view: memoryview, at: int, filled: int, starts: list[int]) -> int:
    """Step from header to header over the packets that are whole; one that continues in the next stays for when both are there."""
    append, unpack = starts.append, _LENGTH.unpack_from
    first, limit = at, filled - _HEADER
    while at <= limit:
        length = unpack(view, at)[0] & _WHOLE
        end = at + _HEADER + length
        if end > filled:
            break
        if length < _WHOLE:
            append(first)
            first = end
        at = end
    return first


def _ends(view: memoryview, start: int) -> bool:
    """Whether a packet is no row, but what comes after the last one, or an error."""
    length = _LENGTH.unpack_from(view, start)[0] & _WHOLE
    return bool(length) and (view[start + _HEADER] == _ERROR or (length < 9 and view[start + _HEADER] == _EIGHT))


def _raise_error(view: memoryview, start: int) -> None:
    length = _LENGTH.unpack_from(view, start)[0] & _WHOLE
    if view[start + _HEADER] == _ERROR:
        pymysql.err.raise_mysql_exception(bytes(view[start + _HEADER : start + _HEADER + length]))


def _blocks(data: NDArray[np.uint8], starts: list[int]) -> Iterator[Block]:
    places = np.array(starts, np.int64) + MARGIN
    whole = (data[places] == 0xFF) & (data[places + 1] == 0xFF) & (data[places + 2] == 0xFF)
    if not whole.any():
        yield Block(data, places + _HEADER)
        return
    start = 0
    for row in np.flatnonzero(whole):
        if row > start:
            yield Block(data, places[start:row] + _HEADER)
        yield _joined(data, int(places[row]))
        start = int(row) + 1
    if start < len(places):
        yield Block(data, places[start:] + _HEADER)


def _joined(data: NDArray[np.uint8], at: int) -> Block:
    """Put the packets of one row of 16 MB or more together."""
    parts, length = [np.zeros(MARGIN, np.uint8)], _WHOLE
    while length == _WHOLE:
        length = _LENGTH.unpack_from(cast("Any", data), at)[0] & _WHOLE
        parts.append(data[at + _HEADER : at + _HEADER + length])
        at += _HEADER + length
    return Block(np.concatenate([*parts, parts[0]]), np.array([MARGIN], np.int64))


def _lost(why: str) -> pymysql.MySQLError:
    return pymysql.OperationalError(2013, f"Lost connection to the server while it sent rows ({why})")
