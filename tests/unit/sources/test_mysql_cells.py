from __future__ import annotations

from ctypes import CDLL
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import built
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.sources.mysql import native
from limnos.sources.mysql.cells import batch, compiled, portable
from limnos.sources.mysql.columns import labels
from limnos.sources.mysql.wire import MARGIN, Block, walk

NUMBERS = st.integers(-(10**20), 10**20).map(str) | st.from_regex(r"-?[0-9]{0,21}(\.[0-9]{0,5})?", fullmatch=True)
DAYS = st.dates().map(str) | st.from_regex(r"[0-9]{4}-[0-3][0-9]-[0-3][0-9]", fullmatch=True)
CLOCKS = st.from_regex(r"[ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,7})?", fullmatch=True)
INSTANTS = st.datetimes().map(str) | st.builds("{}{}".format, DAYS, CLOCKS)
KINDS: dict[pa.DataType, st.SearchStrategy[str]] = {
    pa.int32(): st.integers(-(2**31), 2**31 - 1).map(str) | NUMBERS,
    pa.int64(): st.integers(-(2**63), 2**63 - 1).map(str) | NUMBERS,
    pa.decimal128(20, 0): NUMBERS,
    pa.decimal128(18, 4): st.decimals(-(10**14), 10**14, places=4).map("{:f}".format) | NUMBERS,
    pa.decimal128(38, 9): st.decimals(-(10**28), 10**28, places=9).map("{:f}".format),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False).map(str),
    pa.date32(): DAYS,
    pa.timestamp("us"): INSTANTS,
    pa.timestamp("us", tz="UTC"): INSTANTS,
    pa.string(): st.text(),
    pa.binary(): st.text(),
    pa.uuid(): st.uuids().map(str),
}
DECIMALS = st.decimals(min_value=Decimal("-9999999999999.99"), max_value=Decimal("9999999999999.99"), places=2)


def block(rows: list[tuple[str | None, ...]]) -> Block:
    """Lay rows out as the text protocol does, with a packet header before each."""
    data, starts, ends = bytearray(MARGIN), [], []
    for row in rows:
        data += b"\0\0\0\0"
        starts.append(len(data))
        for value in row:
            raw = b"" if value is None else value.encode()
            data += b"\xfb" if value is None else bytes([len(raw)]) if len(raw) < 251 else b"\xfc" + len(raw).to_bytes(2, "little")
            data += raw
        ends.append(len(data))
    return Block(np.frombuffer(bytes(data) + bytes(MARGIN), np.uint8), np.array(starts, np.int64), np.array(ends, np.int64))


def read(values: list[str | None], kind: pa.DataType, announced: pa.DataType | None = None) -> pa.Array:
    schema = pa.schema([pa.field("v", announced or kind), pa.field("w", pa.string())])
    rows, kinds = block([(value, "w") for value in values]), (kind, pa.string())
    made = batch(rows, schema, kinds, None)
    assert made.equals(batch(rows, schema, kinds, built.mysql()))
    assert made.column(1).to_pylist() == ["w"] * len(values)
    return made.column(0)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_every_long_is_read_as_it_is_written(values: list[int | None]) -> None:
    assert read([None if value is None else str(value) for value in values], pa.int64()).to_pylist() == values


@given(st.lists(st.none() | st.integers(0, 2**64 - 1)))
def test_every_unsigned_long_is_read_as_it_is_written(values: list[int | None]) -> None:
    assert read([None if value is None else str(value) for value in values], pa.decimal128(20, 0)).to_pylist() == values


@given(st.lists(st.none() | DECIMALS))
def test_every_decimal_is_read_as_it_is_written(values: list[Decimal | None]) -> None:
    assert read([None if value is None else f"{value:f}" for value in values], pa.decimal128(15, 2)).to_pylist() == values


@given(st.lists(st.none() | st.dates()))
def test_every_day_is_read_as_it_is_written(values: list[date | None]) -> None:
    assert read([None if value is None else str(value) for value in values], pa.date32(), pa.string()).to_pylist() == values


@given(st.lists(st.none() | st.datetimes()), st.integers(0, 6))
def test_every_instant_is_read_as_it_is_written(values: list[datetime | None], digits: int) -> None:
    def text(value: datetime) -> str:
        return value.strftime("%H:%M:%S") + (f".{value.microsecond:06}"[: digits + 1] if digits else "")

    texts = [None if value is None else f"{value.date()} {text(value)}" for value in values]
    step = 10 ** (6 - digits)
    cut = [None if value is None else value.replace(microsecond=value.microsecond // step * step) for value in values]
    assert read(texts, pa.timestamp("us"), pa.string()).to_pylist() == cut


@given(st.lists(st.none() | st.text()))
def test_every_text_is_read_as_it_is_written(values: list[str | None]) -> None:
    assert read(values, pa.string()).to_pylist() == values


@pytest.mark.parametrize("odd", ["0000-00-00", "2024-00-10", "2024-02-30", "2023-02-29", "0000-01-01"])
def test_a_day_that_is_in_no_calendar_makes_its_batch_text(odd: str) -> None:
    assert read(["2024-02-29", None, odd], pa.date32(), pa.string()).to_pylist() == ["2024-02-29", None, odd]


def test_an_instant_without_its_day_keeps_its_text_and_the_others_their_offset() -> None:
    kind = pa.timestamp("us", tz="UTC")
    assert read(["2024-02-29 10:00:00"], kind, pa.string()).to_pylist() == [datetime(2024, 2, 29, 10, tzinfo=UTC)]
    mixed = read(["2024-02-29 10:00:00", "0000-00-00 00:00:00"], kind, pa.string())
    assert mixed.to_pylist() == ["2024-02-29 10:00:00+00:00", "0000-00-00 00:00:00"]


@pytest.mark.parametrize(("value", "kind"), [("1x", pa.int64()), ("3000000000", pa.int32()), ("1.234", pa.decimal128(5, 2))])
def test_what_is_not_of_its_type_is_an_error(value: str, kind: pa.DataType) -> None:
    with pytest.raises(pa.ArrowInvalid):
        read([value], kind)


def test_labels_are_read_out_of_their_spelling() -> None:
    assert labels("enum('a','it''s','b,c','')") == ("a", "it's", "b,c", "")


@pytest.fixture(scope="module", autouse=True)
def library() -> CDLL:
    """Compile before the first test, whose time is bounded."""
    return built.mysql()


def outcome(decode: Any, *values: Any) -> Any:
    try:
        return [(array.type, array.to_pylist(), array.null_count) for array in decode(*values)]
    except pa.ArrowInvalid:
        return pa.ArrowInvalid


@given(st.data())
def test_compiled_and_portable_decoders_agree_on_every_value(library: CDLL, data: st.DataObject) -> None:
    kinds = tuple(data.draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4)))
    row = st.tuples(*(st.none() | KINDS[kind] for kind in kinds))
    rows = block(data.draw(st.lists(row, min_size=1, max_size=8)))
    assert outcome(compiled, library, rows, kinds) == outcome(portable, rows, kinds)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (pa.int64(), str(-(2**63)), -(2**63)),
        (pa.int64(), str(2**63), None),
        (pa.int64(), str(2**64), None),
        (pa.int32(), str(-(2**31) - 1), None),
        (pa.decimal128(18, 4), "1234567890123456789.1234", None),
        (pa.decimal128(18, 4), "-0.0000", Decimal(0)),
        (pa.decimal128(18, 4), "1.23456", None),
        (pa.date32(), "2024-02-290", "2024-02-290"),
        (pa.timestamp("us"), "2024-02-29 24:00:00", "2024-02-29 24:00:00"),
        (pa.timestamp("us"), "2024-02-29 10:60:00", "2024-02-29 10:60:00"),
        (pa.timestamp("us"), "2024-02-29 10:00:60", "2024-02-29 10:00:60"),
        (pa.timestamp("us"), "2024-02-29 10:00:00.", "2024-02-29 10:00:00."),
        (pa.timestamp("us"), "2024-02-29T10:00:00", "2024-02-29T10:00:00"),
        (pa.timestamp("us"), "2024-02-29 10:00:00,5", "2024-02-29 10:00:00,5"),
    ],
)
def test_both_decoders_keep_to_the_bounds_of_a_type(library: CDLL, kind: pa.DataType, text: str, value: object) -> None:
    rows = block([(text,)])
    found = outcome(portable, rows, (kind,))
    assert outcome(compiled, library, rows, (kind,)) == found
    assert (found is pa.ArrowInvalid) if value is None else (found[0][1] == [value])


@given(st.data())
def test_no_byte_of_a_row_makes_a_decoder_read_beyond_it(library: CDLL, data: st.DataObject) -> None:
    kinds = tuple(data.draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3)))
    torn = data.draw(st.lists(st.binary(max_size=24), min_size=1, max_size=4))
    lengths = np.array([len(row) for row in torn])
    ends = np.cumsum(lengths) + MARGIN
    rows = Block(np.frombuffer(bytes(MARGIN) + b"".join(torn) + bytes(MARGIN), np.uint8), ends - lengths, ends)
    assert outcome(compiled, library, rows, kinds) == outcome(portable, rows, kinds)


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\x05abc",
        b"\x01ab",
        b"\xfc\xff",
        b"\xfc\xff\xffa",
        b"\xfd\xff\xff\xff",
        b"\xfe" + b"\xff" * 8,
        b"\xfe" + b"\0" * 7,
        b"\xff",
        b"\xfb\0",
    ],
)
def test_cells_that_do_not_fill_their_packet_are_refused(library: CDLL, row: bytes) -> None:
    whole = Block(np.frombuffer(bytes(MARGIN) + row + b"\x03abc" * 9, np.uint8), np.array([MARGIN]), np.array([MARGIN + len(row)]))
    assert outcome(compiled, library, whole, (pa.string(),)) is pa.ArrowInvalid
    assert outcome(portable, whole, (pa.string(),)) is pa.ArrowInvalid


@given(st.lists(st.sampled_from([0, 1, 5, 300, 0xFFFFFF]), max_size=6), st.integers(0, 8))
def test_compiled_and_portable_code_tell_the_same_packets_apart(library: CDLL, lengths: list[int], missing: int) -> None:
    size = sum(4 + length for length in lengths)
    data = np.zeros(size, np.uint8)
    at = 0
    for length in lengths:
        data[at : at + 3] = np.frombuffer(length.to_bytes(3, "little"), np.uint8)
        at += 4 + length
    filled = max(0, size - missing)
    found: list[tuple[int, int, list[int]]] = []
    for step in (walk, partial(native.walk, library)):
        starts = np.zeros(len(lengths), np.int64)
        count, end = step(data, filled, 0, starts)
        found.append((count, end, starts[:count].tolist()))
    assert found[0] == found[1]
    rows = sum(length < 0xFFFFFF for length in lengths)
    assert missing or found[0][0] == rows
