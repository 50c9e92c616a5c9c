"""What the catalog must add to the log: names, signs, labels, character sets, the key, and which tables change without a word in the log.

Source: MySQL Reference Manual, "InnoDB and FOREIGN KEY Constraints"; MariaDB Knowledge Base, "Foreign Keys" (cascades are not logged).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from limnos.sources.mysql.address import Connection, ask
from limnos.sources.mysql.binlog.cells import Column
from limnos.sources.mysql.binlog.charsets import decoder
from limnos.sources.mysql.binlog.layout import Cell, Wire
from limnos.sources.mysql.columns import labels

_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""
_KEY = """
SELECT COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX
"""
_CASCADES = """
SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, r.DELETE_RULE, r.UPDATE_RULE,
c.ORDINAL_POSITION - 1
FROM information_schema.REFERENTIAL_CONSTRAINTS r JOIN information_schema.KEY_COLUMN_USAGE k
ON k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME AND k.TABLE_NAME = r.TABLE_NAME
JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = k.REFERENCED_TABLE_SCHEMA AND c.TABLE_NAME = k.REFERENCED_TABLE_NAME
AND c.COLUMN_NAME = k.REFERENCED_COLUMN_NAME
WHERE r.DELETE_RULE IN ('CASCADE', 'SET NULL') OR r.UPDATE_RULE IN ('CASCADE', 'SET NULL')
"""
_WIRES: Mapping[str, frozenset[Wire]] = {
    "tinyint": frozenset({Wire.TINY}),
    "smallint": frozenset({Wire.SHORT}),
    "mediumint": frozenset({Wire.INT24}),
    "int": frozenset({Wire.LONG}),
    "bigint": frozenset({Wire.LONGLONG}),
    "float": frozenset({Wire.FLOAT}),
    "double": frozenset({Wire.DOUBLE}),
    "decimal": frozenset({Wire.NEWDECIMAL}),
    "date": frozenset({Wire.DATE, Wire.NEWDATE}),
    "datetime": frozenset({Wire.DATETIME2}),
    "timestamp": frozenset({Wire.TIMESTAMP2}),
    "time": frozenset({Wire.TIME2}),
    "year": frozenset({Wire.YEAR}),
    "bit": frozenset({Wire.BIT}),
    "enum": frozenset({Wire.ENUM}),
    "set": frozenset({Wire.SET}),
    "char": frozenset({Wire.STRING}),
    "binary": frozenset({Wire.STRING}),
    "uuid": frozenset({Wire.STRING}),
    "inet4": frozenset({Wire.STRING}),
    "inet6": frozenset({Wire.STRING}),
    "varchar": frozenset({Wire.VARCHAR, Wire.VARCHAR_COMPRESSED}),
    "varbinary": frozenset({Wire.VARCHAR, Wire.VARCHAR_COMPRESSED}),
}
_CHANGING = frozenset({"CASCADE", "SET NULL"})
_ANY_BLOB = frozenset({Wire.BLOB, Wire.BLOB_COMPRESSED})
_GEOMETRY = frozenset("geometry point linestring polygon multipoint multilinestring multipolygon geometrycollection geomcollection".split())
_ADDRESSES = {"uuid": 16, "inet6": 16, "inet4": 4}


@dataclass(frozen=True, slots=True)
class Shape:
    """Describe a table: its columns in order, and those that tell its rows apart."""

    columns: tuple[Column, ...]
    kinds: tuple[str, ...]
    identity: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are handed over."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])

    def fits(self, cells: tuple[Cell, ...]) -> bool:
        """Tell whether rows that lie so in the log are of this table, as the catalog describes it."""
        return len(cells) == len(self.columns) and all(
            cell.wire in _WIRES.get(kind, frozenset({Wire.GEOMETRY}) if kind in _GEOMETRY else _ANY_BLOB)
            and (cell.wire != Wire.NEWDECIMAL or pa.types.is_string(column.type) or (cell.first, cell.second) == _digits(column.type))
            for cell, kind, column in zip(cells, self.kinds, self.columns, strict=True)
        )


def _digits(kind: Any) -> tuple[int, int]:  # noqa: ANN401 a type whose members pyarrow's stubs do not know
    return kind.precision, kind.scale


def shape(connection: Connection, database: str, table: str) -> Shape:
    """Ask the catalog."""
    found = ask(connection, _COLUMNS, database, table)
    columns = tuple(_column(connection, row) for row in found)
    key = tuple(str(name) for (name,) in ask(connection, _KEY, database, table))
    return Shape(columns, tuple(str(row[1]) for row in found), key or tuple(column.name for column in columns))


def _column(connection: Connection, row: tuple[Any, ...]) -> Column:
    name, kind, spelled, charset, octets, precision, scale = row
    unsigned = "unsigned" in spelled
    type_: pa.DataType = pa.string()
    match kind:
        case "tinyint" | "smallint" | "mediumint" | "year":
            type_ = pa.int32()
        case "int":
            type_ = pa.int64() if unsigned else pa.int32()
        case "bigint":
            type_ = pa.uint64() if unsigned else pa.int64()
        case "bit":
            type_ = pa.int64() if precision < 64 else pa.uint64()
        case "decimal" if precision <= 38:
            type_ = pa.decimal128(precision, scale)
        case "float":
            type_ = pa.float32()
        case "double":
            type_ = pa.float64()
        case _ if charset is None and (kind.endswith("blob") or kind in {"binary", "varbinary", *_GEOMETRY}):
            type_ = pa.binary()
        case _:
            pass
    if kind in _ADDRESSES:
        return Column(name, type_, decode=decoder(connection, kind), octets=_ADDRESSES[kind])
    return Column(
        name,
        type_,
        unsigned=unsigned,
        labels=labels(spelled) if kind in {"enum", "set"} else (),
        decode=decoder(connection, charset) if charset and kind not in {"enum", "set"} else None,
        octets=int(octets) if kind == "binary" else 0,
    )


@dataclass(frozen=True, slots=True)
class Cascade:
    """Say that rows of `table` change when rows of another go (`deletes`), or when its column number `column` changes (`updates`)."""

    table: str
    deletes: bool
    updates: bool
    column: int


def cascades(connection: Connection, database: str, tables: Iterable[str]) -> Mapping[tuple[str, str], tuple[Cascade, ...]]:
    """Find for each table whose deletes and updates change one of `tables` unseen what they change, over any number of steps."""
    links = ask(connection, _CASCADES)
    found: dict[tuple[str, str], list[Cascade]] = {}
    for table in tables:
        reached = {(database, table)}
        open_ = [(database, table)]
        while open_:
            child = open_.pop()
            for child_database, child_table, parent_database, parent_table, on_delete, on_update, column in links:
                parent = (parent_database, parent_table)
                if (child_database, child_table) != child:
                    continue
                found.setdefault(parent, []).append(Cascade(table, on_delete in _CHANGING, on_update in _CHANGING, int(column)))
                if parent not in reached:
                    reached.add(parent)
                    open_.append(parent)
    return {parent: tuple(each) for parent, each in found.items()}
