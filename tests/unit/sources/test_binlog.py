from __future__ import annotations

import io
import random
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.sources.mysql.binlog.cells import Column, array
from limnos.sources.mysql.binlog.dump import _packets
from limnos.sources.mysql.binlog.events import Statement
from limnos.sources.mysql.binlog.layout import PADDING, Buffer, Cell, Images, Layouts, UnknownLayout, Wire, decimal_bytes, walk
from limnos.sources.mysql.binlog.place import least
from limnos.sources.mysql.binlog.statements import effect

MOST = 0xFFFFFF
BYTES = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4, 9: 4}


def encoded(value: Decimal, precision: int, scale: int) -> bytes:
    """Write a decimal as MySQL's decimal2bin does."""
    whole = precision - scale
    digits = "".join(map(str, value.as_tuple().digits)).zfill(precision)
    groups = [whole % 9] * (whole % 9 > 0) + [9] * (whole // 9) + [9] * (scale // 9) + [scale % 9] * (scale % 9 > 0)
    written, at = b"", 0
    for group in groups:
        written += int(digits[at : at + group]).to_bytes(BYTES[group], "big")
        at += group
    if value < 0:
        written = bytes(byte ^ 0xFF for byte in written)
    return bytes([written[0] ^ 0x80]) + written[1:]


@st.composite
def decimals(draw: st.DrawFn) -> tuple[int, int, list[Decimal | None]]:
    precision = draw(st.integers(1, 65))
    scale = draw(st.integers(0, min(precision, 38)))
    most = 10**precision - 1
    whole = st.integers(-most, most).map(lambda number: Decimal(f"{number}e-{scale}"))
    return precision, scale, draw(st.lists(st.none() | whole, min_size=1, max_size=20))


@given(decimals())
def test_every_decimal_is_read_to_its_last_digit(drawn: tuple[int, int, list[Decimal | None]]) -> None:
    precision, scale, values = drawn
    rows = b"".join(b"\xff" if value is None else b"\xfe" + encoded(value, precision, scale) for value in values)
    cell = Cell(Wire.NEWDECIMAL, decimal_bytes(precision, scale), first=precision, second=scale)
    starts, _ = walk(rows, [len(rows)], Layouts([cell]))
    found = array(Images(Buffer(rows + bytes(PADDING)), starts, [cell]).column(0), cell, Column("d", pa.string())).to_pylist()
    assert [None if each is None else Decimal(each) for each in found] == values
    assert all(each is None or len(str(each).partition(".")[2]) == scale for each in found if isinstance(each, str))


KINDS = [Cell(Wire.LONG, 4), Cell(Wire.VARCHAR, prefix=1), Cell(Wire.INT24, 3), Cell(Wire.VARCHAR, prefix=2), Cell(Wire.BLOB, prefix=3)]
VALUES = [
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.binary(max_size=255),
    st.integers(-(1 << 23), (1 << 23) - 1),
    st.binary(max_size=300),
    st.binary(),
]


@given(st.lists(st.tuples(*(st.none() | each for each in VALUES)), max_size=30), st.integers(1, 4))
def test_rows_of_any_nulls_and_lengths_are_taken_apart(rows: list[tuple[int | bytes | None, ...]], per_event: int) -> None:
    images = []
    for row in rows:
        nulls = sum((value is None) << place for place, value in enumerate(row)) | 0xE0
        image = bytes([nulls])
        for value, cell in zip(row, KINDS, strict=True):
            if isinstance(value, int):
                image += value.to_bytes(cell.size, "little", signed=True)
            elif value is not None:
                image += len(value).to_bytes(cell.prefix, "little") + value
        images.append(image)
    events = [b"".join(images[at : at + per_event]) for at in range(0, len(images), per_event)]
    payload = b"".join(events)
    starts, counts = walk(payload, np.cumsum([len(event) for event in events]).tolist(), Layouts(KINDS))
    found = Images(Buffer(payload + bytes(PADDING)), starts, KINDS)
    columns = [array(found.column(place), cell, Column("c", pa.binary())).to_pylist() for place, cell in enumerate(KINDS)]
    assert list(zip(*columns, strict=True)) == rows
    assert counts.tolist() == [min(at + per_event, len(rows)) for at in range(0, len(rows), per_event)]
    if len(rows) > 1:
        left = np.arange(len(rows) - 1)
        for place in range(len(KINDS)):
            differ = found.column(place).differ(left, left + 1).tolist()
            raw = [b"" if row[place] is None else row[place] for row in rows]
            assert differ == [a != b for a, b in pairwise(raw)]


def test_a_row_that_ends_elsewhere_than_its_event_is_not_guessed_at() -> None:
    with pytest.raises(UnknownLayout):
        walk(b"\xfe\x01\x00\x00", [4], Layouts([Cell(Wire.LONG, 4)]))


@given(st.lists(st.binary(max_size=40), max_size=20), st.lists(st.integers(1, 60), min_size=1))
def test_packets_are_found_wherever_the_network_cuts(packets: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(len(packet).to_bytes(3, "little") + b"\0" + packet for packet in packets)
    arrived = iter([sent[at : at + 1] for at in range(len(sent))])
    sizes = iter(cuts * (len(sent) + 1))

    def receive(into: memoryview) -> int:
        chunk = b"".join(byte for _, byte in zip(range(next(sizes)), arrived, strict=False))
        into[: len(chunk)] = chunk
        return len(chunk)

    found: list[bytes] = []

    def read() -> None:
        for held, starts in _packets(receive):
            found.extend(held[start + 4 : end] for start, end in pairwise(starts))

    with pytest.raises(pymysql.err.OperationalError, match="Lost connection"):
        read()
    assert found == packets


@pytest.mark.parametrize("size", [MOST - 1, MOST, MOST + 1, 2 * MOST, 2 * MOST + 5])
def test_a_packet_of_several_parts_is_put_together(size: int) -> None:
    body = random.Random(size).randbytes(size)
    parts = [body[at : at + MOST] for at in range(0, size + 1, MOST)]
    sent = b"\x01\0\0\0a" + b"".join(len(part).to_bytes(3, "little") + b"\0" + part for part in parts) + b"\x01\0\0\0z"
    arriving = io.BytesIO(sent)
    found: list[bytes] = []
    for held, starts in _packets(arriving.readinto):
        found += [held[start + 4 : end] for start, end in pairwise(starts)]
        if len(found) == 3:
            break
    assert found == [b"a", body, b"z"]


@pytest.mark.parametrize(
    ("text", "truncated", "reshaped"),
    [
        ("TRUNCATE `shop`.`orders`", "orders", ()),
        ("truncate table orders /* generated by server */", "orders", ()),
        ("TRUNCATE other.orders", "", ()),
        ("ALTER TABLE `orders` ADD x INT", "", ("orders",)),
        ("ALTER TABLE orders_old ADD x INT", "", ()),
        ("/* orders */ ALTER TABLE other ADD x INT", "", ()),
        ("/*!50000 ALTER TABLE orders ADD x INT */", "", ("orders",)),
        ("DROP TABLE IF EXISTS `orders`,`items` /* generated by server */", "", ("orders", "items")),
        ("RENAME TABLE new TO Orders", "", ("orders",)),
        ("INSERT INTO orders VALUES (1)", "", ("orders",)),
        ("SELECT `shop`.`f`(1)", "", ("orders", "items")),
        ("DROP DATABASE shop", "", ("orders", "items")),
        ("DROP DATABASE other", "", ()),
        ("CREATE DEFINER=`a`@`b` TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET @x = 1", "", ()),
        ("CREATE OR REPLACE ALGORITHM=MERGE VIEW v AS SELECT * FROM orders", "", ()),
        ("CREATE UNIQUE INDEX i ON orders (x)", "", ()),
        ("CREATE TEMPORARY TABLE orders (id INT)", "", ()),
        ("BEGIN", "", ()),
        ("FLUSH TABLES", "", ()),
    ],
)
def test_a_statement_is_judged_by_what_it_does(text: str, truncated: str, reshaped: tuple[str, ...]) -> None:
    found = effect(Statement("shop", text), "shop", ["orders", "items"])
    assert (found.truncated, found.reshaped) == (truncated, reshaped)


def test_the_least_gtid_position_has_only_domains_that_all_have() -> None:
    assert least(["0-1-100,1-1-5", "0-2-90,1-1-9", "0-1-95,1-1-7,2-1-1"]) == "0-2-90,1-1-5"
