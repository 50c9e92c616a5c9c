"""Streams over the few connections that see one point in time."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Full, Queue
from typing import IO, Any, cast

import pyarrow as pa

from limnos.errors import LimnosError, SourceRefused
from limnos.sources.mysql import native
from limnos.sources.mysql.address import Address, Connection, ask
from limnos.sources.mysql.cells import batch
from limnos.sources.mysql.columns import SourceColumn
from limnos.sources.mysql.driver import pymysql
from limnos.sources.mysql.snapshot import Snapshot, joined
from limnos.sources.mysql.wire import Block, Rows
from limnos.sources.protect import Pace

_WAIT_S = 0.1
_BATCHES_AHEAD = 2


@dataclass(slots=True)
class Tally:
    """Add up how many rows the server says that its SELECTs found; it says so after each of them, apart from the rows."""

    rows: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """Describe the rows of SELECTs: the schema that is announced, what the catalog says of each column, and who counts the rows."""

    selects: Sequence[str]
    schema: pa.Schema
    columns: Sequence[SourceColumn]
    tally: Tally | None = None


class Lanes:
    """Lend out the connections of a snapshot; where none is left, the oldest stream is written to disk to free its own."""

    def __init__(self, address: Address, snapshot: Snapshot, pace: Pace) -> None:
        self._address = address
        self._idle = list(snapshot.connections)
        self._busy: list[Stream] = []
        self.log: Mapping[str, object] | None = snapshot.log
        self.pace = pace

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements at the point in time of the snapshot, at once where connections are idle; gives the rows of all, in order."""
        connections = self.take(len(statements))
        try:
            if len(connections) < len(statements):
                return [row for statement in statements for row in ask(connections[0], statement)]
            with ThreadPoolExecutor(len(statements)) as pool:
                return [row for rows in pool.map(ask, connections, statements) for row in rows]
        finally:
            self._idle += connections

    def take(self, wanted: int = 1) -> list[Connection]:
        """Give at least one and at most `wanted` connections that nobody reads from."""
        if not self._idle:
            if more := joined(self._address, self.log):
                return [more]
            if not self._busy:
                raise pymysql.OperationalError(2013, "The connections that saw this point in time are lost")
            self._busy[0].spool()
        taken, self._idle = self._idle[:wanted], self._idle[wanted:]
        return taken

    def started(self, stream: Stream) -> None:
        """Remember who reads."""
        self._busy.append(stream)

    def ended(self, stream: Stream, connections: Sequence[Connection]) -> None:
        """Take connections back."""
        self._busy.remove(stream)
        self._idle += connections

    def close(self) -> None:
        """End all streams, and close all connections."""
        for stream in list(self._busy):
            stream.close()
        for connection in self._idle:
            with suppress(pymysql.MySQLError, OSError):
                connection.close()


class Stream:
    """Give the rows of a result, batch by batch and in no order; it begins with the first one.

    Each of its connections takes the next SELECT that nobody reads, on a thread of its own.
    """

    def __init__(self, lanes: Lanes, address: Address, table: str, result: Result) -> None:
        self._lanes, self._address, self._table, self._result = lanes, address, table, result
        self._library = native.compiled().library
        self._kinds = tuple(column.type for column in result.columns)
        self._selects = iter(result.selects)
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._reading: set[Connection] = set()
        self._live = self._gathered()
        self._kept: Iterator[pa.RecordBatch] = iter(())

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Give the batches; the whole stream can be read once."""
        with closing(self):
            while (rows := self._next()) is not None:
                yield rows
            yield from self._kept

    def spool(self) -> None:
        """Write what is still to come to disk, and give the connections back."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as its reader
        lengths: list[int] = []
        while (rows := self._next()) is not None:
            # Each batch has a schema of its own.
            start = file.tell()
            with pa.ipc.new_stream(pa.PythonFile(file, mode="w"), rows.schema) as writer:
                writer.write_batch(rows)
            lengths.append(file.tell() - start)
        self._kept = _spooled(file, lengths)

    def close(self) -> None:
        """End the statements that still run; their connections can be used again."""
        self._live.close()

    def _next(self) -> pa.RecordBatch | None:
        with self._address.refusals(self._table):
            return next(self._live, None)

    def _gathered(self) -> Generator[pa.RecordBatch]:
        connections = self._lanes.take(min(self._lanes.pace.lanes, len(self._result.selects)))
        self._lanes.started(self)
        ready: Queue[pa.RecordBatch | BaseException | None] = Queue(_BATCHES_AHEAD * len(connections))
        threads = [threading.Thread(target=self._lane, args=(each, ready), name="limnos-mysql", daemon=True) for each in connections]
        try:
            for thread in threads:
                thread.start()
            running = len(threads)
            while running:
                got = ready.get()
                if isinstance(got, BaseException):
                    raise got
                if got is None:
                    running -= 1
                else:
                    yield got
        finally:
            self._stop(threads)
            self._lanes.ended(self, [each for each in connections if each.open])

    def _stop(self, threads: Sequence[threading.Thread]) -> None:
        with self._turn:
            self._stopped.set()
            stopped = list(self._reading)
            if stopped:
                self._kill(stopped)
        for thread in threads:
            thread.join()
        for connection in stopped:
            # A statement that had ended by itself leaves the word to end to the next one.
            with suppress(pymysql.MySQLError):
                ask(connection, "DO 0")

    def _kill(self, connections: Sequence[Connection]) -> None:
        try:
            with closing(self._address.connect()) as killer, self._address.refusals():
                for connection in connections:
                    ask(killer, f"KILL QUERY {cast('Any', connection).thread_id()}")
        except LimnosError:
            for connection in connections:
                cast("Any", connection)._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 nothing else wakes who waits for it

    def _lane(self, connection: Connection, ready: Queue[pa.RecordBatch | BaseException | None]) -> None:
        end: BaseException | None = None
        try:
            with self._lanes.pace.lane():
                self._address.allow(connection, self._lanes.pace.limit_s)
                while select := self._select(connection):
                    self._read(connection, select, ready)
        except BaseException as error:  # noqa: BLE001 it is raised where the batches are taken
            end = error
        self._hand(ready, end)

    def _select(self, connection: Connection) -> str | None:
        with self._turn:
            select = None if self._stopped.is_set() else next(self._selects, None)
            if select:
                self._reading.add(connection)
            return select

    def _read(self, connection: Connection, select: str, ready: Queue[pa.RecordBatch | BaseException | None]) -> None:
        rows: Rows | None = None
        try:
            rows = Rows(connection, select, self._library)
            for block in rows:
                if not self._stopped.is_set():
                    made = self._batch(block)
                    self._lanes.pace.take(made.num_rows)
                    self._hand(ready, made)
            self._tell(connection)
        finally:
            with self._turn:
                self._reading.discard(connection)
            if rows is not None and not rows.drained:
                connection.close()

    def _tell(self, connection: Connection) -> None:
        if self._result.tally is not None:
            ((found,),) = ask(connection, "SELECT FOUND_ROWS()")
            with self._turn:
                self._result.tally.rows += int(found)

    def _hand(self, ready: Queue[pa.RecordBatch | BaseException | None], made: pa.RecordBatch | BaseException | None) -> None:
        while not self._stopped.is_set():
            with suppress(Full):
                ready.put(made, timeout=_WAIT_S)
                return

    def _batch(self, block: Block) -> pa.RecordBatch:
        try:
            return batch(block, self._result.schema, self._kinds, self._library)
        except pa.ArrowInvalid as error:
            raise SourceRefused(
                f'The server of "{self._address.name}" sent a value that is not one of its type',
                subject=f"{self._address.name}.{self._table}",
                seen=self._address.clean(str(error)),
                expected="text in UTF-8, numbers and days as the type of the column has them",
                hint="read it through a view that casts the column: CAST(column AS BINARY)",
            ) from None


def _spooled(file: IO[bytes], lengths: Sequence[int]) -> Iterator[pa.RecordBatch]:
    with file:
        file.seek(0)
        for length in lengths:
            yield pa.ipc.open_stream(file.read(length)).read_next_batch()
