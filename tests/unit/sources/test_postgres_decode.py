from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal, localcontext

import built
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.sources.postgres import decimals, oddities
from limnos.sources.postgres.cells import Rows
from limnos.sources.postgres.columns import Carrier, SourceColumn
from limnos.sources.postgres.decode import decode as decoded
from limnos.sources.postgres.wire import PADDING_BYTES


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile before time is taken."""
    built.postgres()


def _rows(rows: list[list[bytes | None]]) -> Rows:
    """Write rows as COPY does, one message each."""
    sent, starts, ends = b"", [], []
    for row in rows:
        cells = b"".join(struct.pack(">i", -1) if cell is None else struct.pack(">i", len(cell)) + cell for cell in row)
        starts.append(len(sent) + 7)
        sent += b"d" + struct.pack(">ih", len(cells) + 6, len(row)) + cells
        ends.append(len(sent))
    return Rows(np.frombuffer(sent + bytes(PADDING_BYTES), np.uint8), np.array(starts, np.int64), np.array(ends, np.int64))


def decode(rows: Rows, carriers: list[Carrier]) -> pa.RecordBatch:
    """Decode with both decoders, which have to agree."""
    found, compiled = decoded(rows, carriers), decoded(rows, carriers, built.postgres())
    compiled.validate(full=True)
    assert compiled.equals(found)
    return found


def _numeric(value: Decimal) -> bytes:
    """Write a finite decimal as the server does: without groups of zeros at either end."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(-exponent, 0)
    number = int("".join(map(str, digits))) * 10 ** max(exponent, 0) * 10 ** (-scale % 4)
    weight = -(-scale // 4) * -1 - 1
    groups: list[int] = []
    while number:
        number, group = divmod(number, 10_000)
        groups.insert(0, group)
        weight += 1
    while groups and not groups[-1]:
        groups.pop()
    return struct.pack(">hhHH", len(groups), weight if groups else 0, 0x4000 if sign and groups else 0, scale) + struct.pack(
        f">{len(groups)}h", *groups
    )


def _column(kind: str, typmod: int = -1) -> Carrier:
    return SourceColumn("c", kind, typmod, required=False, description="", labels=()).carrier(None)


def _decimal(precision: int, scale: int) -> Carrier:
    return _column("numeric", (precision << 16 | scale) + 4)


@given(st.data())
def test_numerics_of_any_size_are_the_same_number(data: st.DataObject) -> None:
    precision = data.draw(st.integers(1, 38))
    scale = data.draw(st.integers(0, precision))
    numbers = data.draw(st.lists(st.none() | st.integers(-(10**precision) + 1, 10**precision - 1), min_size=1, max_size=20))
    with localcontext() as context:
        context.prec = 60
        values = [None if number is None else Decimal(number).scaleb(-scale) for number in numbers]
        batch = decode(_rows([[None if value is None else _numeric(value)] for value in values]), [_decimal(precision, scale)])
        assert batch.schema.types == [pa.decimal128(precision, scale)]
        assert batch.column(0).to_pylist() == values


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20))
def test_a_numeric_that_its_type_does_not_hold_comes_as_its_text(value: Decimal) -> None:
    batch = decode(_rows([[_numeric(value)], [_numeric(Decimal("1.5"))], [bytes.fromhex("00000000c0000000")]]), [_decimal(4, 1)])
    first, *others = batch.column(0).to_pylist()
    assert Decimal(first) == value == Decimal(decimals.text(_numeric(value)))
    assert others == ["1.5", "NaN"]


@given(
    st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=12), st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), min_size=12)
)
def test_columns_stay_apart_whatever_is_missing(texts: list[str | None], numbers: list[int | None]) -> None:
    """A column of a known width beside others is read with them; one null or one wider character must not move the rest."""
    numbers = numbers[: len(texts)]
    rows: list[list[bytes | None]] = []
    for written, number in zip(texts, numbers, strict=True):
        packed = None if number is None else struct.pack(">i", number)
        padded = None if written is None else written.ljust(5).encode()
        rows.append([packed, padded, packed, padded, b"", None, packed])
    char, whole, plain = _column("bpchar", 9), _column("int4"), _column("text")
    batch = decode(_rows(rows), [whole, char, whole, char, plain, plain, whole])
    padded_texts = [None if written is None else written.ljust(5) for written in texts]
    expected = [numbers, padded_texts, numbers, padded_texts, [""] * len(texts), [None] * len(texts), numbers]
    assert [column.to_pylist() for column in batch.columns] == expected
    batch.validate(full=True)


@given(st.dates())
def test_days_are_the_same_days(day: dt.date) -> None:
    sent = struct.pack(">i", (day - dt.date(2000, 1, 1)).days)
    assert decode(_rows([[sent], [None]]), [_column("date")]).column(0).to_pylist() == [day, None]
    assert oddities.date((day - dt.date(2000, 1, 1)).days) == day.isoformat()


@pytest.mark.parametrize(
    ("kind", "wire", "odd"),
    [("date", ">i", "infinity"), ("timestamp", ">q", "infinity"), ("timestamptz", ">q", "infinity"), ("time", ">q", "24:00:00")],
)
def test_a_null_beside_an_odd_value_stays_one(kind: str, wire: str, odd: str) -> None:
    number = {"date": 2**31 - 1, "time": 86_400_000_000}.get(kind, 2**63 - 1)
    batch = decode(_rows([[struct.pack(wire, number)], [None], [struct.pack(wire, 0)]]), [_column(kind)])
    assert batch.column(0).to_pylist()[:2] == [odd, None]
    assert batch.schema.types == [pa.string()]
