"""Divide a table into ranges of its primary key that can be read at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from limnos.model.names import quoted
from limnos.sources.mysql.address import Connection, ask

_PART_BYTES = 32 * 1024 * 1024
KEY = """
SELECT keyed.column_name, coalesce(sized.data_length, 0)
FROM information_schema.statistics AS keyed
JOIN information_schema.columns AS typed USING (table_schema, table_name, column_name)
JOIN information_schema.tables AS sized USING (table_schema, table_name)
WHERE table_schema = %s AND table_name = %s AND keyed.index_name = 'PRIMARY' AND keyed.seq_in_index = 1
    AND typed.data_type IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint')
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold the bounds of ranges of a column that is never null; the first and the last range have no end.

    Examples:
        >>> Parts('"k"', (4, 7)).ranges
        (' WHERE "k" < 4', ' WHERE "k" >= 4 AND "k" < 7', ' WHERE "k" >= 7')
        >>> Parts('"k"', (4, 7)).halves
        (' WHERE "k" < 7', ' WHERE "k" >= 7')
        >>> Parts().ranges, Parts().halves
        (('',), ('',))
    """

    name: str = ""
    bounds: tuple[int, ...] = ()

    @property
    def ranges(self) -> tuple[str, ...]:
        """Conditions of which each row meets one."""
        if not self.bounds:
            return ("",)
        between = (f" WHERE {self.name} >= {low} AND {self.name} < {high}" for low, high in pairwise(self.bounds))
        return (f" WHERE {self.name} < {self.bounds[0]}", *between, f" WHERE {self.name} >= {self.bounds[-1]}")

    @property
    def halves(self) -> tuple[str, ...]:
        """The same for two parts of about one size."""
        return Parts(self.name, self.bounds[len(self.bounds) // 2 :][:1]).ranges if len(self.bounds) > 1 else self.ranges


def parts(connection: Connection, run: Callable[[str], list[tuple[Any, ...]]], database: str, table: str) -> Parts:
    """Divide a table by the first column of its primary key, where that is a whole number; its size is the server's guess."""
    for name, size in ask(connection, KEY, database, table):
        if int(size) < 2 * _PART_BYTES:
            continue
        ((least, greatest),) = run(f"SELECT min({quoted(name)}), max({quoted(name)}) FROM {quoted(database)}.{quoted(table)}")
        if least is not None:
            return Parts(quoted(name), bounds(int(least), int(greatest), int(size) // _PART_BYTES))
    return Parts()


def bounds(least: int, greatest: int, wanted: int) -> tuple[int, ...]:
    """Cut a range of numbers into `wanted` parts, or as many as it has numbers.

    Examples:
        >>> bounds(1, 10, 3)
        (4, 7)
        >>> bounds(5, 5, 3), bounds(1, 10, 1), bounds(-1, 0, 3)
        ((), (), (0,))
    """
    return tuple(sorted({least + (greatest - least + 1) * part // wanted for part in range(1, wanted)} - {least}))
