"""Choose, per column, how its values travel and the type that the column promises.

What the lake has a type for travels in PostgreSQL's binary form, everything else as PostgreSQL's own text.

Source: PostgreSQL documentation, "Data Types".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from limnos.model.names import quoted
from limnos.model.types import canonical
from limnos.sources.conditions import Kind

_MOST_DIGITS = 38
_TEXT = "text"
_OWN_TEXT = frozenset({"text", "varchar", "bpchar"})
_TYPES: Mapping[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int2": pa.int32(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "oid": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "uuid": pa.uuid(),
}
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("int2", "int4", "int8"), Kind.INTEGER),
    **dict.fromkeys(("float4", "float8"), Kind.FLOAT),
    **dict.fromkeys(("text", "varchar"), Kind.TEXT),
    "bpchar": Kind.BLANK,
    "bool": Kind.TRUTH,
    "date": Kind.DATE,
    "timestamp": Kind.TIMESTAMP,
    "timestamptz": Kind.TIMESTAMPTZ,
}
# Types with values that no type of the lake holds: NaN, infinity, years before 1 and after 9999, 24:00:00.
_WIDER = frozenset({"numeric", "date", "time", "timestamp", "timestamptz"})


@dataclass(frozen=True, slots=True)
class Carrier:
    """Say how a column travels: the SQL that selects it, the form of its values on the wire, and the Arrow type they become.

    Values of a wider form than the type may come as text instead, a batch at a time. `characters` is the n of a char(n), else 0.
    """

    name: str
    sql: str
    wire: str
    type: pa.DataType
    characters: int = 0

    @property
    def announced(self) -> pa.DataType:
        """The type that holds whatever comes."""
        return pa.string() if self.wire in _WIDER else self.type


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """Describe a column as the catalog does; `kind` is the name of its base type, empty for one that is not PostgreSQL's own.

    `number` tells it from the others of its table, also from those that were dropped, and stays when it is renamed.
    """

    name: str
    kind: str
    typmod: int
    required: bool
    description: str
    labels: tuple[str, ...]
    number: int = 0

    @property
    def type(self) -> pa.DataType:
        """What the column promises; `string` where no type of the lake holds every value."""
        if self.kind == "numeric" and self.typmod >= 4:
            precision, scale = (self.typmod - 4) >> 16, ((self.typmod - 4) & 0x7FF ^ 1024) - 1024
            return pa.decimal128(precision, scale) if precision <= _MOST_DIGITS and 0 <= scale <= precision else pa.string()
        return _TYPES.get(self.kind, pa.string())

    @property
    def compared(self) -> Kind | None:
        """What its values are compared as in a constraint; None where not even null can be told, as in a composite type."""
        if self.kind == "numeric":
            return Kind.DECIMAL if pa.types.is_decimal(self.type) else Kind.OPAQUE
        if not self.kind:
            return Kind.LABEL if self.labels else None
        return _KINDS.get(self.kind, Kind.OPAQUE)

    def carrier(self, target: pa.DataType | None) -> Carrier:
        """Choose how the column travels to become of type `target`; to become text, it travels as PostgreSQL writes it."""
        if pa.types.is_string(self.type) or (target is not None and pa.types.is_string(canonical(target))):
            # A cast to text would cut the blanks at the end of a char(n).
            sql = quoted(self.name) if self.kind in _OWN_TEXT else f"{quoted(self.name)}::text"
            characters = max(self.typmod - 4, 0) if self.kind == "bpchar" else 0
            return Carrier(self.name, sql, _TEXT, pa.string(), characters)
        return Carrier(self.name, quoted(self.name), self.kind, self.type)
