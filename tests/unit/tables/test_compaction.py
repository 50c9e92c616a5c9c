from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.model.data import LiveFile
from limnos.tables.compaction import choose

MIB = 1024 * 1024


def file(at: int, size_bytes: int, *, gone: int = 0, partition: str = "") -> LiveFile:
    return LiveFile(f"{at:06}.parquet", rows=1000, size_bytes=size_bytes, gone=gone, partition=partition)


files = st.lists(
    st.builds(
        LiveFile,
        path=st.uuids().map(str),
        rows=st.integers(1, 1000),
        size_bytes=st.integers(1, 2**40),
        gone=st.integers(0, 1000),
        partition=st.sampled_from(["", "a", "b"]),
    ).filter(lambda one: one.gone <= one.rows),
    unique_by=lambda one: one.path,
)


@given(files)
def test_groups_are_of_one_partition_and_hold_a_file_once(found: list[LiveFile]) -> None:
    groups = choose(found)
    assert all(len({one.partition for one in group}) == 1 for group in groups)
    assert all(len(group) > 1 or group[0].gone for group in groups)
    assert set(Counter(one.path for group in groups for one in group).values()) <= {1}
    assert {one for group in groups for one in group} <= set(found)


@given(files)
def test_files_with_a_fifth_of_their_rows_gone_always_go(found: list[LiveFile]) -> None:
    chosen = {one for group in choose(found) for one in group}
    assert {one for one in found if one.gone and one.gone * 5 >= one.rows} <= chosen


@pytest.mark.parametrize("size_bytes", [1, 700_000, 3 * MIB, 200 * MIB])
def test_four_files_of_a_size_class_go_and_three_stay(size_bytes: int) -> None:
    four = [file(at, size_bytes) for at in range(4)]
    assert {one for group in choose(four) for one in group} == set(four)
    assert choose(four[:3]) == ()


def test_large_files_stay() -> None:
    assert choose([file(at, 300 * MIB) for at in range(40)]) == ()


def test_files_of_different_partitions_do_not_make_up_a_group() -> None:
    assert choose([file(at, 1000, partition=str(at % 3)) for at in range(9)]) == ()
    assert len(choose([file(at, 1000, partition=str(at % 3)) for at in range(12)])) == 3


def test_a_group_is_no_larger_than_a_file_is_to_be() -> None:
    groups = choose([file(at, 200 * MIB) for at in range(6)], target_bytes=512 * MIB)
    assert [len(group) for group in groups] == [2, 2, 2]


@pytest.mark.parametrize("size_bytes", [10_000, 2 * MIB])
def test_a_table_of_many_small_changes_is_written_a_logarithm_of_times(size_bytes: int) -> None:
    there: list[LiveFile] = []
    written, most, changes = 0, 0, 400
    for at in range(changes):
        there.append(file(at, size_bytes))
        for n, group in enumerate(choose(there)):
            merged = sum(one.size_bytes for one in group)
            written += merged
            there = [one for one in there if one not in group]
            there.append(file(1_000_000 + at * 10 + n, merged))
        most = max(most, len(there))
    levels = math.log(max(changes * size_bytes / MIB, 1), 4) + 2
    assert sum(one.size_bytes for one in there) == changes * size_bytes
    assert most <= 4 * levels
    assert written <= levels * changes * size_bytes + 100 * size_bytes * changes * (size_bytes < MIB)
