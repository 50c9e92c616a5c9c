"""Choose, per column, the SQL whose result arrives exactly, and the type that the column promises.

No driver carries every value: numerics lose their NaN, dates their infinity, nested arrays their shape. What may be lost travels as
PostgreSQL's own text, and the conversion on the way in accepts it or quarantines the row with that text.

Source: PostgreSQL documentation, "Data Types".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from limnos.model.names import quoted

_DAYS = "{column} NOT BETWEEN '0001-01-01' AND '9999-12-31'"
_MOMENTS = "{column} NOT BETWEEN '0001-01-01 00:00:00' AND '9999-12-31 23:59:59.999999'"
_INSTANTS = "{column} NOT BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Say what a type becomes; `odd` is true in SQL for a value that only text can carry."""

    type: pa.DataType
    cast: str = ""
    odd: str = ""


_TEXT = _Kind(pa.string(), "text")
_KINDS: Mapping[str, _Kind] = {
    "bool": _Kind(pa.bool_(), "bool"),
    "int2": _Kind(pa.int32(), "int4"),
    "int4": _Kind(pa.int32(), "int4"),
    "int8": _Kind(pa.int64(), "int8"),
    "oid": _Kind(pa.int64(), "int8"),
    "float4": _Kind(pa.float32(), "float4"),
    "float8": _Kind(pa.float64(), "float8"),
    "text": _TEXT,
    "varchar": _TEXT,
    # A cast to text would cut the blanks at the end.
    "bpchar": _Kind(pa.string(), "bpchar"),
    "bytea": _Kind(pa.binary(), "bytea"),
    "date": _Kind(pa.date32(), "date", _DAYS),
    "time": _Kind(pa.time64("us"), "time", "{column} = '24:00:00'"),
    "timestamp": _Kind(pa.timestamp("us"), "timestamp", _MOMENTS),
    "timestamptz": _Kind(pa.timestamp("us", tz="UTC"), "timestamptz", _INSTANTS),
    "uuid": _Kind(pa.uuid(), "uuid"),
}


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """Describe a column as the catalog does; `kind` is the name of its base type, empty for one that is not PostgreSQL's own."""

    name: str
    kind: str
    typmod: int
    required: bool
    description: str
    labels: tuple[str, ...]

    @property
    def type(self) -> pa.DataType:
        """What the column promises; `string` where no type of the lake holds every value."""
        if self.kind == "numeric" and self.typmod >= 4:
            precision, scale = (self.typmod - 4) >> 16, ((self.typmod - 4) & 0x7FF ^ 1024) - 1024
            return pa.decimal128(precision, scale) if precision <= 38 and 0 <= scale <= precision else pa.string()
        return _KINDS.get(self.kind, _TEXT).type

    @property
    def odd(self) -> str:
        """SQL that counts the values that only text can carry; empty if there cannot be any."""
        condition = _KINDS.get(self.kind, _TEXT).odd.format(column=quoted(self.name))
        return f"count(*) FILTER (WHERE {condition})" if condition else ""

    def carrier(self, *, odd: bool) -> tuple[str, pa.DataType]:
        """Give the SQL that selects the column and the Arrow type that arrives."""
        kind = _KINDS.get(self.kind, _TEXT)
        if odd or kind is _TEXT:
            return f"{quoted(self.name)}::text", pa.string()
        # The driver gives a domain as bytes; the cast to the base type is free.
        return f"{quoted(self.name)}::{kind.cast}", kind.type
