"""Turn the rows of a binary COPY into Arrow, a column at a time and no value by itself.

A column is decoded as the type that it promises. Where one of its values is none of that type (`infinity`, `NaN`, a date before the
year 1), the column comes as PostgreSQL's own text in that batch, and the conversion on the way in decides.

Source: PostgreSQL documentation, "COPY", "Binary Format"; the send functions of each type in `src/backend/utils/adt`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limnos.sources.postgres import decimals, native, oddities
from limnos.sources.postgres.cells import Array, Cells, Kind, Rows, buffer
from limnos.sources.postgres.columns import Carrier
from limnos.sources.postgres.refusals import garbled
from limnos.sources.postgres.wire import PADDING_BYTES

_Decode: TypeAlias = Callable[[Cells, Kind], Array]

_EPOCH_DAYS = 10_957
_EPOCH_US = 946_684_800_000_000
_DAY_US = 86_400_000_000
# Days since 2000-01-01 of 0001-01-01 and of 9999-12-31.
_FIRST_DAY, _LAST_DAY = -730_119, 2_921_939
_LENGTH_BYTES, _MOST_BYTES = 4, 2**31 - 1


def decode(rows: Rows, carriers: Sequence[Carrier], library: ctypes.CDLL | None = None) -> pa.RecordBatch:
    """Give one batch of what a COPY of these carriers sent; with compiled code or without it, the batch is the same.

    Raises:
        psycopg.errors.ProtocolViolation: If these are no such rows.
    """
    if rows.ends.max(initial=0) > _MOST_BYTES:
        raise garbled()
    if library:
        arrays = native.arrays(library, rows, carriers, lambda places, carrier: _column(_cells(rows, places, carrier), carrier))
    else:
        arrays = _portable(rows, carriers)
    return pa.RecordBatch.from_arrays(arrays, names=[carrier.name for carrier in carriers])


def _portable(rows: Rows, carriers: Sequence[Carrier]) -> list[Array]:
    at = rows.starts
    _prove((at <= rows.ends) & (Cells.at(rows.buffer, at - 2, 0).values(">i2", -_LENGTH_BYTES) == len(carriers)))
    arrays: list[Array] = []
    while len(arrays) < len(carriers):
        _prove(at + _LENGTH_BYTES <= rows.ends)
        found = _next(rows, at, carriers[len(arrays) :])
        at = found[-1].ends
        _prove(at <= rows.ends)
        arrays += [_column(cells, carrier) for cells, carrier in zip(found, carriers[len(arrays) :], strict=False)]
    _prove(at == rows.ends)
    return arrays


def _column(cells: Cells, carrier: Carrier) -> Array:
    if width := _WIDTHS.get(carrier.wire):
        _prove((cells.lengths == width) if cells.nulls is None else (cells.lengths == width) | cells.nulls)
    return _DECODERS[carrier.wire](cells, carrier.type)


def _prove(fact: NDArray[np.bool_]) -> None:
    if not fact.all():
        raise garbled()


def _next(rows: Rows, at: NDArray[np.int64], carriers: Sequence[Carrier]) -> Sequence[Cells]:
    """Find the cells of the next columns: of all of a known width if each value has it, else of one.

    A char(n) has that many bytes as long as its characters are of ASCII.
    """
    widths: list[int] = []
    for carrier in carriers:
        width = _WIDTHS.get(carrier.wire, carrier.characters)
        if not width or sum(widths) + width > _SIDE_BY_SIDE_BYTES or len(widths) == _SIDE_BY_SIDE:
            break
        widths.append(width)
    if len(widths) > 1 and (found := Cells.side_by_side(rows.buffer, at, widths)):
        return found
    return (_cells(rows, at, carriers[0]),)


def _cells(rows: Rows, at: NDArray[np.int64], carrier: Carrier) -> Cells:
    width = decimals.width(carrier.type) if carrier.wire == "numeric" else _WIDTHS.get(carrier.wire, 0)
    return Cells.at(rows.buffer, at, width)


def _fixed(wire: str) -> _Decode:
    def decode(cells: Cells, kind: Kind) -> Array:
        return cells.array(cells.values(wire), kind)

    return decode


def _boolean(cells: Cells, kind: Kind) -> Array:
    return cells.array(cells.values("u1") != 0, kind)


def _days(cells: Cells, kind: Kind) -> Array:
    days = cells.values(">i4")
    odd = cells.present((days < _FIRST_DAY) | (days > _LAST_DAY))
    known = cells.array(days + np.int32(_EPOCH_DAYS), kind)
    return known if odd is None else oddities.texts(known, days, odd, oddities.date)


def _clock(cells: Cells, kind: Kind) -> Array:
    times = cells.values(">i8")
    odd = cells.present(times >= _DAY_US)
    known = cells.array(times, kind)
    return known if odd is None else oddities.texts(known, times, odd, oddities.time)


def _instants(cells: Cells, kind: Kind) -> Array:
    instants = cells.values(">i8")
    odd = cells.present((instants < _FIRST_DAY * _DAY_US) | (instants >= (_LAST_DAY + 1) * _DAY_US))
    known = cells.array(instants + _EPOCH_US, kind)
    if odd is None:
        return known
    return oddities.texts(known, instants, odd, oddities.timestamptz if kind.tz else oddities.timestamp)


def _uuid(cells: Cells, kind: Kind) -> Array:
    raw: NDArray[np.void] = cells.values("V16")
    stored = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(raw), [cells.validity, buffer(raw)])
    return pa.ExtensionArray.from_storage(kind, stored)


def _bytes(cells: Cells, kind: Kind) -> Array:
    return cells.slices(kind)


_WIDTHS: Mapping[str, int] = {
    "bool": 1,
    "int2": 2,
    "int4": 4,
    "int8": 8,
    "oid": 4,
    "float4": 4,
    "float8": 8,
    "date": 4,
    "time": 8,
    "timestamp": 8,
    "timestamptz": 8,
    "uuid": 16,
}
# With their lengths, no more than stands behind the last value of a buffer.
_SIDE_BY_SIDE, _SIDE_BY_SIDE_BYTES = 8, PADDING_BYTES - 8 * 4
_DECODERS: Mapping[str, _Decode] = {
    "bool": _boolean,
    "int2": _fixed(">i2"),
    "int4": _fixed(">i4"),
    "int8": _fixed(">i8"),
    "oid": _fixed(">u4"),
    "float4": _fixed(">f4"),
    "float8": _fixed(">f8"),
    "numeric": decimals.decode,
    "date": _days,
    "time": _clock,
    "timestamp": _instants,
    "timestamptz": _instants,
    "uuid": _uuid,
    "text": _bytes,
    "varchar": _bytes,
    "bpchar": _bytes,
    "bytea": _bytes,
}
