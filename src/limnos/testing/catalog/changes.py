"""Rows and files that go while others come."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from limnos.errors import PublishConflict
from limnos.model.contract import Contract, Partition
from limnos.model.data import Gone
from limnos.testing.catalog.world import FISH, World, fish, identifier, ordered

_TOTALS = ("total-records", "total-data-files", "total-delete-files", "total-position-deletes")


class RowChanges:
    """Rows and files that go while others come."""

    def test_single_rows_and_whole_files_go_while_others_come(self, world: World) -> None:
        first = world.load(FISH, fish(*range(10)), "run-1")
        (whole,) = world.catalog.files(first)
        second = world.load(FISH, fish(*range(10, 20)), "run-2", keep=True)
        (third,) = world.publish(world.change(FISH, fish(30, 31), "run-3", where="id IN (11, 13)"))
        (fourth,) = world.publish(world.change(FISH, [], "run-4", files=[whole.path], where="id = 15"))
        assert world.rows(third) == fish(*range(11), 12, *range(14, 20), 30, 31)
        assert world.rows(fourth) == world.scanned(FISH) == fish(10, 12, 14, *range(16, 20), 30, 31)
        assert world.rows(second, world.elsewhere()[0]) == fish(*range(20))
        assert sorted((file.rows, file.gone) for file in world.catalog.files(fourth)) == [(2, 0), (10, 3)]
        assert [file.gone for file in world.catalog.files(first)] == [0]

    def test_a_change_of_rows_is_invisible_until_it_is_published(self, world: World) -> None:
        world.load(FISH, fish(*range(3)), "run-1")
        before = world.seen()
        staged = world.change(FISH, fish(7), "run-2", where="id = 1")
        assert world.seen() == before
        assert world.scanned(FISH) == fish(*range(3))
        assert world.rows(staged.snapshot) == fish(0, 2, 7)
        world.publish(staged)
        assert world.scanned(FISH) == world.rows(staged.snapshot)

    def test_rows_that_are_gone_stay_gone_when_others_are_added(self, world: World) -> None:
        world.load(FISH, fish(*range(4)), "run-1")
        world.publish(world.change(FISH, [], "run-2", where="id < 2"))
        added = world.load(FISH, fish(0), "run-3", keep=True)
        assert world.rows(added) == world.scanned(FISH) == fish(0, 2, 3)
        assert world.rows(added, world.elsewhere()[0]) == fish(0, 2, 3)

    def test_a_replaced_table_has_no_deletes_left(self, world: World) -> None:
        world.load(FISH, fish(*range(4)), "run-1")
        world.publish(world.change(FISH, [], "run-2", where="id < 2"))
        after = world.load(FISH, fish(*range(3)), "run-3")
        assert world.catalog.relation(after).deletes == ()
        assert world.rows(after) == world.scanned(FISH) == fish(*range(3))
        assert _summary(world, FISH) == {"total-records": 3, "total-data-files": 1, "total-delete-files": 0, "total-position-deletes": 0}

    def test_changes_upon_changes_read_as_one_truth_to_every_reader(self, world: World) -> None:
        contract = replace(FISH, partitions=(Partition("name"),))
        there = {row["id"]: row for row in fish(*range(64))}
        snapshot = world.load(contract, list(there.values()), "run-0")
        for n in range(1, 13):
            gone = [at for at in there if at % 13 == n]
            moved = fish(*range(1000 * n, 1000 * n + 3))
            (snapshot,) = world.publish(world.change(contract, moved, f"run-{n}", where=f"id % 13 = {n} AND id < {1000 * n}"))
            there = {at: row for at, row in there.items() if at not in gone} | {row["id"]: row for row in moved}
            assert world.rows(snapshot) == ordered(list(there.values()))
        assert world.scanned(FISH) == ordered(list(there.values()))
        files = world.catalog.files(snapshot)
        assert sum(file.rows - file.gone for file in files) == len(there) == snapshot.rows
        summary = _summary(world, FISH)
        assert summary["total-records"] - summary["total-position-deletes"] == len(there)
        assert summary["total-data-files"] == len(files)
        assert summary["total-delete-files"] == len(world.catalog.relation(snapshot).deletes)

    def test_many_small_changes_leave_few_delete_files(self, world: World) -> None:
        world.load(FISH, fish(*range(40)), "run-0")
        for n in range(16):
            world.publish(world.change(FISH, [], f"run-{n + 1}", where=f"id = {n}"))
        snapshot = world.catalog.pin()[FISH.table]
        assert world.rows(snapshot) == world.scanned(FISH) == fish(*range(16, 40))
        assert len(world.catalog.relation(snapshot).deletes) <= 5

    def test_deletes_go_with_the_last_file_that_they_concern(self, world: World) -> None:
        world.load(FISH, fish(*range(4)), "run-1")
        (first,) = world.catalog.files(world.catalog.pin()[FISH.table])
        world.load(FISH, fish(*range(4, 8)), "run-2", keep=True)
        (both,) = world.publish(world.change(FISH, [], "run-3", where="id IN (1, 5)"))
        (half,) = world.publish(world.change(FISH, [], "run-4", files=[first.path]))
        assert world.catalog.relation(half).deletes == world.catalog.relation(both).deletes
        (second,) = world.catalog.files(half)
        (none,) = world.publish(world.change(FISH, fish(9), "run-5", files=[second.path]))
        assert world.catalog.relation(none).deletes == ()
        assert world.rows(none) == world.scanned(FISH) == fish(9)
        assert world.rows(both, world.elsewhere()[0]) == fish(0, *range(2, 5), 6, 7)

    def test_files_that_are_there_no_more_cannot_go(self, world: World) -> None:
        first = world.load(FISH, fish(*range(4)), "run-1")
        (file,) = world.catalog.files(first)
        world.load(FISH, fish(*range(4)), "run-2")
        rows = pa.table({"file": [file.path], "row": pa.array([0], pa.int64())})
        before = world.seen()
        for gone in (Gone(frozenset([file.path])), Gone(rows=rows)):
            with pytest.raises(PublishConflict):
                world.catalog.stage(FISH, [], "run-3", replace=False, gone=gone)
        assert world.seen() == before

    def test_many_changes_leave_few_manifests(self, world: World) -> None:
        for n in range(36):
            staged = world.stage(FISH, fish(n), f"run-{n}", keep=True)
            world.publish(staged)
        table = world.foreign().load_table(identifier(FISH))
        assert (current := table.current_snapshot()) is not None
        assert len(current.manifests(table.io)) <= 33
        assert world.scanned(FISH) == fish(*range(36))


def _summary(world: World, contract: Contract) -> dict[str, int]:
    current = world.foreign().load_table(identifier(contract)).current_snapshot()
    assert current is not None
    assert current.summary is not None
    return {name: int(current.summary[name] or 0) for name in _TOTALS}
