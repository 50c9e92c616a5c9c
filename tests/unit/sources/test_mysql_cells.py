from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.sources.mysql.cells import batch
from limnos.sources.mysql.columns import labels
from limnos.sources.mysql.wire import MARGIN, Block

DECIMALS = st.decimals(min_value=Decimal("-9999999999999.99"), max_value=Decimal("9999999999999.99"), places=2)


def block(rows: list[tuple[str | None, ...]]) -> Block:
    """Lay rows out as the text protocol does, with a packet header before each."""
    data, starts = bytearray(MARGIN), []
    for row in rows:
        data += b"\0\0\0\0"
        starts.append(len(data))
        for value in row:
            raw = b"" if value is None else value.encode()
            data += b"\xfb" if value is None else bytes([len(raw)]) if len(raw) < 251 else b"\xfc" + len(raw).to_bytes(2, "little")
            data += raw
    return Block(np.frombuffer(bytes(data) + bytes(MARGIN), np.uint8), np.array(starts, np.int64))


def read(values: list[str | None], kind: pa.DataType, announced: pa.DataType | None = None) -> pa.Array:
    schema = pa.schema([pa.field("v", announced or kind), pa.field("w", pa.string())])
    made = batch(block([(value, "w") for value in values]), schema, (kind, pa.string()))
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
