"""Values that a rule declares, read and written by a column's type, and compared as the embedded engine compares."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import pyarrow as pa

from limnos.model.names import literal, quoted
from limnos.model.types import sql_type, type_name

Value: TypeAlias = Any
"""A value of a column, as Python has it."""


def typed(value: object, kind: pa.DataType) -> Value:
    """Read a declared value as a value of the column's type.

    Raises:
        ValueError: If it has no exact value of that type; the message says what would have.

    Examples:
        >>> typed("2013-01-01", pa.date32()), typed(1, pa.decimal128(4, 2))
        (datetime.date(2013, 1, 1), Decimal('1'))
    """
    name = type_name(kind)
    reader = _decimal(kind.precision, kind.scale) if pa.types.is_decimal(kind) else _READERS.get(name)
    if reader is None:
        raise ValueError(f"a column of another type than {name}")
    try:
        return reader(value)
    except (TypeError, ValueError, InvalidOperation, OverflowError) as error:
        raise ValueError(f"a value of type {name}") from error


def sql_value(value: Value, kind: pa.DataType) -> str:
    """Write a value that `typed` read as an SQL literal of the column's type.

    Examples:
        >>> sql_value(date(2013, 1, 1), pa.date32()), sql_value(True, pa.bool_())
        ("CAST('2013-01-01' AS DATE)", "CAST('True' AS BOOLEAN)")
    """
    text = value.isoformat() if isinstance(value, date | time) else str(value)
    # A float column is compared as the double that was written: rounding the bound to float would move it.
    return f"CAST({literal(text)} AS {'DOUBLE' if pa.types.is_float32(kind) else sql_type(kind)})"


def among(column: str, values: Sequence[Value], kind: pa.DataType) -> str:
    """Write the SQL condition that a column is one of some values.

    Examples:
        >>> print(among("a", [1, 2], pa.int64()))
        "a" IN (CAST('1' AS BIGINT), CAST('2' AS BIGINT))
    """
    return f"{quoted(column)} IN ({', '.join(sql_value(value, kind) for value in values)})"


def shown(values: Sequence[Value]) -> str:
    """Say a list of values in words, the first ten of them.

    Examples:
        >>> shown(range(12))
        '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    more = f" and {len(values) - 10} more" if len(values) > 10 else ""
    return ", ".join(str(value) for value in values[:10]) + more


def comparable(value: Value) -> Value:
    """Give a value that compares in Python as the engine compares: NaN equals NaN and is greater than every number.

    Examples:
        >>> comparable(float("nan")) == comparable(float("nan")), comparable(1e308) < comparable(float("nan"))
        (True, True)
    """
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    if isinstance(value, list):
        return tuple(comparable(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, comparable(item)) for key, item in value.items())
    return value


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = Decimal(str(value)) if not isinstance(value, bool) else None
        if number is None or number != number.to_integral_value() or not low <= number <= high:
            raise ValueError
        return int(number)

    return read


def _decimal(precision: int, scale: int) -> Callable[[object], Decimal]:
    def read(value: object) -> Decimal:
        number = Decimal(str(value))
        if isinstance(value, bool) or not number.is_finite():
            raise ValueError
        scaled = number.scaleb(scale)
        if scaled != scaled.to_integral_value() or abs(scaled) >= Decimal(10) ** precision:
            raise ValueError
        return number

    return read


def _floating(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise TypeError
    return float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _date(value: object) -> date:
    if isinstance(value, datetime):
        raise TypeError
    return value if isinstance(value, date) else date.fromisoformat(_string(value))


def _timestamp(value: object) -> datetime:
    read = _moment(value)
    if read.tzinfo is not None:
        raise ValueError
    return read


def _timestamptz(value: object) -> datetime:
    read = _moment(value)
    if read.tzinfo is None:
        raise ValueError
    return read.astimezone(UTC)


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time()) if isinstance(value, date) else datetime.fromisoformat(_string(value))


def _time(value: object) -> time:
    read = value if isinstance(value, time) else time.fromisoformat(_string(value))
    if read.tzinfo is not None:
        raise ValueError
    return read


_READERS: dict[str, Callable[[object], Any]] = {
    "boolean": _boolean,
    "int": _whole(-(2**31), 2**31 - 1),
    "long": _whole(-(2**63), 2**63 - 1),
    "float": _floating,
    "double": _floating,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "string": _string,
    "uuid": lambda value: uuid.UUID(_string(value)),
}
