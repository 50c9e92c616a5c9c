"""Turn PostgreSQL's numerics, digits to the base 10,000, into Arrow's decimals.

Source: PostgreSQL source, `numeric_send` in `src/backend/utils/adt/numeric.c`.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limnos.sources.postgres.cells import Array, Cells, Kind, buffer
from limnos.sources.postgres.refusals import garbled

_Ints: TypeAlias = NDArray[np.int32]
_Limb: TypeAlias = NDArray[np.uint64]
_Odd: TypeAlias = NDArray[np.bool_]

_BASE, _GROUP = 10_000, 4
_HEAD = Struct(">hhHH")
_NEGATIVE = 0x4000
_SPECIAL = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
_SIGNS = (0, _NEGATIVE, *_SPECIAL)
# What fits 64 bits together with the three digits that may fill up its last group.
_SHORT = 15
_POWERS = _BASE ** np.arange(5, dtype=np.int64)
_LIMBS = 5
_BITS, _MASK = np.uint64(32), np.uint64(0xFFFFFFFF)


def decode(cells: Cells, kind: Kind) -> Array:
    """Decode a numeric(p,s); a column with a value that is no such decimal comes as text."""
    count, weight, sign = cells.values(">u2").astype(np.int32), cells.values(">i2", 2).astype(np.int32), cells.values(">u2", 4)
    _prove(cells, kind, count, sign)
    groups = -(-kind.scale // _GROUP)
    # The power of the base that the last group stands for, in units of the scale filled up to whole groups.
    last = weight - count + 1 + groups
    odd = (((last < 0) | _too_large(cells, kind, weight)) & (count > 0)) | (sign > _NEGATIVE)
    if kind.precision <= _SHORT:
        known, wrong = _short(cells, kind, count, last, sign != 0, groups)
    else:
        known, wrong = _long(cells, kind, count, last, sign != 0, groups)
    found = cells.present(odd | wrong)
    return known if found is None else _texts(cells, known, found)


def _prove(cells: Cells, kind: Kind, count: _Ints, sign: NDArray[np.uint16]) -> None:
    """Refuse what has not the length or the sign of a numeric, or digits that are not of the base."""
    there = np.full(len(count), fill_value=True) if cells.nulls is None else ~cells.nulls
    wrong = (cells.lengths != _HEAD.size + 2 * count) | ~np.isin(sign, _SIGNS)
    most = _most(kind, -(-kind.scale // _GROUP))
    for place in range(min(int(count.max(initial=0)), most)):
        wrong |= (cells.values(">u2", _HEAD.size + 2 * place) >= _BASE) & (count > place)
    if (wrong & there).any():
        raise garbled()
    for at in np.flatnonzero((count > most) & there).tolist():
        digits = np.frombuffer(cells.buffer, ">u2", int(count[at]), int(cells.places[at]) + _HEAD.size)
        if (digits >= _BASE).any():
            raise garbled()


def width(kind: Kind) -> int:
    """How many bytes a numeric(p,s) takes at most."""
    return _HEAD.size + 2 * _most(kind, -(-kind.scale // _GROUP))


def _too_large(cells: Cells, kind: Kind, weight: _Ints) -> _Odd:
    """Tell which values have more digits before the point than the type."""
    digits = kind.precision - kind.scale
    top = -(-digits // _GROUP) - 1
    large: _Odd = (weight > top) | ((weight == top) & (cells.values(">i2", _HEAD.size) >= 10 ** (digits - _GROUP * top)))
    return large


def _most(kind: Kind, groups: int) -> int:
    """How many groups a value of the type may have, fraction included."""
    most: int = groups - (-(kind.precision - kind.scale) // _GROUP)
    return most


def _short(cells: Cells, kind: Kind, count: _Ints, last: _Ints, negative: _Odd, groups: int) -> tuple[Array, _Odd]:
    """Decode what 64 bits hold."""
    most = _most(kind, groups)
    value = np.zeros(len(count), np.int64)
    everywhere = int(count.min(initial=0))
    for place in range(min(int(count.max(initial=0)), most)):
        longer = value * _BASE
        longer += cells.values(">i2", _HEAD.size + 2 * place)
        value = longer if place < everywhere else np.where(count > place, longer, value)
    value *= _POWERS[np.clip(last, 0, most - 1)]
    spare = 10 ** (groups * _GROUP - kind.scale)
    whole = value // spare
    wrong = whole * spare != value
    if negative.any():
        whole = np.where(negative, -whole, whole)
    limbs = np.empty((len(whole), 2), np.int64)
    limbs[:, 0], limbs[:, 1] = whole, whole >> 63
    return pa.Array.from_buffers(kind, len(whole), [cells.validity, buffer(limbs)]), wrong


def _long(cells: Cells, kind: Kind, count: _Ints, last: _Ints, negative: _Odd, groups: int) -> tuple[Array, _Odd]:
    """Decode up to 38 digits in limbs of 32 bits, the lowest first."""
    most = _most(kind, groups)
    limbs = [np.zeros(len(count), np.uint64) for _ in range(_LIMBS)]
    for place in range(min(int(count.max(initial=0)), most)):
        digit = cells.values(">i2", _HEAD.size + 2 * place).astype(np.uint64)
        _grow(limbs, count > place, digit)
    for power in range(min(int(last.max(initial=0)), most)):
        _grow(limbs, last > power, np.zeros(len(count), np.uint64))
    wrong = _shrink(limbs, 10 ** (groups * _GROUP - kind.scale))
    low, high = limbs[0] | limbs[1] << _BITS, limbs[2] | limbs[3] << _BITS
    halves = np.empty((len(count), 2), np.uint64)
    halves[:, 0] = np.where(negative, ~low + np.uint64(1), low)
    halves[:, 1] = np.where(negative, ~high + (low == 0), high)
    return pa.Array.from_buffers(kind, len(count), [cells.validity, buffer(halves)]), wrong


def _grow(limbs: list[_Limb], where: _Odd, digit: _Limb) -> None:
    """Shift by one group and add a digit, in the rows that have one more."""
    factor, carry = np.where(where, _BASE, 1).astype(np.uint64), np.where(where, digit, 0).astype(np.uint64)
    for at, limb in enumerate(limbs):
        product = limb * factor + carry
        limbs[at], carry = product & _MASK, product >> _BITS


def _shrink(limbs: list[_Limb], divisor: int) -> _Odd:
    """Divide, and tell where something remains."""
    rest = np.zeros(len(limbs[0]), np.uint64)
    for at in reversed(range(len(limbs))):
        limbs[at], rest = np.divmod(rest << _BITS | limbs[at], np.uint64(divisor))
    remains: _Odd = rest != 0
    return remains


def _texts(cells: Cells, known: Array, odd: _Odd) -> Array:
    """Write a whole column as text, the odd values digit by digit."""
    found = [None if value is None else f"{value:f}" for value in known.to_pylist()]
    for at in np.flatnonzero(odd).tolist():
        place = int(cells.places[at])
        found[at] = text(cells.buffer[place : place + int(cells.lengths[at])].tobytes())
    return pa.array(found, pa.string())


def text(wire: bytes) -> str:
    """Write one numeric as PostgreSQL does.

    Examples:
        >>> text(bytes.fromhex("0002 0000 4000 0003 0001 09c4")), text(bytes.fromhex("0000 0000 c000 0000"))
        ('-1.250', 'NaN')
    """
    count, weight, sign, scale = _HEAD.unpack_from(wire)
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    digits = struct.unpack_from(f">{count}h", wire, _HEAD.size)
    below = max(count - 1 - weight, 0)
    number = sum(digit * _BASE ** (weight - at + below) for at, digit in enumerate(digits))
    shift = _GROUP * below - scale
    number = number // 10**shift if shift > 0 else number * 10**-shift
    whole = str(number).rjust(scale + 1, "0")
    written = f"{whole[:-scale]}.{whole[-scale:]}" if scale else whole
    return f"-{written}" if sign else written
