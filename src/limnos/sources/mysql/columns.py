"""Choose, per column, the SQL whose result arrives exactly, and the type that the column promises.

A result arrives as the server's own text. Where that text may hold what the promised type may not (zero dates), the column is announced
as text; a batch of it comes typed where all of its values are, and otherwise the conversion on the way in quarantines a row with its text.

Source: MySQL Reference Manual, "Data Types"; MariaDB Knowledge Base, "Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from limnos.model.names import quoted
from limnos.sources.conditions import Kind

_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'")
_INTEGERS: Mapping[str, tuple[pa.DataType, pa.DataType]] = {
    "tinyint": (pa.int32(), pa.int32()),
    "smallint": (pa.int32(), pa.int32()),
    "mediumint": (pa.int32(), pa.int32()),
    "int": (pa.int32(), pa.int64()),
    "bigint": (pa.int64(), pa.decimal128(20, 0)),
    "year": (pa.int32(), pa.int32()),
}
_TEMPORAL: Mapping[str, pa.DataType] = {
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_BINARY = frozenset(
    "binary varbinary tinyblob blob mediumblob longblob geometry point linestring polygon multipoint multilinestring multipolygon "
    "geometrycollection geomcollection vector".split()
)


class Order(StrEnum):
    """Say in which order the values of a column can be told: as numbers, as instants, or in none that a position can rely on."""

    NUMBER = "number"
    INSTANT = "instant"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """Describe a column as the catalog does; `kind` is its DATA_TYPE, `spelled` its COLUMN_TYPE, `fixed` a float with digits of its own."""

    name: str
    kind: str
    spelled: str
    precision: int
    scale: int
    fixed: bool
    required: bool
    description: str

    @property
    def type(self) -> pa.DataType:
        """What the column promises; `string` where no type of the lake holds every value."""
        if self.kind in _INTEGERS:
            return _INTEGERS[self.kind]["unsigned" in self.spelled]
        if self.kind == "decimal":
            return pa.decimal128(self.precision, self.scale) if self.precision <= 38 else pa.string()
        if self.kind == "bit":
            return pa.int64() if self.precision < 64 else pa.decimal128(20, 0)
        if self.kind in {"float", "double"}:
            return pa.float32() if self.kind == "float" else pa.float64()
        if self.kind == "uuid":
            return pa.uuid()
        return _TEMPORAL.get(self.kind) or (pa.binary() if self.kind in _BINARY else pa.string())

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of an enum, in order; none for another type."""
        return labels(self.spelled) if self.kind == "enum" else ()

    @property
    def order(self) -> Order:
        """How its values are ordered."""
        if self.kind in _TEMPORAL:
            return Order.INSTANT
        return Order.NUMBER if self.kind in {*_INTEGERS, "decimal", "double"} else Order.NONE

    @property
    def compared(self) -> Kind:
        """What its values are compared as in a constraint, but for text; a `timestamp` is compared in the time zone of its writer."""
        if self.kind in _INTEGERS and self.kind != "year":
            return Kind.INTEGER
        if self.kind == "decimal" and pa.types.is_decimal(self.type):
            return Kind.DECIMAL
        return {"float": Kind.FLOAT, "double": Kind.FLOAT, "date": Kind.DATE, "datetime": Kind.TIMESTAMP}.get(self.kind, Kind.OPAQUE)

    @property
    def announced(self) -> pa.DataType:
        """What its raw values come as at least: text where a value may not be in the calendar."""
        return pa.string() if self.kind in _TEMPORAL else self.type

    @property
    def carrier(self) -> str:
        """SQL whose result, as text, is the exact value."""
        name = quoted(self.name)
        if self.kind == "float" or (self.kind == "double" and self.fixed):
            # A float is written with six digits, but as a double with all; times one keeps the sign of zero.
            return f"{name} * 1e0"
        return f"CAST({name} AS UNSIGNED)" if self.kind == "bit" else name


def labels(spelled: str) -> tuple[str, ...]:
    """Read the labels out of a COLUMN_TYPE.

    Examples:
        >>> labels("enum('a','it''s')")
        ('a', "it's")
    """
    return tuple(each.replace("''", "'") for each in _LABEL.findall(spelled))
