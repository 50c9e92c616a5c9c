"""Choose, per column, how its values travel: as what the driver gives where that is exact, else as text.

A value that is not of the Python type that belongs to its column's type, such as an integer beyond 64 bits, turns the column into text;
the conversion on the way in accepts it or quarantines the row with that text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.sql import quoted_name

from limnos.errors import LimnosError
from limnos.model.types import parse_type, type_name

# These databases keep 32 bits under the name REAL; elsewhere it means 64.
_SINGLE = ("postgresql", "duckdb", "mssql")
# The driver cuts nanoseconds off, and gives the last day of the year 9999 for infinity.
_TEXT_TIMES = ("duckdb",)
_NATIVE: dict[str, type] = {
    "boolean": bool,
    "long": int,
    "float": float,
    "double": float,
    "decimal": Decimal,
    "date": date,
    "time": time,
    "timestamp": datetime,
    "timestamptz": datetime,
    "string": str,
    "binary": bytes,
}
_TIMES = ("date", "time", "timestamp", "timestamptz")
_LONGEST_EXPONENT = 100


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """Describe a column; `cast` ones come as the text that the database writes."""

    name: str
    type: pa.DataType
    cast: bool = False
    required: bool = False
    description: str = ""
    labels: tuple[str, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether its values are dates or times, of which drivers cannot hold all."""
        return type_name(self.type) in _TIMES

    def sql(self, dialect: sa.Dialect, *, cast: bool) -> sa.ColumnElement[Any]:
        """Select the column as the driver gives it, or as the database writes it."""
        column: sa.ColumnElement[Any] = sa.column(identifier(self.name, dialect))
        return sa.cast(column, sa.Text()) if cast else column


def identifier(name: str, dialect: sa.Dialect) -> quoted_name:
    """Have a name quoted always: not every dialect knows all words that its database reserves.

    Where names without quotes are upper case, SQLAlchemy gives them in lower case and has to choose by itself.
    """
    return quoted_name(name, None if dialect.requires_name_normalize else True)


class Misfit(Exception):
    """Tell that columns hold values that are none of their types; `by_database` where the driver could not even hand them out."""

    def __init__(self, *columns: str, by_database: bool = False) -> None:
        super().__init__(*columns)
        self.columns = columns
        self.by_database = by_database


def of_type(kind: types.TypeEngine[Any], dialect: str) -> tuple[pa.DataType, bool]:
    """Give the type that a column of this SQLAlchemy type promises, and whether it has to come as text.

    Examples:
        >>> of_type(sa.Numeric(12, 2), "mssql"), of_type(sa.Numeric(), "oracle"), of_type(sa.JSON(), "sqlite")
        ((Decimal128Type(decimal128(12, 2)), False), (DataType(string), True), (DataType(string), True))
    """
    found = _of_type(kind, dialect)
    if found is None:
        return pa.string(), True
    return found, (type_name(found) in _TIMES and dialect in _TEXT_TIMES) or type_name(found) == "uuid"


def _of_type(kind: types.TypeEngine[Any], dialect: str) -> pa.DataType | None:  # noqa: C901, PLR0911, PLR0912 one line a type
    match kind:
        case types.Boolean():
            return pa.bool_()
        case types.BigInteger() if getattr(kind, "unsigned", False):
            return pa.decimal128(20, 0)
        case types.Integer():
            return pa.int64()
        case types.REAL() if dialect in _SINGLE:
            return pa.float32()
        case types.Float():
            return pa.float64()
        case types.Numeric() if kind.precision and kind.precision <= 38 and 0 <= (kind.scale or 0) <= kind.precision:
            return pa.decimal128(kind.precision, kind.scale or 0)
        case types.DateTime():
            return parse_type("timestamptz" if kind.timezone or "OFFSET" in type(kind).__name__ else "timestamp")
        case types.Date():
            return pa.date32()
        case types.Time() if not kind.timezone:
            return pa.time64("us")
        case types.Uuid():
            return pa.uuid()
        case types.String():
            return pa.string()
        case types.LargeBinary():
            return pa.binary()
        case types.ARRAY() if kind.dimensions in (None, 1):
            item = _of_type(kind.item_type, dialect)
            return pa.list_(pa.field("element", item)) if item is not None and type_name(item) in _NATIVE else None
        case _:
            return None


def of_name(spelled: str) -> tuple[pa.DataType, bool]:
    """Give the type that a column promises whose type is known by its name alone, and whether it has to come as text.

    Examples:
        >>> of_name("UINTEGER"), of_name("DECIMAL(12,2)"), of_name("INTEGER[]")
        ((DataType(int64), False), (Decimal128Type(decimal128(12, 2)), False), (ListType(list<element: int64>), False))
    """
    name = _NAMES.get(spelled.upper(), spelled)
    if spelled.endswith("[]"):
        item, cast = of_name(spelled[:-2])
        return (pa.string(), True) if cast or pa.types.is_nested(item) else (pa.list_(pa.field("element", item)), False)
    try:
        found = parse_type(name)
    except LimnosError:
        return pa.string(), True
    if type_name(found) == "int":
        found = pa.int64()
    return found, type_name(found) in (*_TIMES, "uuid")


_NAMES = {
    **dict.fromkeys(("TINYINT", "UTINYINT", "USMALLINT", "UINTEGER"), "long"),
    **dict.fromkeys(("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "timestamp"),
    "UBIGINT": "decimal(20,0)",
    "HUGEINT": "decimal(38,0)",
}


def array(values: Sequence[object], kind: pa.DataType) -> pa.Array[Any]:
    """Turn the values of one batch into an array of exactly these values.

    Raises:
        Misfit: If a value is none of this type.
    """
    item = kind.value_type if isinstance(kind, pa.ListType) else None
    values = [bytes(value) if isinstance(value, bytearray | memoryview) else value for value in values]
    if item is None:
        _check(values, kind)
    else:
        lists = [value for value in values if value is not None]
        if not all(isinstance(value, list) for value in lists):
            raise Misfit
        _check([element for value in lists if isinstance(value, list) for element in value], item)
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise Misfit from error


def _check(values: Sequence[object], kind: pa.DataType) -> None:
    name = "decimal" if pa.types.is_decimal(kind) else type_name(kind)
    wanted = _NATIVE.get(name)
    if wanted is None or any(value is not None and type(value) is not wanted for value in values):
        raise Misfit
    if name in ("timestamp", "timestamptz", "time"):
        zoned = name == "timestamptz"
        if any((value.tzinfo is not None) != zoned for value in values if isinstance(value, datetime | time)):
            raise Misfit


def texts(values: Sequence[object]) -> pa.Array[Any]:
    """Write the values of one batch as text that reads back as the same values.

    Raises:
        Misfit: If a text is not Unicode.
    """
    try:
        return pa.array([None if value is None else text(value) for value in values], pa.string())
    except UnicodeEncodeError as error:
        raise Misfit from error


def text(value: object) -> str:
    r"""Write one value as text; lists and mappings become JSON.

    Examples:
        >>> text(b"\x00\xff"), text(Decimal("1E+3")), text([Decimal("0.10"), None]), text(True)
        ('\\x00ff', '1000', '["0.10", null]', 'true')
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes() | bytearray() | memoryview():
            return "\\x" + bytes(value).hex()
        case datetime():
            return value.isoformat(sep=" ")
        case Decimal() if value.is_finite() and abs(value.adjusted()) < _LONGEST_EXPONENT:
            return f"{value:f}"
        case float():
            return repr(value)
        case list() | tuple() | dict():
            return json.dumps(value, default=text, ensure_ascii=False)
        case _:
            return str(value)
