"""Column types: written as Iceberg writes them, carried as Arrow types.

Source: Apache Iceberg table specification, version 2, "Schemas and Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa

from limnos.errors import ProjectInvalid

_SPELLINGS: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "string": pa.string(),
    "binary": pa.binary(),
    "uuid": pa.uuid(),
}
_ALIASES = {
    "bool": "boolean",
    "tinyint": "int",
    "smallint": "int",
    "int2": "int",
    "int4": "int",
    "integer": "int",
    "int8": "long",
    "bigint": "long",
    "real": "float",
    "float4": "float",
    "float8": "double",
    "double precision": "double",
    "text": "string",
    "varchar": "string",
    "char": "string",
    "character varying": "string",
    "bytea": "binary",
    "blob": "binary",
    "datetime": "timestamp",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}
_SQL = {
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "string": "VARCHAR",
    "binary": "BLOB",
    "uuid": "UUID",
}
_DECIMAL = re.compile(r"(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_SIZED = re.compile(r"(?:varchar|char|character varying)\s*\(\s*\d+\s*\)")


def _unknown(text: str) -> ProjectInvalid:
    return ProjectInvalid(
        f"{text!r} is not a type",
        subject=text,
        seen=text,
        expected=", ".join([*_SPELLINGS, "decimal(p,s)", "list<type>", "map<string,type>", "struct<name:type,...>"]),
        hint="limnos explain types",
    )


def parse_type(text: str) -> pa.DataType:
    """Read a type as Iceberg or SQL spells it.

    Raises:
        ProjectInvalid: If no type is spelled so, or a decimal has more than 38 digits.

    Examples:
        >>> parse_type("decimal(12,2)")
        Decimal128Type(decimal128(12, 2))
        >>> parse_type("list<string>")
        ListType(list<element: string>)
    """
    spelled = " ".join(text.strip().lower().split())
    if found := _SPELLINGS.get(_ALIASES.get(spelled, spelled)):
        return found
    if _SIZED.fullmatch(spelled):
        return pa.string()
    if decimal := _DECIMAL.fullmatch(spelled):
        precision, scale = int(decimal[1]), int(decimal[2] or 0)
        if not 1 <= precision <= 38 or scale > precision:
            raise _unknown(text)
        return pa.decimal128(precision, scale)
    return _parse_nested(text.strip())


def _parse_nested(text: str) -> pa.DataType:
    outer, bracket, inner = text.partition("<")
    if not bracket or not inner.endswith(">"):
        raise _unknown(text)
    parts = list(_split(inner[:-1]))
    match outer.strip().lower(), parts:
        case "list", [element]:
            return pa.list_(pa.field("element", parse_type(element)))
        case "map", [key, value]:
            return pa.map_(parse_type(key), parse_type(value))
        case "struct", fields if fields:
            named = [field.partition(":") for field in fields]
            if any(not colon or not name.strip() for name, colon, _ in named):
                raise _unknown(text)
            return pa.struct([pa.field(name.strip(), parse_type(kind)) for name, _, kind in named])
        case _:
            raise _unknown(text)


def _split(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for at, char in enumerate(text):
        if char in "<(":
            depth += 1
        elif char in ">)":
            depth -= 1
        elif char == "," and depth == 0:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def type_name(kind: pa.DataType) -> str:
    """Spell an Arrow type as Iceberg does; unsigned and narrow integers take the next type that holds them.

    Raises:
        ProjectInvalid: If Iceberg v2 has no type for it.

    Examples:
        >>> type_name(pa.decimal128(12, 2)), type_name(pa.uint32()), type_name(pa.large_string())
        ('decimal(12,2)', 'long', 'string')
    """
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{type_name(kind.key_type)},{type_name(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ",".join(f"{field.name}:{type_name(field.type)}" for field in kind) + ">"
    if pa.types.is_dictionary(kind):
        return type_name(kind.value_type)
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    for spelled, arrow in _SPELLINGS.items():
        if kind == arrow:
            return spelled
    if name := _WIDENED.get(str(kind)):
        return name
    raise _unknown(str(kind))


_WIDENED = {
    "int8": "int",
    "int16": "int",
    "uint8": "int",
    "uint16": "int",
    "uint32": "long",
    "uint64": "decimal(20,0)",
    "halffloat": "float",
    "date64[ms]": "date",
    "time32[s]": "time",
    "time32[ms]": "time",
    "time64[ns]": "time",
    "large_string": "string",
    "string_view": "string",
    "large_binary": "binary",
    "binary_view": "binary",
    "extension<arrow.uuid>": "uuid",
    "extension<arrow.json>": "string",
    "null": "string",
}


def canonical(kind: pa.DataType) -> pa.DataType:
    """Turn any Arrow type into the one that Limnos carries for it, so that equal types compare equal.

    Examples:
        >>> canonical(pa.timestamp("ns", tz="Europe/Paris"))
        TimestampType(timestamp[us, tz=UTC])
    """
    return parse_type(type_name(kind))


def sql_type(kind: pa.DataType) -> str:
    """Spell an Arrow type as the embedded engine's SQL does.

    Examples:
        >>> sql_type(pa.int64()), sql_type(pa.list_(pa.string()))
        ('BIGINT', 'VARCHAR[]')
    """
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return sql_type(kind.value_type) + "[]"
    if pa.types.is_map(kind):
        return f"MAP({sql_type(kind.key_type)}, {sql_type(kind.item_type)})"
    if pa.types.is_struct(kind):
        members = ", ".join('"' + field.name.replace('"', '""') + '" ' + sql_type(field.type) for field in kind)
        return f"STRUCT({members})"
    name = type_name(kind)
    return _SQL.get(name) or name.upper()


def widens(old: pa.DataType, new: pa.DataType) -> bool:
    """Tell whether Iceberg can read files of the old type as the new one.

    Source: Apache Iceberg table specification, version 2, "Schema Evolution".

    Examples:
        >>> widens(pa.int32(), pa.int64()), widens(pa.int64(), pa.int32())
        (True, False)
    """
    match type_name(old), type_name(new):
        case ("int", "long") | ("float", "double"):
            return True
        case _:
            return pa.types.is_decimal(old) and pa.types.is_decimal(new) and old.scale == new.scale and new.precision > old.precision
