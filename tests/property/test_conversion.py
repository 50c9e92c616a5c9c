from __future__ import annotations

import json
import math
import re
import struct
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from limnos.engines.duckdb import DuckEngine
from limnos.model.conversion import as_text, convert
from limnos.model.types import parse_type
from limnos.ports import Session

FAILS = object()
_SETTINGS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with DuckEngine().session() as opened:
        yield opened


def converted(session: Session, values: pa.Array, target: pa.DataType) -> list[Any]:
    conversion = convert('"raw"', values.type, target)
    table = pa.table({"n": range(len(values)), "raw": values})
    rows = session.run(f"SELECT {conversion.value} AS value, {conversion.fails} AS fails FROM given ORDER BY n", given=table).to_pylist()
    assert all(row["fails"] is not None for row in rows)
    assert not any(row["fails"] and row["value"] is not None for row in rows)
    return [FAILS if row["fails"] else row["value"] for row in rows]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("d", left) == struct.pack("d", right) or (math.isnan(left) and math.isnan(right))
    return bool(left == right) and (left is right or type(left) is type(right))


def whole(bits: int) -> Callable[[str], Any]:
    def oracle(text: str) -> Any:
        match = re.fullmatch(r"([+-]?[0-9]+)(\.0*)?", text)
        return int(match[1]) if match and -(2**bits) <= int(match[1]) < 2**bits else FAILS

    return oracle


def decimal(precision: int, scale: int) -> Callable[[str], Any]:
    def oracle(text: str) -> Any:
        match = re.fullmatch(r"([+-]?)([0-9]*)(?:\.([0-9]*))?", text)
        if not match or not (match[2] or (match[3] and scale)):
            return FAILS
        fraction = (match[3] or "").rstrip("0")
        digits = int((match[2] or "0") + fraction.ljust(scale, "0"))
        if len(fraction) > scale or digits >= 10**precision:
            return FAILS
        return Decimal((int(match[1] == "-"), tuple(map(int, str(digits))), -scale)) + 0

    return oracle


def floating(text: str) -> Any:
    if re.fullmatch(r"(?i)nan|[+-]?inf(inity)?", text):
        return float(text)
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return FAILS
    value = float(text)
    vanished = value == 0 and any(digit in "123456789" for digit in re.split("[eE]", text)[0])
    return FAILS if math.isinf(value) or vanished else value


def boolean(text: str) -> Any:
    words = {**dict.fromkeys(("true", "t", "yes", "1"), True), **dict.fromkeys(("false", "f", "no", "0"), False)}
    return words.get(text.lower(), FAILS) if text.isascii() else FAILS


def day(text: str) -> Any:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else FAILS
    except ValueError:
        return FAILS


_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})0*)?)?"


def clock(hour: str, minute: str, second: str | None, fraction: str | None) -> time:
    return time(int(hour), int(minute), int(second or 0), int((fraction or "").ljust(6, "0")))


def time_of_day(text: str) -> Any:
    match = re.fullmatch(_CLOCK, text)
    try:
        return clock(*match.groups()) if match else FAILS  # type: ignore[arg-type]
    except ValueError:
        return FAILS


def timestamp(text: str) -> Any:
    match = re.fullmatch(rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[ T]{_CLOCK}", text)
    try:
        return datetime.combine(date.fromisoformat(match[1]), clock(*match.groups()[1:])) if match else FAILS  # type: ignore[arg-type]
    except ValueError:
        return FAILS


def timestamptz(text: str) -> Any:
    match = re.fullmatch(r"(.*?)(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)", text)
    local = timestamp(match[1]) if match and len(match[1]) > 10 else FAILS
    if match is None or local is FAILS:
        return FAILS
    offset = timedelta(hours=int(match[3] or 0), minutes=int(match[4] or 0)) * (-1 if match[2] == "-" else 1)
    try:
        return local.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except OverflowError:
        return FAILS


def binary(text: str) -> Any:
    return bytes.fromhex(text[2:]) if re.fullmatch(r"\\x([0-9a-fA-F]{2})*", text) else FAILS


def identifier(text: str) -> Any:
    return str(uuid.UUID(text)) if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) else FAILS


ORACLES: dict[str, Callable[[str], Any]] = {
    "int": whole(31),
    "long": whole(63),
    "decimal(12,2)": decimal(12, 2),
    "decimal(38,0)": decimal(38, 0),
    "decimal(38,38)": decimal(38, 38),
    "double": floating,
    "boolean": boolean,
    "date": day,
    "time": time_of_day,
    "timestamp": timestamp,
    "timestamptz": timestamptz,
    "binary": binary,
    "uuid": identifier,
    "string": lambda text: text,
}

_NUMBERS = st.from_regex(r"[+-]?[0-9]{0,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
_TIMES = st.from_regex(r"[012][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,8})?)?", fullmatch=True)
_DATES = st.from_regex(r"([0-9]{4}|1[0-9]{4}|20[0-9]{2}|0001|9999)-(0[1-9]|1[0-3])-[0-3][0-9]", fullmatch=True)
_ZONES = st.sampled_from(["", "Z", "z", "+02", "-0230", "+02:30", "-24:00", "+23:59", " UTC", "+02:30:15", " (BC)"])
_TRAPS = (
    "",
    " ",
    "007",
    "0x1F",
    "1_000",
    " 12 ",
    "12\n",
    "1e400",
    "1e-400",
    "-0",
    "-0.0",
    "NaN",
    "-nan",
    "Infinity",
    "-inf",
    "٣",
    "¹",
    "1\x00",
    "yes",
    "T",
    "\u017f",
    "infinity",
    "epoch",
    "2013/01/01",
    "2013-1-1",
    "20130101",
    "24:00:00",
    "2013-01-01 24:00:00",
    "2013-01-01",
    "9223372036854775807.0",
    "-9223372036854775808",
    "9" * 400,
    "0" * 400 + "7",
    "." + "0" * 400 + "1",
    "\\x0aFf",
    "\\x0",
    "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
    "a0eebc999c0b4ef8bb6d6bb9bd380a11",
    "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
)
_FORMS = st.one_of(
    _NUMBERS,
    _DATES,
    _TIMES,
    st.builds("{}{}{}{}".format, _DATES, st.sampled_from([" ", "T", "t", "  "]), _TIMES, _ZONES),
    st.uuids().map(str),
    st.binary(max_size=4).map(lambda value: "\\x" + value.hex()),
    st.sampled_from(_TRAPS),
    st.text(max_size=12),
)


@st.composite
def _spoiled(draw: st.DrawFn) -> str:
    """One character put somewhere into a text that would have been read."""
    text = draw(_FORMS)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(list(" \t\n_-+.eE0٣\u00a0\u2003x:TZ"))) + text[at:]


_TEXTS = st.lists(st.none() | _FORMS | _spoiled(), min_size=1, max_size=60)


@pytest.mark.parametrize("name", ORACLES)
@_SETTINGS
@given(texts=_TEXTS)
@example(texts=list(_TRAPS))
def test_a_text_has_the_value_that_python_finds_or_fails(session: Session, name: str, texts: list[str | None]) -> None:
    found = converted(session, pa.array(texts, pa.string()), parse_type(name))
    for text, value in zip(texts, found, strict=True):
        expected = None if text is None else ORACLES[name](text)
        assert same(value, expected) or (isinstance(value, datetime) and value == expected), (text, value, expected)


@_SETTINGS
@given(texts=st.lists(st.from_regex(r"-?[0-9]{1,5}(\.[0-9]{1,2})?(e[+-]?[0-9]{1,2})?", fullmatch=True), max_size=40))
def test_a_text_becomes_the_nearest_float_or_fails_when_there_is_none(session: Session, texts: list[str]) -> None:
    for text, value in zip(texts, converted(session, pa.array(texts, pa.string()), pa.float32()), strict=True):
        exact = float(text)
        nearest = float(pa.scalar(exact, pa.float64()).cast(pa.float32(), safe=False).as_py())
        gone = math.isinf(nearest) or (nearest == 0 and exact != 0)
        assert (value is FAILS) if gone else same(value, nearest), (text, value)


_LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "decimal(38,10)": st.decimals(-(10**27), 10**27, places=10),
    "date": st.dates(),
    "time": st.times(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=st.just(UTC)),
    "string": st.text(),
    "binary": st.binary(),
    "uuid": st.uuids().map(lambda value: value.bytes),
}
_KEYED = st.dictionaries(st.text(max_size=5), st.none() | st.integers(0, 9), max_size=4).map(lambda pairs: list(pairs.items()))
_VALUES = {
    **_LEAVES,
    "list<decimal(38,10)>": st.lists(st.none() | _LEAVES["decimal(38,10)"], max_size=4),
    "list<timestamptz>": st.lists(_LEAVES["timestamptz"], max_size=4),
    "list<list<binary>>": st.lists(st.lists(_LEAVES["binary"], max_size=3), max_size=3),
    "map<string,long>": _KEYED,
    'struct<a:double,b":list<string>,c:struct<d:date,e:float>>': st.fixed_dictionaries(
        {
            "a": st.none() | _LEAVES["double"],
            'b"': st.none() | st.lists(_LEAVES["string"], max_size=3),
            "c": st.none() | st.fixed_dictionaries({"d": _LEAVES["date"], "e": _LEAVES["float"]}),
        }
    ),
}


@pytest.mark.parametrize("name", _VALUES)
@_SETTINGS
@given(data=st.data())
def test_the_text_of_a_value_converts_back_to_it(session: Session, name: str, data: st.DataObject) -> None:
    kind = parse_type(name)
    values = data.draw(st.lists(st.none() | _VALUES[name], max_size=20))
    table = pa.table({"n": range(len(values)), "v": pa.array(values, kind.storage_type if name == "uuid" else kind).cast(kind)})
    texts = session.run(f"SELECT {as_text('v', kind)} AS text FROM given ORDER BY n", given=table).column("text").cast(pa.string())
    back = converted(session, texts.combine_chunks(), kind)
    # The texts of Python's values are compared: there NaN equals NaN, and -0.0 is not 0.0.
    given_values = [str(value) if name == "uuid" and value else value for value in table.column("v").to_pylist()]
    assert repr(back).replace("key='UTC'", "") == repr(given_values).replace("key='UTC'", "")


_NATIVE = {
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "double": (
        pa.float64(),
        st.floats() | st.integers(-(10**18), 10**18).map(float) | st.sampled_from([0.1, 2.5, 2.0**63, -(2.0**63), 2.0**53]),
    ),
    "float": (pa.float32(), st.floats(width=32)),
    "decimal": (pa.decimal128(20, 6), st.decimals(-(10**13), 10**13, places=6) | st.integers(-(10**9), 10**9).map(Decimal)),
}


@pytest.mark.parametrize("target", ["int", "long", "decimal(10,2)", "decimal(38,0)", "decimal(38,20)", "double", "float"])
@pytest.mark.parametrize("raw", _NATIVE)
@_SETTINGS
@given(data=st.data())
def test_a_number_that_changes_type_keeps_its_value_or_fails(session: Session, raw: str, target: str, data: st.DataObject) -> None:
    kind, numbers = _NATIVE[raw]
    values = data.draw(st.lists(st.none() | numbers, max_size=30))
    wanted = parse_type(target)
    for before, after in zip(values, converted(session, pa.array(values, kind), wanted), strict=True):
        expected = None if before is None else retyped(before, kind, wanted)
        assert after == expected or (isinstance(after, float) and same(after, expected)), (before, after, expected)


def shortest(value: float, kind: pa.DataType) -> str:
    return str(np.float32(value)) if pa.types.is_float32(kind) else repr(value)


def retyped(value: Any, raw: pa.DataType, target: pa.DataType) -> Any:
    """The number of the target type that is equal; between floats and decimals, the one with the same shortest text."""
    if pa.types.is_floating(target):
        with np.errstate(over="ignore"):
            nearest = float(np.float32(str(value))) if pa.types.is_float32(target) else float(str(value))
        if isinstance(value, Decimal):
            return nearest if Decimal(shortest(nearest, target)) == value else FAILS
        return nearest if nearest == value or math.isnan(value) else FAILS
    if not math.isfinite(value):
        return FAILS
    if pa.types.is_integer(target):
        inside = -(2 ** (target.bit_width - 1)) <= value < 2 ** (target.bit_width - 1)
        return int(value) if value == int(value) and inside else FAILS
    exact = Decimal(shortest(value, raw)) if isinstance(value, float) else Decimal(value)
    return decimal(target.precision, target.scale)(f"{exact:f}")


@_SETTINGS
@given(st.lists(st.integers(-(2**62), 2**62), max_size=30))
def test_nanoseconds_are_kept_or_fail(session: Session, values: list[int]) -> None:
    found = converted(session, pa.array(values, pa.timestamp("ns")), pa.timestamp("us"))
    for value, after in zip(values, found, strict=True):
        assert (after is FAILS) == (value % 1000 != 0)
        assert after is FAILS or after == datetime.fromisoformat("1970-01-01") + timedelta(microseconds=value // 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "b": [{"c": "1.10"}]}', {"a": 1, "b": [{"c": Decimal("1.10")}]}),
        ('{"a": 1}', {"a": 1, "b": None}),
        ('{"b": [null, {"c": 2.5}]}', {"a": None, "b": [None, {"c": Decimal("2.50")}]}),
        ("null", None),
        ('{"a": 1.5}', FAILS),
        ('{"a": 1, "z": 2}', FAILS),
        ('{"a": 1, "a": 2}', FAILS),
        ('{"b": [{"c": 1.125}]}', FAILS),
        ('{"b": [{"c": 0.1000000000000000055}]}', FAILS),
        ('{"b": {"c": 1}}', FAILS),
        ('{"a": [1]}', FAILS),
        ("[]", FAILS),
        ("{", FAILS),
    ],
)
def test_json_becomes_a_nested_value_member_by_member_or_fails_as_a_whole(session: Session, text: str, expected: object) -> None:
    kind = parse_type("struct<a:long,b:list<struct<c:decimal(5,2)>>>")
    assert converted(session, pa.array([text]), kind) == [expected]


def test_json_of_the_standard_library_is_read_back(session: Session) -> None:
    value = {'quote"s': 1, "é / ~1": 2, "": 3}
    assert converted(session, pa.array([json.dumps(value)]), parse_type("map<string,long>")) == [list(value.items())]
