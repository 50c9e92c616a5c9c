"""Choose how the values of a SQLite column travel: SQLite's types belong to values, and a column's type is only a wish."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from limnos.errors import LimnosError
from limnos.model.names import quoted
from limnos.model.types import parse_type, type_name

_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*\d+\s*(?:,\s*\d+\s*)?\)")
_TIMES = {
    "DATE": "date",
    "TIME": "time",
    "DATETIME": "timestamp",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "TIMESTAMP WITHOUT TIME ZONE": "timestamp",
    "BOOL": "boolean",
    "BOOLEAN": "boolean",
    "UUID": "uuid",
}
# The storage class that carries a type natively; every other type is carried as text.
_NATIVE = {"int": "integer", "long": "integer", "float": "real", "double": "real", "string": "text", "binary": "blob"}
_ARROW: dict[str, pa.DataType] = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string(), "blob": pa.binary()}


def column_type(declared: str) -> pa.DataType:
    """Give the type that a declared SQLite type promises.

    Examples:
        >>> [str(column_type(text)) for text in ("VARCHAR(20)", "tinyint", "DECIMAL(12,2)", "DATETIME", "")]
        ['string', 'int64', 'decimal128(12, 2)', 'timestamp[us]', 'string']

    Source: "Datatypes In SQLite", section 3.1, "Determination Of Column Affinity".
    """
    spelled = " ".join(declared.upper().split())
    if spelled in _TIMES:
        return parse_type(_TIMES[spelled])
    if _DECIMAL.fullmatch(spelled):
        try:
            return parse_type(spelled)
        except LimnosError:
            return pa.string()
    for type_, parts in (
        (pa.int64(), ("INT",)),
        (pa.string(), ("CHAR", "CLOB", "TEXT")),
        (pa.binary(), ("BLOB",)),
        (pa.float64(), ("REAL", "FLOA", "DOUB")),
    ):
        if any(part in spelled for part in parts):
            return type_
    return pa.string()


@dataclass(frozen=True, slots=True)
class Carrier:
    """Say how one column travels: the SQL that selects it and the Arrow type of what arrives."""

    name: str
    select: str
    type: pa.DataType

    def array(self, values: Sequence[object]) -> pa.Array[Any]:
        """Turn the values of one batch into an array."""
        try:
            return pa.array(values, self.type)
        except pa.ArrowTypeError:  # numbers among text: an integer in digits, a real so that it reads back as the same number
            return pa.array([None if value is None else raw(value) for value in values], self.type)


def native(kind: pa.DataType) -> str:
    """Name the storage class that carries a type as it is; empty where only text will do."""
    return _NATIVE.get(type_name(kind), "")


def decodable(column: str) -> str:
    """Write the SQL that is true for a value that is not text, or text that can be decoded."""
    column = quoted(column)
    return f"(typeof({column}) <> 'text' OR limnos_is_text(CAST({column} AS BLOB)))"


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that this module's SQL, and `limnos_decoded`, stand for."""
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    connection.create_function("limnos_decoded", -1, _decoded)
    connection.create_function("limnos_is_text", 1, _is_text(encoding.decode()))
    connection.create_function("limnos_blob_text", 2, _blob_text)


def carrier(name: str, native: str, *, odd: bool) -> Carrier:
    """Choose the carrier of a column whose type asks for the storage class `native`; `odd` tells whether it holds another one."""
    column = quoted(name)
    if native and not odd:
        return Carrier(name, column, _ARROW[native])
    if native == "blob":
        return Carrier(name, f"limnos_blob_text(typeof({column}), CAST({column} AS BLOB))", pa.string())
    return Carrier(name, f"CASE typeof({column}) WHEN 'blob' THEN quote({column}) ELSE {column} END", pa.string())


def _decoded(*_: object) -> int:
    """Do nothing: to be called with a text at all, it must have been decoded from UTF-8."""
    return 1


def _is_text(encoding: str) -> Callable[[bytes], bool]:
    def is_text(value: bytes) -> bool:
        try:
            value.decode(encoding)
        except UnicodeDecodeError:
            return False
        return True

    return is_text


def _blob_text(kind: str, value: bytes | None) -> str | None:
    r"""Write a blob as `\xdead`, which reads back as a blob, and a value of another kind so that it does not."""
    if value is None:
        return None
    return f"\\x{value.hex()}" if kind == "blob" else f"\\{kind} {value.decode('utf-8', 'backslashreplace')}"


def raw(value: object) -> bytes:
    """Write a value as bytes: text and blobs as they are, numbers so that they read back as the same, null as nothing."""
    return value if isinstance(value, bytes) else b"" if value is None else repr(value).encode()
