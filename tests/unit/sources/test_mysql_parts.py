"""Ranges of a key: no number is in none of them, or in two."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pymysql", reason="the extra mysql is not installed")
from limnos.sources.mysql.parts import Parts, bounds

NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(least=NUMBERS, size=st.integers(0, 2**62), wanted=st.integers(1, 40), near=st.integers(-3, 3), other=NUMBERS)
def test_each_number_is_in_exactly_one_range(least: int, size: int, wanted: int, near: int, other: int) -> None:
    greatest = min(least + size, 2**63 - 1)
    divided = Parts("k", bounds(least, greatest, wanted))
    numbers = {least, greatest, other, *(bound + near for bound in divided.bounds), *divided.bounds}
    with closing(sqlite3.connect(":memory:")) as there:
        there.execute("CREATE TABLE t (k INTEGER)")
        there.executemany("INSERT INTO t VALUES (?)", [(number,) for number in numbers if -(2**63) <= number < 2**63])
        for parts in (divided.ranges, divided.halves):
            found = [number for part in parts for (number,) in there.execute(f"SELECT k FROM t{part}")]
            assert sorted(found) == sorted(number for number in numbers if -(2**63) <= number < 2**63)
