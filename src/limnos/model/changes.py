"""Changes of a source's tables on their way into the lake."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Operation(StrEnum):
    """Name what happened to a row; a truncation happened to all rows and bears no values."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"


SEQUENCE, OPERATION, COMMITTED_AT, KEPT = "_seq", "_op", "_at", "_kept"
_FIELDS: dict[str, pa.DataType] = {
    SEQUENCE: pa.int64(),
    OPERATION: pa.string(),
    COMMITTED_AT: pa.timestamp("us", tz="UTC"),
    KEPT: pa.list_(pa.string()),
}
ENVELOPE = pa.schema(_FIELDS)
"""The columns that stand before the source's own: order over all tables of one reading, `Operation`, commit time at the source, and the
columns whose value was not sent because it stayed as it was (null there; the list itself is null where there are none)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Hand over consecutive changes of one table, all of one shape, in the order in which the source committed them.

    `rows` has the columns of `ENVELOPE`, then the source's own, raw as in `Extract`. `identity` names the columns that tell rows apart:
    the key, or all of them for a table without one. A delete bears its identity and may bear nothing else. An update that
    moves a row to another identity comes as a delete and an insert, next to each other, and never with kept columns.

    `reload` is set instead of `rows` where the stream cannot tell what happened: the position is gone from the source's log, or a
    statement reshaped the table. It says why, in words for a person; the table is then read anew.
    """

    table: str
    rows: pa.RecordBatch | None = None
    identity: tuple[str, ...] = ()
    reload: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Choose the rows of an incremental reading: those whose `cursor` is null or at least `since` less `lookback`; all without `since`.

    `since` is the greatest cursor value of the last reading, in the source's own text. `lookback` is a duration such as `2d` for a
    cursor of dates or instants, a whole number for a cursor of numbers, empty for none.
    """

    cursor: str
    since: str = ""
    lookback: str = ""
