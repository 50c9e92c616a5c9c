"""Streams over the few connections that see one point in time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from limnos.errors import SourceRefused
from limnos.sources.mysql.address import Address, Connection, ask
from limnos.sources.mysql.cells import batch
from limnos.sources.mysql.columns import SourceColumn
from limnos.sources.mysql.driver import pymysql
from limnos.sources.mysql.snapshot import Snapshot, joined
from limnos.sources.mysql.wire import Rows
from limnos.sources.protect import Pace


@dataclass(frozen=True, slots=True)
class Result:
    """Describe the rows of a SELECT: the schema that is announced, and what the catalog says of each column."""

    sql: str
    schema: pa.Schema
    columns: Sequence[SourceColumn]


class Lanes:
    """Lend out the connections of a snapshot; where none is left, the oldest stream is written to disk to free its own."""

    def __init__(self, address: Address, snapshot: Snapshot, pace: Pace) -> None:
        self._address = address
        self._idle = list(snapshot.connections)
        self._busy: list[Stream] = []
        self.log: Mapping[str, object] | None = snapshot.log
        self.pace = pace

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement at the point in time of the snapshot."""
        connection = self.take()
        try:
            return ask(connection, sql)
        finally:
            self._idle.append(connection)

    def take(self) -> Connection:
        """Give a connection that nobody reads from."""
        if not self._idle:
            if more := joined(self._address, self.log):
                return more
            self._busy[0].spool()
        return self._idle.pop()

    def started(self, stream: Stream) -> None:
        """Remember who reads."""
        self._busy.append(stream)

    def ended(self, stream: Stream, connection: Connection) -> None:
        """Take a connection back; a result that is not drained makes it useless."""
        self._busy.remove(stream)
        self._idle.append(connection)

    def close(self) -> None:
        """Close all connections, also those in use."""
        for connection in [*self._idle, *(stream.connection for stream in self._busy if stream.connection)]:
            with suppress(pymysql.MySQLError, OSError):
                connection.close()


class Stream:
    """Give the rows of one SELECT, batch by batch; it begins with the first one."""

    def __init__(self, lanes: Lanes, address: Address, table: str, result: Result) -> None:
        self._lanes, self._address, self._table, self._result = lanes, address, table, result
        self.connection: Connection | None = None
        self._live: Iterator[pa.RecordBatch] | None = None
        self._kept: Iterator[pa.RecordBatch] = iter(())
        self._drained = True

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Give the batches; the whole stream can be read once."""
        with self._address.refusals(self._table):
            self.connection = self._lanes.take()
            self._lanes.started(self)
            self._live = self._paced(self.connection)
        while (rows := self._next()) is not None:
            yield rows
        yield from self._kept

    def spool(self) -> None:
        """Write what is still to come to disk, and give the connection back."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as its reader
        lengths: list[int] = []
        while (rows := self._next()) is not None:
            # Each batch has a schema of its own.
            start = file.tell()
            with pa.ipc.new_stream(pa.PythonFile(file, mode="w"), rows.schema) as writer:
                writer.write_batch(rows)
            lengths.append(file.tell() - start)
        self._kept = _spooled(file, lengths)

    def _next(self) -> pa.RecordBatch | None:
        if self._live is None:
            return None
        rows: pa.RecordBatch | None = None
        try:
            with self._address.refusals(self._table):
                rows = next(self._live, None)
        finally:
            if rows is None:
                self._end()
        return rows

    def _end(self) -> None:
        self._live = None
        if self.connection is not None:
            if not self._drained:
                self.connection.close()
            self._lanes.ended(self, self.connection)
            self.connection = None

    def _paced(self, connection: Connection) -> Iterator[pa.RecordBatch]:
        with self._lanes.pace.lane():
            for rows in self._batches(connection):
                self._lanes.pace.take(rows.num_rows)
                yield rows

    def _batches(self, connection: Connection) -> Iterator[pa.RecordBatch]:
        rows = Rows(connection, self._result.sql)
        kinds = tuple(column.type for column in self._result.columns)
        self._drained = False
        for block in rows:
            try:
                yield batch(block, self._result.schema, kinds)
            except pa.ArrowInvalid as error:
                raise SourceRefused(
                    f'The server of "{self._address.name}" sent a value that is not one of its type',
                    subject=f"{self._address.name}.{self._table}",
                    seen=self._address.clean(str(error)),
                    expected="text in UTF-8, numbers and days as the type of the column has them",
                    hint="read it through a view that casts the column: CAST(column AS BINARY)",
                ) from None
        self._drained = rows.drained


def _spooled(file: IO[bytes], lengths: Sequence[int]) -> Iterator[pa.RecordBatch]:
    with file:
        file.seek(0)
        for length in lengths:
            yield pa.ipc.open_stream(file.read(length)).read_next_batch()
