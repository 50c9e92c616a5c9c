"""Divide a table into chunks by its primary key, and tell by the server's log which of them are as an earlier reading found them.

Source: Andreakis and Papapanagiotou, "DBLog: A Watermark Based Change-Data-Capture Framework" (2019), for chunks by key beside a log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from limnos.model.changes import OPERATION, Operation
from limnos.model.chunk import Chunk
from limnos.model.names import quoted
from limnos.model.position import Position
from limnos.sources.mysql.address import Connection, ask
from limnos.sources.mysql.binlog import ChangeStream, place
from limnos.sources.mysql.parts import KEY

CHUNK_BYTES = 128 * 1024 * 1024
"""About what the rows of a chunk take at the server, where the numbers of the key are spread evenly."""
_PARTS = 4
_MOST_CHUNKS = 128


@dataclass(frozen=True, slots=True)
class Division:
    """Divide a table at every multiple of `step` of a column of whole numbers, from its `least` to its `greatest`.

    Examples:
        >>> division = Division("k", -3, 9, 8)
        >>> list(division.starts), division.name(8), division.start_of(-1)
        ([-8, 0, 8], '8+8', -8)
        >>> division.selects("SELECT *", 8)[-1]
        'SELECT * WHERE "k" >= 14 AND "k" < 16'
    """

    column: str
    least: int
    greatest: int
    step: int

    @property
    def starts(self) -> range:
        """Where each chunk begins."""
        return range(self.start_of(self.least), self.greatest + 1, self.step)

    def start_of(self, key: int) -> int:
        """Say where the chunk of a key begins."""
        return key // self.step * self.step

    def name(self, start: int) -> str:
        """Name a chunk by where it is."""
        return f"{start}+{self.step}"

    def range(self, start: int) -> str:
        """Write the condition of a chunk."""
        return self._range(start, start + self.step)

    def selects(self, select: str, start: int) -> tuple[str, ...]:
        """Write the SELECTs that give each row of a chunk once between them."""
        part = self.step // _PARTS
        return tuple(f"{select}{self._range(low, low + part)}" for low in range(start, start + self.step, part))

    def _range(self, low: int, high: int) -> str:
        return f" WHERE {quoted(self.column)} >= {low} AND {quoted(self.column)} < {high}"


def divide(connection: Connection, run: Callable[[str], list[tuple[Any, ...]]], database: str, table: str) -> Division | None:
    """Divide a table by the first column of its primary key; None where that is no whole number, or the table is no larger than a chunk.

    The step is a power of two, so that a table that grows is mostly divided as it was before.
    """
    for name, size in ask(connection, KEY, database, table):
        if int(size) <= CHUNK_BYTES:
            continue
        ((least, greatest),) = run(f"SELECT min({quoted(name)}), max({quoted(name)}) FROM {quoted(database)}.{quoted(table)}")
        if least is not None:
            return division(str(name), int(least), int(greatest), int(size))
    return None


def division(column: str, least: int, greatest: int, size_bytes: int) -> Division | None:
    """Choose how far the numbers of a chunk reach.

    Examples:
        >>> division("k", 1, 4000, 3 * CHUNK_BYTES).step, division("k", 1, 4000, 300 * CHUNK_BYTES).step
        (1024, 32)
        >>> division("k", 5, 5, 3 * CHUNK_BYTES) is None
        True
    """
    numbers = greatest - least + 1
    step = _PARTS
    while 2 * step * size_bytes <= numbers * CHUNK_BYTES or step * _MOST_CHUNKS < numbers:
        step *= 2
    found = Division(column, least, greatest, step)
    return found if len(found.starts) > 1 else None


def untouched(
    stream: ChangeStream, table: str, divided: Division, now: Mapping[str, Chunk], remembered: Sequence[Chunk]
) -> Collection[Chunk]:
    """Give the remembered chunks that have as many rows now, and of whose keys the log tells nothing since the first was read.

    The content of a chunk is the place in the log of the snapshot that it was read from. Where the log has more bytes since than the chunks
    have, it is not read.
    """
    asked = [chunk for chunk in remembered if chunk.name in now and chunk.rows == now[chunk.name].rows]
    if not asked:
        return ()
    since = min((json.loads(chunk.content) for chunk in asked), key=lambda said: place.at(said["file"], said["pos"]))
    if stream.size_bytes(since["file"], since["pos"]) > len(asked) * CHUNK_BYTES:
        return ()
    touched: set[str] = set()
    for changes in stream.changes({table: Position(place.KIND, since)}):
        if changes.rows is None or Operation.TRUNCATE in pc.unique(changes.rows[OPERATION]).to_pylist():
            return ()
        keys: list[Any] = pc.unique(changes.rows[divided.column]).to_pylist()
        touched |= {divided.name(divided.start_of(int(key))) for key in keys}
    return [chunk for chunk in asked if chunk.name not in touched]
