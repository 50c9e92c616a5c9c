"""Cells of the log as Arrow arrays, each value as the text that the server prints or as a type that holds it exactly.

Source: MySQL 8.0 source code documentation, "Rows_event"; MySQL Internals Manual, "Date and Time Data Type Representation"; MySQL,
file strings/decimal.cc, comment of decimal2bin.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from limnos.sources.mysql.binlog.layout import DIGITS_BYTES, Array, Bytes, Cell, Cells, UnknownLayout, Wire, taken

Numbers: TypeAlias = npt.NDArray[np.int64]
Decode: TypeAlias = "Callable[[pa.BinaryArray], Array]"
_INT64_DIGITS = 18
_COMPRESSED = frozenset({Wire.VARCHAR_COMPRESSED, Wire.BLOB_COMPRESSED})


@dataclass(frozen=True, slots=True)
class Column:
    """Say what the catalog knows of a column beyond what lies in the log.

    `type` is what it is handed over as. `labels` are those of an enum or a set. `decode` turns the bytes of a character set into text;
    None for binary ones. `octets` is the length of values that are all as long, whose trailing zeros the log leaves out.
    """

    name: str
    type: pa.DataType
    unsigned: bool = False
    labels: tuple[str, ...] = ()
    decode: Decode | None = None
    octets: int = 0


def array(cells: Cells, cell: Cell, column: Column) -> Array:
    """Decode the cells of one column.

    Raises:
        UnknownLayout: If the catalog's type is not that of the log.
    """
    return _DECODERS.get(cell.wire, _string)(cells, cell, column)


def _integer(cells: Cells, cell: Cell, column: Column) -> Array:
    size, unsigned = cell.size, column.unsigned
    values = cells.little(size).view(np.int64) if unsigned and size < 8 else cells.little(size) if unsigned else cells.signed(size)
    found: Array = pa.array(values, mask=cells.null)
    return found if size == 8 or (unsigned and size == 4) else found.cast(pa.int32())


def _floating(cells: Cells, cell: Cell, _: Column) -> Array:
    words = cells.little(cell.size)
    floats = words.astype(np.uint32).view(np.float32) if cell.size == 4 else words.view(np.float64)
    return pa.array(floats, mask=cells.null)


def _year(cells: Cells, _: Cell, __: Column) -> Array:
    years = cells.little(1).astype(np.int32)
    return pa.array(np.where(years == 0, 0, years + 1900).astype(np.int32), mask=cells.null)


def _bits(cells: Cells, cell: Cell, _: Column) -> Array:
    values = cells.big(cell.size)
    return pa.array(values if cell.first == 64 else values.astype(np.int64), mask=cells.null)


def _string(cells: Cells, cell: Cell, column: Column) -> Array:
    raw = _unpacked(cells.binary()) if cell.wire in _COMPRESSED else cells.binary()
    if column.octets:
        raw = _padded(raw, column.octets)
    return raw if column.decode is None else column.decode(raw)


def _unpacked(raw: pa.BinaryArray) -> pa.BinaryArray:
    """Unpack the values of a COMPRESSED column: a byte of method and width, the length, a stream; method 0 is the value itself."""
    return pa.array([None if value is None else _unpack(value) for value in raw.to_pylist()], pa.binary())


def _unpack(value: bytes) -> bytes:
    method, width = (value[0] >> 4, value[0] & 7) if value else (0, 0)
    if method not in {0, 8}:
        raise UnknownLayout(f"compression method {method}")
    # The bit says that the stream is without the header of zlib.
    return zlib.decompress(value[1 + width :], -zlib.MAX_WBITS if value[0] & 8 else zlib.MAX_WBITS) if method else value[1:]


def _padded(raw: pa.BinaryArray, octets: int) -> pa.BinaryArray:
    return pa.array([None if value is None else value.ljust(octets, b"\0") for value in raw.to_pylist()], pa.binary())


def _enum(cells: Cells, cell: Cell, column: Column) -> Array:
    labels = column.labels
    # The number 0 is the empty text that a value outside the list became.
    found = cells.little(cell.size).astype(np.int64)
    if len(found) and int(found[~cells.null].max(initial=0)) > len(labels):
        raise UnknownLayout("an enum with other labels")
    return taken(pa.array(["", *labels], pa.string()), np.where(cells.null, 0, found), cells.null)


def _set(cells: Cells, cell: Cell, column: Column) -> Array:
    labels = column.labels
    distinct, where = np.unique(np.where(cells.null, np.uint64(0), cells.little(cell.size)), return_inverse=True)
    if len(distinct) and int(distinct[-1]) >> len(labels):
        raise UnknownLayout("a set with other labels")
    texts = [",".join(label for bit, label in enumerate(labels) if int(value) >> bit & 1) for value in distinct]
    return taken(pa.array(texts, pa.string()), where, cells.null)


def _decimal(cells: Cells, cell: Cell, _: Column) -> Array:
    precision, scale = cell.first, cell.second
    if precision > _INT64_DIGITS:
        return _long_decimal(cells, precision, scale)
    negative, groups = _pieces_of(cells, precision, scale)
    total = np.zeros(len(cells), np.int64)
    for digits, value in groups:
        total = total * 10**digits + value
    total = np.where(negative, -total, total)
    halves = np.empty((len(cells), 2), np.int64)
    halves[:, 0], halves[:, 1] = total, total >> 63
    valid = pa.array(~cells.null).buffers()[1]
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(cells), [valid, pa.py_buffer(halves.data)])


def _pieces_of(cells: Cells, precision: int, scale: int) -> tuple[npt.NDArray[np.bool_], list[tuple[int, Numbers]]]:
    """Take a decimal apart: whether it is negative, and its digits in groups of up to nine, those before the point first."""
    # The first bit is turned over; of a negative number all the others are as well.
    negative = cells.buffer.bytes[cells.begin] & 0x80 == 0
    whole = precision - scale
    groups = [whole % 9] * (whole % 9 > 0) + [9] * (whole // 9) + [9] * (scale // 9) + [scale % 9] * (scale % 9 > 0)
    pieces: list[tuple[int, Numbers]] = []
    at = 0
    for digits in groups:
        width = DIGITS_BYTES[digits]
        value = cells.big(width, at)
        if at == 0:
            value = value ^ np.uint64(1 << (8 * width - 1))
        value = np.where(negative, ~value & np.uint64((1 << 8 * width) - 1), value)
        pieces.append((digits, value.astype(np.int64)))
        at += width
    return negative, pieces


def _long_decimal(cells: Cells, precision: int, scale: int) -> Array:
    negative, groups = _pieces_of(cells, precision, scale)
    whole = precision - scale
    digits = np.concatenate([_digits(value, width) for width, value in groups], axis=1)
    before = digits[:, :whole] if whole else np.full((len(cells), 1), ord("0"), np.uint8)
    kept = np.maximum.accumulate(before != ord("0"), axis=1)
    kept[:, -1] = True
    parts = [_same(cells, b"-"), before]
    keeps = [negative[:, None], kept]
    if scale:
        parts += [_same(cells, b"."), digits[:, whole:]]
        keeps.append(np.ones((len(cells), 1 + scale), np.bool_))
    texts = _texts(cells, parts, np.concatenate(keeps, axis=1))
    return texts if precision > 38 else texts.cast(pa.decimal128(precision, scale))


def _digits(values: Numbers, width: int) -> Bytes:
    """Write numbers as decimal digits, with leading zeros."""
    rest = values
    written = np.empty((len(values), width), np.uint8)
    for place in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        written[:, place] = digit + ord("0")
    return written


def _same(cells: Cells, text: bytes) -> Bytes:
    return np.broadcast_to(np.frombuffer(text, np.uint8), (len(cells), len(text)))


def _texts(cells: Cells, parts: Sequence[Bytes], keep: npt.NDArray[np.bool_] | None = None) -> Array:
    """Join parts of fixed width to one text for each cell; `keep` chooses among their characters."""
    letters = np.concatenate(parts, axis=1)
    lengths = np.full(len(cells), letters.shape[1]) if keep is None else keep.sum(axis=1)
    offsets = np.zeros(len(cells) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    valid = pa.array(~cells.null).buffers()[1]
    joined = np.ascontiguousarray(letters) if keep is None else letters[keep]
    return pa.Array.from_buffers(pa.string(), len(cells), [valid, pa.py_buffer(offsets.data), pa.py_buffer(joined.data)])


def _day(cells: Cells, year: Numbers, month: Numbers, day: Numbers) -> list[Bytes]:
    dash = _same(cells, b"-")
    return [_digits(year, 4), dash, _digits(month, 2), dash, _digits(day, 2)]


def _clock(cells: Cells, hour: Numbers, minute: Numbers, second: Numbers, width: int = 2) -> list[Bytes]:
    colon = _same(cells, b":")
    return [_digits(hour, width), colon, _digits(minute, 2), colon, _digits(second, 2)]


def _fraction(cells: Cells, value: Numbers, places: int) -> list[Bytes]:
    """Write a fraction of `places` digits, which lies in the log as an even number of them."""
    if not places:
        return []
    return [_same(cells, b"."), _digits(value // 10 if places & 1 else value, places)]


def _date(cells: Cells, _: Cell, __: Column) -> Array:
    packed = np.where(cells.null, 0, cells.little(3).astype(np.int64))
    return _texts(cells, _day(cells, packed >> 9, packed >> 5 & 15, packed & 31))


def _datetime(cells: Cells, cell: Cell, _: Column) -> Array:
    places = cell.first
    width = (places + 1) // 2
    packed = np.where(cells.null, 0, cells.big(5).astype(np.int64) - (1 << 39))
    day, clock = packed >> 17, packed & 0x1FFFF
    months = day >> 5
    parts = _day(cells, months // 13, months % 13, day & 31)
    parts += [_same(cells, b" "), *_clock(cells, clock >> 12, clock >> 6 & 63, clock & 63)]
    return _texts(cells, parts + _fraction(cells, cells.big(width, 5).astype(np.int64) if width else packed, places))


def _timestamp(cells: Cells, cell: Cell, _: Column) -> Array:
    places = cell.first
    width = (places + 1) // 2
    seconds = np.where(cells.null, 0, cells.big(4).astype(np.int64))
    fraction = cells.big(width, 4).astype(np.int64) if width else np.zeros(len(cells), np.int64)
    zero = (seconds == 0) & (fraction == 0)
    days = seconds // 86400
    moment = days.astype("datetime64[D]")
    years, months = moment.astype("datetime64[Y]"), moment.astype("datetime64[M]")
    year, month = years.astype(np.int64) + 1970, (months - years).astype(np.int64) + 1
    day = (moment - months).astype(np.int64) + 1
    parts = _day(cells, *(np.where(zero, 0, part) for part in (year, month, day)))
    clock = seconds % 86400
    parts += [_same(cells, b" "), *_clock(cells, clock // 3600, clock // 60 % 60, clock % 60)]
    parts += [*_fraction(cells, fraction, places), _same(cells, b"+00:00")]
    # The zero timestamp is no instant, and no offset is written after it.
    keep = np.ones((len(cells), sum(part.shape[1] for part in parts)), np.bool_)
    keep[:, -6:] = ~zero[:, None]
    return _texts(cells, parts, keep)


def _time(cells: Cells, cell: Cell, _: Column) -> Array:
    places = cell.first
    width = (places + 1) // 2
    packed = np.where(cells.null, 0, cells.big(3 + width).astype(np.int64) - (1 << (8 * (3 + width) - 1)))
    size = np.abs(packed)
    clock = size >> 8 * width
    hour = clock >> 12 & 0x3FF
    parts = [
        _same(cells, b"-"),
        *_clock(cells, hour, clock >> 6 & 63, clock & 63, 3),
        *_fraction(cells, size & (1 << 8 * width) - 1, places),
    ]
    keep = np.ones((len(cells), sum(part.shape[1] for part in parts)), np.bool_)
    keep[:, 0], keep[:, 1] = packed < 0, hour >= 100
    return _texts(cells, parts, keep)


_DECODERS: dict[Wire, Callable[[Cells, Cell, Column], Array]] = {
    **dict.fromkeys((Wire.TINY, Wire.SHORT, Wire.INT24, Wire.LONG, Wire.LONGLONG), _integer),
    **dict.fromkeys((Wire.FLOAT, Wire.DOUBLE), _floating),
    **dict.fromkeys((Wire.DATE, Wire.NEWDATE), _date),
    Wire.NEWDECIMAL: _decimal,
    Wire.DATETIME2: _datetime,
    Wire.TIMESTAMP2: _timestamp,
    Wire.TIME2: _time,
    Wire.YEAR: _year,
    Wire.BIT: _bits,
    Wire.ENUM: _enum,
    Wire.SET: _set,
}
