r"""Exact conversion of raw values to a contract's types, as SQL of the embedded engine.

A value either has an exact value of the target type, or the conversion fails and the row waits in quarantine with its original text:
nothing is rounded, cut, wrapped or guessed. What each type accepts is on the page `type`.

The engine's own casts are not exact (`'3.5'::BIGINT` is 4, `'1.239'::DECIMAL(12,2)` is 1.24, an offset in a `TIMESTAMP` is dropped), so
each one is checked: by the form of the text or, where that costs less and most texts pass, by writing the value back and comparing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from limnos.model.names import literal, quoted
from limnos.model.types import canonical, sql_type, type_name

_Kind: TypeAlias = Any  # a type whose members pyarrow's stubs do not know
_FIRST, _LAST = "0001-01-01", "9999-12-31"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_SECONDS = r":[0-5][0-9](\.[0-9]{1,6}0*)?"
_YEAR, _SAFE_YEAR = "[0-9]{4}", "[12][0-9]{3}"
_DAY = "-[0-9]{2}-[0-9]{2}[ T]"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)"
_POINT = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)"
_DOUBLE = _POINT + "([eE][+-]?[0-9]+)?"
_ZERO = r"[+-]?[0.]+([eE][+-]?[0-9]+)?"
_INTEGER = r"[+-]?[0-9]+(\.0*)?"
_HEXADECIMAL = r"\\x([0-9a-fA-F]{2})*"
_JSON_TEXT = r'"([^"\\]|\\.)*"'
_LONG_NUMBER = "[0-9][0-9.]{15}"
_NOT_FINITE = "(?i)nan|[+-]?inf(inity)?"
_BITS = {"int8": 7, "int16": 15, "int32": 31, "int64": 63, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}


@dataclass(frozen=True, slots=True)
class Conversion:
    """Convert one column: `value` is the SQL of the target type (null where it fails), `fails` is true, never null, where a
    non-null raw value has no exact value; it is `FALSE` where nothing can fail.
    """

    value: str
    fails: str

    @property
    def certain(self) -> bool:
        """Whether no value can fail."""
        return self.fails == "FALSE"


def convert(expression: str, raw: pa.DataType, target: pa.DataType) -> Conversion:
    """Write the exact conversion of the SQL `expression` from the raw type to the target type.

    Examples:
        >>> convert('"n"', pa.int32(), pa.int64())
        Conversion(value='CAST("n" AS BIGINT)', fails='FALSE')
        >>> convert('"n"', pa.int64(), pa.int64()).value
        '"n"'
    """
    if raw == target:
        return Conversion(expression, "FALSE")
    if _certain(raw, target):
        return Conversion(f"CAST({expression} AS {sql_type(target)})", "FALSE")
    if pa.types.is_string(canonical(target)):
        return Conversion(as_text(expression, raw), "FALSE")
    if back := _way_back(raw, target):
        value = _cast(expression, sql_type(target), raw, target)
        same = f"{_cast(value, back, raw, target)} = {expression}"
        return Conversion(f"CASE WHEN {same} THEN {value} END", f"({expression} IS NOT NULL AND ({same}) IS NOT TRUE)")
    return _of_text(as_text(expression, raw), target)


def as_text(expression: str, kind: pa.DataType) -> str:
    r"""Write a value as the text that `convert` reads back as the same value; nested ones become JSON.

    Examples:
        >>> as_text("x", pa.binary())
        "'\\x' || lower(hex(x))"
    """
    name = type_name(kind)
    if _nested(kind):
        return f"CAST({_as_json(expression, kind)} AS VARCHAR)"
    if name in {"double", "float"}:
        return f"CASE WHEN isnan({expression}) THEN 'NaN' ELSE CAST({expression} AS VARCHAR) END"
    if name == "binary":
        return f"'\\x' || lower(hex({expression}))"
    if name == "timestamptz":
        return f"CAST(timezone('UTC', {expression}) AS VARCHAR) || '+00:00'"
    return expression if pa.types.is_string(kind) else f"CAST({expression} AS VARCHAR)"


def _certain(raw: pa.DataType, target: pa.DataType) -> bool:
    """Tell whether every value of `raw` is one of `target`, and the engine's cast finds it."""
    if _finer(raw):
        return False
    if canonical(raw) == canonical(target) or pa.types.is_null(raw):
        return True
    digits = _BITS.get(str(raw))
    match type_name(target):
        case "int" | "long" as name:
            return digits is not None and digits <= (31 if name == "int" else 63)
        case "double":
            return str(raw) in {"float", "halffloat"} or (digits is not None and digits <= 53)
        case "float":
            return digits is not None and digits <= 24
        case _ if pa.types.is_decimal(target):
            return pa.types.is_decimal(raw) and raw.scale <= target.scale and raw.precision - raw.scale <= target.precision - target.scale
        case _:
            return False


def _finer(kind: pa.DataType) -> bool:
    return (pa.types.is_timestamp(kind) and kind.tz is None and kind.unit == "ns") or kind == pa.time64("ns")


def _way_back(raw: pa.DataType, target: pa.DataType) -> str:
    """Name the engine's type through which a cast value comes back to `raw`, where that proves it exact; empty where it does not."""
    if _finer(raw) and canonical(raw) == canonical(target):
        return "TIMESTAMP_NS" if pa.types.is_timestamp(raw) else "TIME_NS"
    return (_ENGINE_NUMBERS.get(str(raw)) or sql_type(raw)) if _number(raw) and _number(target) else ""


def _cast(expression: str, name: str, raw: pa.DataType, target: pa.DataType) -> str:
    # Between floats and decimals the engine computes with rounding errors, but it reads and writes texts right.
    mixed = pa.types.is_decimal(raw) != pa.types.is_decimal(target) and (pa.types.is_floating(raw) or pa.types.is_floating(target))
    return f"TRY_CAST({f'CAST({expression} AS VARCHAR)' if mixed else expression} AS {name})"


_ENGINE_NUMBERS = {
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
}


def _number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _nested(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind)


def _of_text(text: str, target: pa.DataType) -> Conversion:
    if _nested(target):
        return _of_json(text, target)
    cast = f"TRY_CAST({text} AS {sql_type(target)})"
    name = "decimal" if pa.types.is_decimal(target) else type_name(target)
    value = _READERS[name](text, cast, target)
    return Conversion(value, f"({text} IS NOT NULL AND ({value}) IS NULL)")


def _like(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"


def _whole(text: str, cast: str, _: pa.DataType) -> str:
    return f"CASE WHEN CAST({cast} AS VARCHAR) = {text} OR {_like(text, _INTEGER)} THEN {cast} END"


def _decimal(text: str, cast: str, target: _Kind) -> str:
    scale = int(target.scale)
    point = rf"|\.[0-9]{{1,{scale}}}0*" if scale else ""
    form = rf"[+-]?([0-9]+(\.[0-9]{{0,{scale}}}0*)?{point})"
    return f"CASE WHEN CAST({cast} AS VARCHAR) = {text} OR {_like(text, form)} THEN {cast} END"


def _floating(text: str, cast: str, target: pa.DataType) -> str:
    # So short a text without an exponent neither overflows nor comes out as zero.
    short = f"{_like(text, _POINT)} AND strlen({text}) < {38 if pa.types.is_float32(target) else 300}"
    sound = f"{_like(text, _DOUBLE)} AND isfinite({cast}) AND ({cast} <> 0 OR {_like(text, _ZERO)})"
    return f"CASE WHEN {short} THEN {cast} WHEN {sound} THEN {cast} WHEN {_like(text, _NOT_FINITE)} THEN {cast} END"


def _boolean(text: str, _cast: str, _: pa.DataType) -> str:
    return f"CASE WHEN lower({text}) IN ('true', 't', 'yes', '1') THEN TRUE WHEN lower({text}) IN ('false', 'f', 'no', '0') THEN FALSE END"


def _date(text: str, cast: str, _: pa.DataType) -> str:
    # Ten characters leave out the engine's texts for infinity, years before 1 and years after 9999.
    return f"CASE WHEN CAST({cast} AS VARCHAR) = {text} AND strlen({text}) = 10 THEN {cast} END"


def _time(text: str, cast: str, _: pa.DataType) -> str:
    known = f"CAST({cast} AS VARCHAR) = {text} OR {_like(text, f'{_CLOCK}({_SECONDS})?')}"
    return f"CASE WHEN ({known}) AND {cast} < TIME '24:00:00' THEN {cast} END"


def _timestamp(text: str, cast: str, _: pa.DataType) -> str:
    form = f"{_DAY}{_CLOCK}({_SECONDS})?"
    years = f"BETWEEN TIMESTAMP '{_FIRST} 00:00:00' AND TIMESTAMP '{_LAST} 23:59:59.999999'"
    return f"CASE WHEN {_like(text, _SAFE_YEAR + form)} THEN {cast} WHEN {_like(text, _YEAR + form)} AND {cast} {years} THEN {cast} END"


def _timestamptz(text: str, cast: str, _: pa.DataType) -> str:
    full, short = f"{_DAY}{_CLOCK}{_SECONDS}{_OFFSET}", f"{_DAY}{_CLOCK}{_OFFSET}"
    years = f"BETWEEN TIMESTAMPTZ '{_FIRST} 00:00:00+00' AND TIMESTAMPTZ '{_LAST} 23:59:59.999999+00'"
    # The engine wants seconds where an offset follows.
    padded = f"TRY_CAST(left({text}, 16) || ':00' || substr({text}, 17) AS TIMESTAMPTZ)"
    return (
        f"CASE WHEN {_like(text, _SAFE_YEAR + full)} THEN {cast} WHEN {_like(text, _YEAR + full)} AND {cast} {years} THEN {cast} "
        f"WHEN {_like(text, _YEAR + short)} AND {padded} {years} THEN {padded} END"
    )


def _uuid(text: str, cast: str, _: pa.DataType) -> str:
    return f"CASE WHEN CAST({cast} AS VARCHAR) = lower({text}) THEN {cast} END"


def _binary(text: str, _cast: str, _: pa.DataType) -> str:
    return f"CASE WHEN {_like(text, _HEXADECIMAL)} THEN TRY(unhex(substr({text}, 3))) END"


def _string(text: str, _cast: str, _: pa.DataType) -> str:
    return text


_READERS: dict[str, Callable[[str, str, pa.DataType], str]] = {
    "boolean": _boolean,
    "int": _whole,
    "long": _whole,
    "float": _floating,
    "double": _floating,
    "decimal": _decimal,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "uuid": _uuid,
    "binary": _binary,
    "string": _string,
}


def _bind(expression: str, depth: int, body: str) -> str:
    """Name an expression `j<depth>` within `body`, so that it is written and computed once."""
    return f"list_transform([{expression}], lambda j{depth}: {body})[1]"


def _as_json(expression: str, kind: _Kind, depth: int = 0) -> str:
    inner = f"j{depth}"
    if pa.types.is_struct(kind):
        members = ", ".join(f"{literal(each.name)}, {_as_json(f'{inner}.{quoted(each.name)}', each.type, depth + 1)}" for each in kind)
        return _bind(expression, depth, f"CASE WHEN {inner} IS NOT NULL THEN json_object({members}) END")
    if pa.types.is_map(kind):
        keys = f"list_transform(map_keys({expression}), lambda {inner}: {as_text(inner, kind.key_type)})"
        values = f"list_transform(map_values({expression}), lambda {inner}: {_as_json(inner, kind.item_type, depth + 1)})"
        return f"CASE WHEN {expression} IS NOT NULL THEN to_json(MAP({keys}, {values})) END"
    if _nested(kind):
        return f"to_json(list_transform({expression}, lambda {inner}: {_as_json(inner, kind.value_type, depth + 1)}))"
    plain = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return f"to_json({expression if plain else as_text(expression, kind)})"


def _of_json(text: str, target: pa.DataType) -> Conversion:
    inner = _of_element("j0", target, 1)
    parsed = f"TRY_CAST({text} AS JSON)"
    fails = f"j0 IS NULL OR {inner.fails}"
    if _holds_decimal(target):
        # The engine reads a JSON number with a point as a double; more than 15 digits would be rounded unseen.
        fails += f" OR regexp_matches(regexp_replace({text}, {literal(_JSON_TEXT)}, '', 'g'), {literal(_LONG_NUMBER)})"
    failed = f"({text} IS NOT NULL AND {_bind(parsed, 0, fails)})"
    return Conversion(f"CASE WHEN NOT {failed} THEN {_bind(parsed, 0, inner.value)} END", failed)


def _holds_decimal(kind: _Kind) -> bool:
    if _nested(kind):
        return any(_holds_decimal(kind.field(index).type) for index in range(kind.num_fields))
    return bool(pa.types.is_decimal(kind))


def _of_element(element: str, target: _Kind, depth: int) -> Conversion:
    """Convert the JSON value that the variable `element` holds; null and JSON null are null."""
    if pa.types.is_struct(target):
        converted = _of_object(element, target, depth)
    elif pa.types.is_map(target):
        converted = _of_pairs(element, target, depth)
    elif _nested(target):
        each = _of_element(f"j{depth}", target.value_type, depth + 1)
        items = f"TRY_CAST({element} AS JSON[])"
        failed = f"coalesce(list_bool_or(list_transform({items}, lambda j{depth}: {each.fails})), FALSE)"
        fails = f"json_type({element}) <> 'ARRAY' OR {failed}"
        converted = Conversion(f"list_transform({items}, lambda j{depth}: {each.value})", fails)
    else:
        plain = _of_text(f"json_extract_string({element}, '$')", target)
        fails = f"json_type({element}) IN ('ARRAY', 'OBJECT') OR {plain.fails}"
        converted = Conversion(plain.value, fails)
    present = f"{element} IS NOT NULL AND json_type({element}) <> 'NULL'"
    return Conversion(f"CASE WHEN {present} THEN {converted.value} END", f"({present} AND ({converted.fails}))")


def _of_object(element: str, target: _Kind, depth: int) -> Conversion:
    names = [target.field(index).name for index in range(target.num_fields)]
    parts = {name: _of_element(f"j{depth}.{quoted(name)}", target.field(index).type, depth + 1) for index, name in enumerate(names)}
    shape = ", ".join(f"{quoted(name)} JSON" for name in names)
    members = f"TRY_CAST({element} AS STRUCT({shape}))"
    keys, known = f"json_keys({element})", ", ".join(literal(name) for name in names)
    odd = f"NOT list_has_all([{known}], {keys}) OR len(list_distinct({keys})) <> len({keys})"
    failed = " OR ".join(part.fails for part in parts.values())
    value = "{" + ", ".join(f"{literal(name)}: {part.value}" for name, part in parts.items()) + "}"
    fails = f"json_type({element}) <> 'OBJECT' OR {odd} OR {_bind(members, depth, failed)}"
    return Conversion(_bind(members, depth, value), fails)


def _of_pairs(element: str, target: _Kind, depth: int) -> Conversion:
    inner = f"j{depth}"
    key, item = _of_text(inner, target.key_type), _of_element(inner, target.item_type, depth + 1)
    pairs = f"TRY_CAST({element} AS MAP(VARCHAR, JSON))"
    keys = f"list_transform(map_keys({pairs}), lambda {inner}: {key.value})"
    values = f"list_transform(map_values({pairs}), lambda {inner}: {item.value})"
    failed = [
        f"coalesce(list_bool_or(list_transform(map_keys({pairs}), lambda {inner}: {key.fails})), FALSE)",
        f"coalesce(list_bool_or(list_transform(map_values({pairs}), lambda {inner}: {item.fails})), FALSE)",
        f"len(list_distinct({keys})) <> len(json_keys({element}))",
    ]
    return Conversion(f"MAP({keys}, {values})", f"json_type({element}) <> 'OBJECT' OR {' OR '.join(failed)}")
