"""Messages are told apart by many walks at once, and come out as by one."""

from __future__ import annotations

import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnos.sources.postgres.wire import PADDING_BYTES, row_of, walk

COLUMNS = struct.pack(">h", 3)
# What looks like the begin of a row, inside of one, with a length that leads to the end of nothing or to another such place.
FAKES = [b"d" + struct.pack(">i", length) + COLUMNS for length in (4, 6, 13, 14, 300, 70_000, 2**22 - 1)]


def _message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack(">i", len(payload) + 4) + payload


def _one_by_one(sent: bytes, filled: int) -> tuple[list[int], int]:
    places, at = [], 0
    while at + 5 <= filled:
        end = at + 1 + struct.unpack_from(">i", sent, at + 1)[0]
        if end > filled:
            break
        places.append(at)
        at = end
    return places, at


PIECES = [*FAKES, b"x" * 9_000]
# Rows and messages of other kinds: the kind, and what is in it, where a number stands for one of the pieces.
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([b"d", b"d", b"d", b"N", b"C"]), st.lists(st.binary(max_size=40) | st.integers(0, len(PIECES) - 1), max_size=4)
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(MESSAGES, st.integers(0, 60), st.sampled_from([COLUMNS, b"\0\7", None]))
def test_the_places_are_those_of_one_walk(messages: list[tuple[bytes, list[bytes | int]]], lost: int, columns: bytes | None) -> None:
    sent = b"".join(
        _message(kind, COLUMNS + b"".join(PIECES[part] if isinstance(part, int) else part for part in parts)) for kind, parts in messages
    )
    sent *= 120_000 // len(sent) + 1
    filled = len(sent) - lost
    places, at = walk(bytearray(sent + bytes(PADDING_BYTES)), filled, row_of(columns) if columns else None)
    assert (places.tolist(), at) == _one_by_one(sent, filled)


@pytest.mark.parametrize("columns", [1, 10, 46, 93, 1600])
def test_a_row_begins_as_it_is_looked_for(columns: int) -> None:
    count = struct.pack(">h", columns)
    row: re.Pattern[bytes] = row_of(count)
    assert row.match(_message(b"d", count + bytes(4 * columns)))
    assert not row.match(_message(b"d", struct.pack(">h", columns + 1) + bytes(4 * columns)))
