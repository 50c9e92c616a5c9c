"""Receive what PostgreSQL sends for COPY, many rows at once.

The driver hands over one row a call, which costs more than decoding it. So the connection's socket is read into one large buffer, and the
messages in it are told apart there; a connection that is encrypted is read through the driver, into the same buffer.

Source: PostgreSQL documentation, "Message Formats" and "COPY", "Binary Format".
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import socket
from collections.abc import Generator, Iterator
from contextlib import suppress
from struct import Struct
from typing import Any, Protocol

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import errors, pq

from limnos.sources.postgres import native
from limnos.sources.postgres.cells import Rows
from limnos.sources.postgres.refusals import garbled

_MESSAGE, _HEAD = Struct(">ci"), Struct(">Bi")
_LENGTH, _FORMAT = Struct(">i"), Struct(">bh")
_ROW, _READY, _ERROR = ord("d"), ord("Z"), ord("E")
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
# Where "H" says how many columns there are.
_COLUMNS = slice(6, 8)
_BUFFER_BYTES = 2 * 1024 * 1024
# Of what arrives, so that a reader is not woken for each packet.
_AT_ONCE_BYTES = 256 * 1024
_WALKS, _FEW_WALKS, _STRIDE_BYTES = 320, 8, 4096
# A value is taken out together with the bytes behind it.
PADDING_BYTES = 128


class _Line(Protocol):
    def ask(self, sql: str) -> None: ...

    def receive(self, into: bytearray, filled: int, most: int) -> int: ...


class Wire:
    """Read the rows of COPY statements over a connection that does nothing else from then on.

    Args:
        connection: In a transaction, with nothing under way.
        library: Compiled code that tells the messages apart, if there is some.
    """

    def __init__(self, connection: psycopg.Connection[Any], library: ctypes.CDLL | None = None) -> None:
        self._library = library
        # The driver's own must not be collected while its socket is in use.
        self._connection = connection
        self._socket = socket.socket(fileno=os.dup(connection.pgconn.socket))
        self._line: _Line = _Socket(self._socket, library) if _plain(connection) else _Driver(connection)
        self._buffer = bytearray(_BUFFER_BYTES + PADDING_BYTES)
        self._filled = 0
        self._row: re.Pattern[bytes] | None = None

    def stop(self) -> None:
        """Cut the connection, from any thread: who waits for rows gets an error."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up."""
        self._socket.close()
        self._connection.close()

    def copy(self, select: str) -> Generator[Rows]:
        """Give the rows of a SELECT, in binary.

        Raises:
            psycopg.Error: If the server refuses, or is gone.
        """
        self._row = None
        self._line.ask(f"COPY ({select}) TO STDOUT (FORMAT binary)")
        ready = False
        while not ready:
            self._receive()
            rows, at, ready = self._messages()
            if len(rows.starts):
                yield rows
            rest = self._filled - at
            self._buffer[:rest] = self._buffer[at : self._filled]
            self._filled = rest

    def _receive(self) -> None:
        """Fill the buffer, or up to what ends the answer; make it larger for a message that does not fit."""
        if self._filled >= len(self._buffer) - PADDING_BYTES:
            self._buffer = self._buffer + bytes(len(self._buffer) - PADDING_BYTES)
        most = len(self._buffer) - PADDING_BYTES
        while self._filled < most:
            reached = self._line.receive(self._buffer, self._filled, most)
            if reached == self._filled:
                self._messages()  # The server's last word may be why.
                raise errors.ConnectionFailure("server closed the connection unexpectedly")
            self._filled = reached
            if self._buffer.startswith(b"Z\0\0\0\5", self._filled - 6):
                return

    def _messages(self) -> tuple[Rows, int, bool]:
        """Tell the messages apart: the rows, where the first incomplete message begins, and whether the answer is over."""
        if self._buffer.startswith(b"H"):
            self._row = row_of(bytes(self._buffer[_COLUMNS]))
        if self._library:
            places, at = native.messages(self._library, self._buffer, self._filled)
        else:
            places, at = walk(self._buffer, self._filled, self._row)
        kinds = np.frombuffer(self._buffer, np.uint8)[places]
        ready = False
        for place in places[kinds != _ROW].tolist():
            kind, length = _HEAD.unpack_from(self._buffer, place)
            if kind == _ERROR:
                raise _refusal(bytes(self._buffer[place + _HEAD.size : place + 1 + length]))
            ready = kind == _READY
        rows = kinds == _ROW
        return _rows(self._buffer, places[rows] + _HEAD.size, np.append(places[1:], at)[rows]), at, ready


def row_of(columns: bytes) -> re.Pattern[bytes]:
    """Say how a message with a row of so many columns, written as it is sent, most likely begins."""
    return re.compile(rb"d\0[\0-\x3f]..%b" % re.escape(columns), re.DOTALL)


def walk(buffer: bytearray, filled: int, row: re.Pattern[bytes] | None) -> tuple[NDArray[np.int64], int]:
    """Give the places of the complete messages, and of the first incomplete one.

    A message tells where the next one begins, and nothing else does. So many walks go on at once, each from a place that looks like a row;
    what counts is where the first one came, and the next one as long as each came to the very place where the next had begun.
    """
    stride = max(filled // _WALKS, _STRIDE_BYTES)
    found = [row.search(buffer, place, filled) for place in range(stride, filled, stride)] if row else []
    begins = np.unique(np.array([0, *(match.start() for match in found if match)], np.int64))
    if len(begins) < _FEW_WALKS:
        return _one_by_one(buffer, filled, 0)
    limits = np.append(begins[1:], filled)
    steps = _steps(buffer, begins, limits)
    ends = steps[-1]
    arrived = ends[:-1] == limits[:-1]
    proven = len(begins) if arrived.all() else int(np.argmin(arrived)) + 1
    walks = np.stack(steps, 1)[:proven]
    rest, end = _one_by_one(buffer, filled, int(ends[proven - 1]))
    return np.concatenate([walks[walks < ends[:proven, np.newaxis]], rest]), end


def _steps(buffer: bytearray, begins: NDArray[np.int64], limits: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Give where all walks stand after each step; one stays where its message is none, or would go beyond its limit."""
    lengths: NDArray[np.int32] = np.ndarray((len(buffer) - _HEAD.size + 1,), ">i4", buffer, 1, (1,))
    steps = [begins]
    while True:
        at = steps[-1]
        length = lengths[at]
        after = at + 1 + length
        moving = (length >= _LENGTH.size) & (after <= limits)
        if not moving.any():
            return steps
        steps.append(np.where(moving, after, at))


def _one_by_one(buffer: bytearray, filled: int, at: int) -> tuple[NDArray[np.int64], int]:
    places: list[int] = []
    while at + _HEAD.size <= filled:
        (length,) = _LENGTH.unpack_from(buffer, at + 1)
        if length < _LENGTH.size:
            raise garbled()
        end = at + 1 + length
        if end > filled:
            break
        places.append(at)
        at = end
    return np.array(places, np.int64), at


def _rows(buffer: bytearray, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Rows:
    """Leave out the header, which stands before the first row, and the trailer."""
    if len(starts) and buffer.startswith(_SIGNATURE, int(starts[0])):
        (extension,) = _LENGTH.unpack_from(buffer, starts[0] + len(_SIGNATURE) + 4)
        (length,) = _LENGTH.unpack_from(buffer, starts[0] - 4)
        header = len(_SIGNATURE) + 8 + extension
        if extension < 0 or length - 4 < header:
            raise garbled()
        if length - 4 > header:
            starts[0] += header
        else:
            starts, ends = starts[1:], ends[1:]
    if len(starts) and buffer.startswith(b"\xff\xff", int(starts[-1])):
        starts, ends = starts[:-1], ends[:-1]
    return Rows(np.frombuffer(buffer, np.uint8), starts + 2, ends)


def _refusal(fields: bytes) -> psycopg.Error:
    said = {part[:1]: part[1:].decode("utf-8", "replace") for part in fields.split(b"\0") if part}
    state = said.get(b"C", "")
    text = f"{said.get(b'V', 'ERROR')}:  {said.get(b'M', '')}"
    try:
        return errors.lookup(state)(text)
    except KeyError:
        return psycopg.DatabaseError(text)


def _plain(connection: psycopg.Connection[Any]) -> bool:
    options = {option.keyword: option.val for option in connection.pgconn.info}
    return not connection.pgconn.ssl_in_use and options.get(b"gssencmode", b"disable") == b"disable"


class _Socket:
    """Speak over the connection's own socket."""

    def __init__(self, line: socket.socket, library: ctypes.CDLL | None) -> None:
        self._socket = line
        self._library = library
        self._socket.setblocking(True)
        if library:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _AT_ONCE_BYTES)

    def ask(self, sql: str) -> None:
        query = sql.encode() + b"\0"
        try:
            self._socket.sendall(_MESSAGE.pack(b"Q", len(query) + 4) + query)
        except OSError as error:
            raise errors.ConnectionFailure(str(error)) from error

    def receive(self, into: bytearray, filled: int, most: int) -> int:
        try:
            if self._library:
                return native.receive(self._library, self._socket.fileno(), into, filled, most)
            return filled + self._socket.recv_into(memoryview(into)[filled:most])
        except OSError as error:
            raise errors.ConnectionFailure(str(error)) from error


class _Driver:
    """Let the driver read, and write down again what it read."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pending = memoryview(b"")
        self._answer: Iterator[bytes] = iter(())

    def ask(self, sql: str) -> None:
        self._connection.pgconn.send_query(sql.encode())
        self._answer = self._messages()

    def receive(self, into: bytearray, filled: int, most: int) -> int:
        if not self._pending:
            self._pending = memoryview(next(self._answer, b""))
        taken = self._pending[: most - filled]
        memoryview(into)[filled : filled + len(taken)] = taken
        self._pending = self._pending[len(taken) :]
        return filled + len(taken)

    def _messages(self) -> Iterator[bytes]:
        connection = self._connection.pgconn
        while connection.flush():
            select.select([], [connection.socket], [])
        while connection.is_busy():
            self._wait()
        result = connection.get_result()
        if result is not None and result.status != pq.ExecStatus.COPY_OUT:
            raise errors.error_from_result(result)
        if result is not None:
            yield _MESSAGE.pack(b"H", 7) + _FORMAT.pack(1, result.nfields)
        while True:
            size, row = connection.get_copy_data(1)
            if size > 0:
                yield _MESSAGE.pack(b"d", size + 4) + bytes(row)
            elif size == 0:
                self._wait()
            else:
                break
        while (result := connection.get_result()) is not None:
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise errors.error_from_result(result)
        yield _MESSAGE.pack(b"Z", 5) + b"T"

    def _wait(self) -> None:
        select.select([self._connection.pgconn.socket], [], [])
        self._connection.pgconn.consume_input()
