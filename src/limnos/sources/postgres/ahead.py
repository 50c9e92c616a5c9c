"""Read the chunks of a table ahead of the point in time that they are read for, part by part, each under a snapshot of its own.

A statement outside a transaction has a snapshot that ends with it. It sends the version of each row as well: their sum is the fingerprint
of the chunk as it was read, and a later snapshot under which the chunk has the same one sees the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray

from limnos.model.chunk import Chunk
from limnos.model.project import SourceConfig
from limnos.sources.postgres import catalog, health, native, transfer
from limnos.sources.postgres.columns import Carrier
from limnos.sources.postgres.decode import decode
from limnos.sources.postgres.form import Sending
from limnos.sources.postgres.refusals import Address, changed
from limnos.sources.postgres.wire import Wire
from limnos.sources.protect import Pace

_FIRST_BLOCKS, _MOST_BLOCKS = 128, 1024
_WORD_BITS = 32


class PostgresAhead:
    """Read a table in the form that a reading found; the reading need not be open any more.

    Args:
        address: Where the server is.
        config: The source.
        settings: The statements with which a connection begins.
        sending: How the table is sent.
        division: Its chunks.
        basis: Its form.
    """

    def __init__(
        self, address: Address, config: SourceConfig, settings: Sequence[str], sending: Sending, division: transfer.Division, basis: str
    ) -> None:
        self.schema = pa.schema([pa.field(carrier.name, carrier.announced) for carrier in sending.carriers])
        self.basis = basis
        self._address = address
        self._config = config
        self._settings = (*settings, "SET default_transaction_read_only = on")
        self._sending = sending
        self._version = Carrier("", sending.table.version, "int8", pa.int64())
        self._division = division
        self._starts = {division.name(start): start for start in division.starts}
        self._blocks = _FIRST_BLOCKS
        self._stack = ExitStack()
        self._pace = Pace(config.protect, self._stack.enter_context(closing(health.Probe(address))))
        self._stack.callback(self._pace.close)

    def count(self) -> Sequence[Chunk]:
        """Count each chunk and sum up its versions, as they are when its turn comes; a chunk without rows is none."""
        with self._address.refusals(self._sending.table.name):
            found = [self._counted(start, where) for start, where in self._division.ranges().items()]
        return [chunk for chunk in found if chunk.rows]

    def read(self, name: str) -> Generator[pa.RecordBatch, None, Chunk]:
        """Give the rows of a chunk, those of each part as they are when its turn comes; returns what they prove to be."""
        rows, total = 0, 0
        low, end = self._starts[name], self._starts[name] + self._division.step
        with self._address.refusals(self._sending.table.name):
            while low < min(end, self._division.blocks):
                high = min(low + self._blocks, end)
                for batch, versions in self._part(low, high if high < self._division.blocks else None):
                    rows, total = rows + batch.num_rows, total + versions
                    yield batch
                low = high
            if self._sending.basis(self._asking, self._address) != self.basis:
                raise changed(self._config.name, self._sending.table.name, "another form than when its reading began")
        return Chunk(name, rows, str(total))

    def close(self) -> None:
        """Close every connection."""
        self._stack.close()

    def _counted(self, start: int, where: str) -> Chunk:
        select = f"SELECT count(*), sum({self._sending.table.version})::text FROM {self._sending.relation} WHERE {where}"
        with self._pace.lane():
            ((rows, total),) = catalog.ask(self._asking, select)
            self._pace.scanned(rows)
        return Chunk(self._division.name(start), rows, total or "")

    def _part(self, low: int, high: int | None) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Give batches and the sums of their versions; the pauses are after the statement, where there is no snapshot."""
        library = native.compiled().library
        select = f"{self._sending.select(self._version)} WHERE {transfer.between(low, high)}"
        began, rows = time.monotonic(), 0
        with self._pace.lane():
            with closing(self._wire.copy(select)) as answers:
                for answer in answers:
                    batch = decode(answer, (*self._sending.carriers, self._version), library)
                    rows += batch.num_rows
                    yield batch.select(range(len(self.schema))), _sum(np.asarray(batch.columns[-1]))
            self._suit(time.monotonic() - began, rows)
            self._pace.take(rows)

    def _suit(self, took_s: float, rows: int) -> None:
        """Make the next part smaller or larger, to stay well below the age that a snapshot may reach, with pauses of about a second."""
        age_s, rate = self._config.protect.max_snapshot_age_s, self._config.protect.max_rows_per_s
        paused_s = rows / rate if rate else 0
        if took_s > age_s / 2 or paused_s > 1:
            self._blocks = max(1, self._blocks // 2)
        elif took_s < age_s / 8 and paused_s < 1 / 2:
            self._blocks = min(self._blocks * 2, _MOST_BLOCKS)

    @cached_property
    def _asking(self) -> psycopg.Connection[Any]:
        return self._connected()

    @cached_property
    def _wire(self) -> Wire:
        return self._stack.enter_context(closing(Wire(self._connected(), native.compiled().library)))

    def _connected(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._address.conninfo, autocommit=True, prepare_threshold=None)
        self._stack.enter_context(closing(connection))
        for setting in self._settings:
            catalog.ask(connection, setting)
        return connection


def _sum(versions: NDArray[np.int64]) -> int:
    """Add up 64-bit numbers exactly."""
    low = versions & ((1 << _WORD_BITS) - 1)
    return (int((versions >> _WORD_BITS).sum()) << _WORD_BITS) + int(low.sum())
