"""Make Arrow arrays of the cells of a block, exactly and without a Python object per cell.

Digits are read eight at a time: one unaligned load of 64 bits per cell, and a few multiplications for whole vectors of them.
"""

from __future__ import annotations

from ctypes import CDLL
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from limnos.sources.mysql import native
from limnos.sources.mysql.native import TORN, Form, form_of
from limnos.sources.mysql.wire import Block, Places

Array: TypeAlias = "pa.Array[Any]"
Flags: TypeAlias = NDArray[np.bool_]
Words: TypeAlias = NDArray[np.uint64]

_ZEROS, _HIGH, _SIX = np.uint64(0x3030303030303030), np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x0606060606060606)
_KEEP = np.array([0 if n == 0 else (2**64 - 1) >> (8 * (8 - n)) << (8 * (8 - n)) for n in range(9)], np.uint64)
_POWERS = 10 ** np.arange(20, dtype=np.uint64)
_SPACE, _MINUS, _POINT, _DASH = 0x20, 0x2D, 0x2E, np.uint64(0x2D)
_MOST = np.uint64(2**63 - 1)
_US_PER_S = 1_000_000
# The stubs know neither an array with a scalar nor one of any type.
_compute: Any = pc


class NotOfType(Exception):
    """Say that some cell has no value of the type that was asked for."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Hold the non-null cells of one column of a block: where they begin, how long they are; `null` flags the rows that have none.

    `null` is None where every row has one.
    """

    data: NDArray[np.uint8]
    begins: Places
    lengths: Places
    null: Flags | None

    @property
    def words(self) -> Words:
        """The eight bytes from each byte on, first byte lowest."""
        return np.ndarray((len(self.data) - 7,), np.dtype("<u8"), self.data, 0, (1,))


def batch(block: Block, schema: pa.Schema, kinds: tuple[pa.DataType, ...], library: CDLL | None) -> pa.RecordBatch:
    """Make one record batch; a column of days or instants that are not all in the calendar comes as the text that `schema` announces.

    Raises:
        pa.ArrowInvalid: If a cell is not of its type, or not in UTF-8.
    """
    arrays = compiled(library, block, kinds) if library else portable(block, kinds)
    fields = [pa.field(field.name, array.type) for field, array in zip(schema, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def compiled(library: CDLL, block: Block, kinds: tuple[pa.DataType, ...]) -> list[Array]:
    """Decode all columns with compiled code."""
    read = native.arrays(library, block.data, block.rows, block.ends, kinds)
    return [array if form else _text(array, kind) for (form, array), kind in zip(read, kinds, strict=True)]


def portable(block: Block, kinds: tuple[pa.DataType, ...]) -> list[Array]:
    """Decode all columns with NumPy."""
    places = block.rows
    arrays: list[Array] = []
    for kind in kinds:
        if (places >= block.ends).any():
            raise pa.ArrowInvalid(TORN)
        begins, lengths, null = block.cells(places)
        places = begins + lengths
        if (lengths < 0).any() or (places > block.ends).any():
            raise pa.ArrowInvalid(TORN)
        arrays.append(_array(block.data, begins, lengths, null, kind))
    if (places != block.ends).any():
        raise pa.ArrowInvalid(TORN)
    return arrays


def _array(data: NDArray[np.uint8], begins: Places, lengths: Places, null: Flags | None, kind: pa.DataType) -> Array:
    cells = Cells(data, begins, lengths, null) if null is None else Cells(data, begins[~null], lengths[~null], null)
    form = form_of(kind)
    try:
        if form in {Form.INT32, Form.INT64}:
            return _whole(cells, kind)
        if form is Form.DECIMAL:
            return _decimal(cells, kind)
        if form is Form.DAY:
            return _spread(cells, _days(cells, 10, 10).astype(np.int32), kind)
        if form is Form.INSTANT:
            return _spread(cells, _instants(cells), kind)
    except NotOfType:
        pass
    return _text(_gather(cells), kind)


def _spread(cells: Cells, values: NDArray[Any], kind: pa.DataType, *, width: int = 1) -> Array:
    """Put the values of the non-null cells into their rows."""
    if cells.null is None:
        return pa.Array.from_buffers(kind, len(values) // width, [None, _buffer(values)])
    rows = len(cells.null)
    whole = np.zeros((rows, width), values.dtype)
    whole[~cells.null] = values.reshape(-1, width)
    valid = np.packbits(~cells.null, bitorder="little")
    return pa.Array.from_buffers(kind, rows, [_buffer(valid), _buffer(whole)])


def _buffer(values: NDArray[Any]) -> pa.Buffer:
    vector: Any = np.ascontiguousarray(values)
    return pa.py_buffer(vector)


def _eight(words: Words) -> Words:
    """Read eight digits each.

    Source: D. Lemire, "Quickly parsing eight digits" (2018).
    """
    if (((words & _HIGH) | (((words + _SIX) & _HIGH) >> np.uint64(4))) != np.uint64(0x3333333333333333)).any():
        raise NotOfType
    words = words - _ZEROS
    words = words * np.uint64(10) + (words >> np.uint64(8))
    low = np.uint64(0x000000FF000000FF)
    return ((words & low) * np.uint64(0x000F424000000064) + ((words >> np.uint64(16)) & low) * np.uint64(0x0000271000000001)) >> np.uint64(
        32
    )


def _digits(cells: Cells, ends: Places, lengths: Places) -> Words:
    """Read up to 19 digits that end at `ends`."""
    longest = int(lengths.max(initial=0))
    if longest > 19:
        raise NotOfType
    if longest <= 8:
        return _last_eight(cells, ends, _KEEP[lengths])
    total = _last_eight(cells, ends, _KEEP[np.minimum(lengths, 8)])
    for at in range(8, longest, 8):
        total += _last_eight(cells, np.maximum(ends - at, 8), _KEEP[np.clip(lengths - at, 0, 8)]) * _POWERS[at]
    return total


def _last_eight(cells: Cells, ends: Places, keep: Words | np.uint64) -> Words:
    """Read the digits before `ends` that `keep` has bits for."""
    return _eight(((cells.words[ends - 8] ^ _ZEROS) & keep) ^ _ZEROS)


def _magnitudes(cells: Cells) -> tuple[Flags, Places]:
    """Give which cells have a sign, and how long they are without it."""
    minus = cells.data[cells.begins] == _MINUS
    lengths = cells.lengths - minus
    if (lengths < 1).any():
        raise NotOfType
    return minus, lengths


def _whole(cells: Cells, kind: pa.DataType) -> Array:
    minus, lengths = _magnitudes(cells)
    magnitudes = _digits(cells, cells.begins + cells.lengths, lengths)
    if (magnitudes > _MOST + minus).any():
        raise NotOfType
    values = magnitudes.view(np.int64)
    np.negative(values, out=values, where=minus)
    if pa.types.is_int32(kind):
        narrow = values.astype(np.int32)
        if (narrow != values).any():
            raise NotOfType
        return _spread(cells, narrow, kind)
    return _spread(cells, values, kind)


def _decimal(cells: Cells, kind: pa.DataType) -> Array:
    scale = int(cast("pa.Decimal128Type[Any, Any]", kind).scale)
    minus, lengths = _magnitudes(cells)
    ends = cells.begins + cells.lengths
    if scale:
        if (lengths < scale + 2).any() or (lengths > 20).any() or (cells.data[ends - scale - 1] != _POINT).any():
            raise NotOfType
        values = _digits(cells, ends - scale - 1, lengths - scale - 1) * _POWERS[scale]
        values += _last_eight(cells, ends, _KEEP[scale]) if scale <= 8 else _digits(cells, ends, np.full(len(ends), scale))
    else:
        values = _digits(cells, ends, lengths)
    pair = np.zeros((len(values), 2), np.uint64)
    pair[:, 0] = values
    signed = pair.view(np.int64)
    if minus.any():
        # Two's complement over both halves.
        signed[minus, 0] = -signed[minus, 0]
        signed[minus, 1] = np.where(signed[minus, 0] == 0, 0, -1)
    return _spread(cells, pair.reshape(-1), kind, width=2)


def _month_starts() -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Tabulate, by year times 100 plus month, the day before its first since 1970, and how many days it has (0 for no month)."""
    years = np.arange(1, 10000)
    months = (years[:, None] * 100 + np.arange(1, 13)).reshape(-1)
    starts = np.arange(np.datetime64("0001-01"), np.datetime64("10000-01"), dtype="datetime64[M]").astype("datetime64[D]").astype(np.int64)
    lengths = np.diff(np.append(starts, np.datetime64("10000-01-01").astype(np.int64)))
    before, days = np.zeros(1_000_000, np.int32), np.zeros(1_000_000, np.uint8)
    before[months], days[months] = starts - 1, lengths
    return before, days


_BEFORE, _DAYS = _month_starts()


def _days(cells: Cells, least: int, most: int) -> NDArray[np.int64]:
    if ((cells.lengths < least) | (cells.lengths > most)).any():
        raise NotOfType
    first, second = cells.words[cells.begins], cells.words[cells.begins + 2]
    byte, two = np.uint64(0xFF), np.uint64(0xFFFF)
    if (((first >> np.uint64(32)) & byte) != _DASH).any() or ((first >> np.uint64(56)) != _DASH).any():
        raise NotOfType
    year_month_day = (
        (first & np.uint64(0xFFFFFFFF))
        | (((second >> np.uint64(24)) & two) << np.uint64(32))
        | ((second >> np.uint64(48)) << np.uint64(48))
    )
    numbers = _eight(year_month_day).view(np.int64)
    months = numbers // 100
    day = numbers - months * 100
    if ((day < 1) | (day > _DAYS[months])).any():
        raise NotOfType
    days: NDArray[np.int64] = _BEFORE[months] + day
    return days


def _instants(cells: Cells) -> NDArray[np.int64]:
    days = _days(cells, 19, 26)
    if (cells.data[cells.begins + 10] != _SPACE).any():
        raise NotOfType
    two = np.uint64(0xFFFF)
    clock = cells.words[cells.begins + 11]
    colons = np.uint64(0x0000FF0000FF0000)
    if ((clock & colons) != np.uint64(0x00003A00003A0000)).any():
        raise NotOfType
    packed = (
        (clock & two)
        | (((clock >> np.uint64(24)) & two) << np.uint64(16))
        | (((clock >> np.uint64(48)) & two) << np.uint64(32))
        | (np.uint64(0x3030) << np.uint64(48))
    )
    numbers = _eight(packed).view(np.int64) // 100
    hours, minutes, seconds = numbers // 10000, numbers // 100 % 100, numbers % 100
    if ((hours > 23) | (minutes > 59) | (seconds > 59)).any():
        raise NotOfType
    fraction = cells.lengths - 20
    if ((fraction == 0) | ((fraction > 0) & (cells.data[cells.begins + 19] != _POINT))).any():
        raise NotOfType
    fraction = np.maximum(fraction, 0)
    micros = _digits(cells, cells.begins + cells.lengths, fraction).view(np.int64) * _POWERS.view(np.int64)[6 - fraction]
    instants: NDArray[np.int64] = (days * 86400 + hours * 3600 + minutes * 60 + seconds) * _US_PER_S + micros
    return instants


def _text(raw: Array, kind: pa.DataType) -> Array:
    """Convert what was taken as bytes; of a day or an instant, it was not in the calendar, and its column stays text."""
    if pa.types.is_binary(kind):
        return raw
    text = raw.cast(pa.string())
    if pa.types.is_timestamp(kind) and kind.tz:
        zoned: Array = _compute.if_else(_compute.starts_with(text, "0000"), text, _compute.binary_join_element_wise(text, "+00:00", ""))
        return zoned
    if pa.types.is_string(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return text
    if kind == pa.uuid():
        return pa.ExtensionArray.from_storage(pa.uuid(), _uuids(text))
    return text.cast(kind)


def _uuids(text: Array) -> Array:
    plain = pc.replace_substring(text, "-", "")
    found = [None if value is None else bytes.fromhex(value) for value in plain.to_pylist()]
    return pa.array(found, pa.binary(16))


def _gather(cells: Cells) -> Array:
    """Take the cells out of one array over the whole block, in which cells and the gaps between them alternate."""
    count = len(cells.begins)
    offsets = np.empty(2 * count + 1, np.int32)
    offsets[0:-1:2] = cells.begins
    offsets[1::2] = cells.begins + cells.lengths
    offsets[-1] = offsets[-2] if count else 0
    whole = pa.Array.from_buffers(pa.binary(), 2 * count, [None, _buffer(offsets), _buffer(cells.data)])
    if cells.null is None:
        return _taken(whole, np.arange(0, 2 * count, 2), None)
    rows = np.zeros(len(cells.null), np.int64)
    rows[~cells.null] = np.arange(0, 2 * count, 2)
    return _taken(whole, rows, cells.null)


def _taken(whole: Array, places: Places, null: Flags | None) -> Array:
    taken: Array = _compute.take(whole, pa.array(places, mask=null))
    return taken
