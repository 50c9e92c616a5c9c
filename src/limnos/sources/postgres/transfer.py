"""Divide a table into chunks, and chunks into parts that can be read at once.

Source: PostgreSQL documentation, "System Columns" (ctid), release notes of version 14 (scans of ranges of ctid).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from limnos.sources.postgres import catalog

CHUNK_BLOCKS = 16_384
"""The blocks of a chunk of a table that has not very many."""
AHEAD_BLOCKS = 1024
"""The same, of a table that is read ahead: what has changed since costs its chunk again, while a snapshot is held."""
_CTID_RANGES = 140_000
_PART_BLOCKS = 4096
_MOST_CHUNKS = 128
_BLOCKS = """
SELECT coalesce(max(pg_relation_size(c.oid)), 0) / current_setting('block_size')::int8
FROM pg_class c WHERE c.oid = %s OR c.oid IN (SELECT relid FROM pg_partition_tree(%s))
"""


@dataclass(frozen=True, slots=True)
class Division:
    """Divide a table at every multiple of `step` blocks below `blocks`; the last chunk has no end, for the table may have grown."""

    blocks: int = 0
    step: int = CHUNK_BLOCKS

    @property
    def starts(self) -> range:
        """The first block of each chunk; none where the table is not divided."""
        return range(0, self.blocks, self.step)

    def name(self, start: int) -> str:
        """Name a chunk by where it is."""
        return f"{start}+{self.step}"

    def ranges(self) -> Mapping[int, str]:
        """Write the condition of each chunk, by its first block; an undivided table is one without a condition."""
        if len(self.starts) < 2:
            return {0: "TRUE"}
        return {start: between(start, self._end(start)) for start in self.starts}

    def selects(self, select: str, start: int) -> tuple[str, ...]:
        """Write the SELECTs that give each row of a chunk once between them."""
        lows = range(start, min(start + self.step, self.blocks), _PART_BLOCKS)
        highs = [*lows[1:], self._end(start)]
        return tuple(f"{select} WHERE {between(low, high)}" for low, high in zip(lows, highs, strict=True))

    def _end(self, start: int) -> int | None:
        return start + self.step if start + self.step < self.blocks else None


def divide(connection: psycopg.Connection[Any], table: catalog.Table, step: int) -> Division:
    """Divide a table; one whose rows have no place, or where ranges of places have no scan, is not divided.

    The step is a power of two times the one given, so that a table that grows is mostly divided as it was before.
    """
    if not table.versioned or connection.info.server_version < _CTID_RANGES:
        return Division()
    ((blocks,),) = catalog.ask(connection, _BLOCKS, table.oid, table.oid)
    while step * _MOST_CHUNKS < blocks:
        step *= 2
    return Division(int(blocks), step)


def between(low: int, high: int | None) -> str:
    """Write the condition of the rows in some blocks; without `high`, of all from `low` on."""
    return f"ctid >= '({low},0)'" + (f" AND ctid < '({high},0)'" if high is not None else "")
