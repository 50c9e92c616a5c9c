"""Versions that expire, and the files that no version needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from limnos.errors import PublishConflict, VersionExpired
from limnos.model.data import Snapshot
from limnos.testing.catalog.world import FISH, WEED, World, identifier


class _Stopped(Exception):
    """End a transaction in its middle."""


class Upkeep:
    """Versions that expire, and the files that no version needs."""

    def test_a_version_that_expires_is_told_to_whoever_asks_and_the_others_read_as_ever(self, world: World) -> None:
        first, second, third = (world.load(FISH, [{"id": at, "name": "pike"}], f"run-{at}", keep=at > 0) for at in range(3))
        _expire(world, [first])
        for catalog in (world.catalog, world.elsewhere()[0]):
            listed = catalog.history(FISH.table)
            assert [(one.snapshot_id, one.expired) for one in listed[:3]] == [
                (first.snapshot_id, True),
                (second.snapshot_id, False),
                (third.snapshot_id, False),
            ]
            with pytest.raises(VersionExpired):
                catalog.relation(listed[0])
            with pytest.raises(VersionExpired):
                catalog.relation(catalog.pin(first.at)[FISH.table])
            assert [row["id"] for row in world.rows(second, catalog)] == [0, 1]
            assert [row["id"] for row in world.rows(catalog.pin()[FISH.table], catalog)] == [0, 1, 2]

    def test_nothing_expires_until_its_transaction_is_done(self, world: World) -> None:
        first, _ = (world.load(FISH, [{"id": at, "name": "pike"}], f"run-{at}") for at in range(2))
        before = world.seen()
        staged = world.catalog.forget(world.catalog.pin()[FISH.table], [first], "upkeep")
        assert staged is not None
        assert world.seen() == before
        with suppress(_Stopped), world.ledger.begin() as transaction:
            world.catalog.publish([staged], transaction)
            world.catalog.expire([first], "upkeep", transaction)
            raise _Stopped
        assert world.seen() == before
        assert world.catalog.discard("upkeep") == 1
        assert world.rows(world.catalog.history(FISH.table)[0]) == [{"id": 0, "name": "pike"}]

    def test_exactly_the_files_go_that_only_expired_versions_need(self, world: World) -> None:
        first = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        its = world.files()
        second = world.load(FISH, [{"id": 2, "name": "perch"}], "run-2")
        world.load(WEED, [{"id": 1, "name": "reed"}], "run-3")
        left = world.files() - its
        went = _expire(world, [first])
        # Its manifest is named by the next version's, which has its file as deleted; nobody reads it for rows.
        assert went == its
        assert left <= world.files()
        assert world.rows(world.catalog.history(FISH.table)[1]) == world.rows(second) == [{"id": 2, "name": "perch"}]
        assert _unused(world, []) == frozenset()

    def test_what_is_young_is_not_listed_and_a_stray_file_is(self, world: World) -> None:
        snapshot = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        stray = world.write(world.catalog.layout(FISH, "dead", replace=False), FISH, [{"id": 2, "name": "never"}])
        assert world.catalog.unused(snapshot, [], datetime.now(UTC) - timedelta(hours=1)) == {}
        assert _unused(world, []) == {file.path for file in stray}
        assert world.catalog.remove([file.path for file in stray]) == 1
        assert _unused(world, []) == frozenset()

    def test_a_foreign_reader_is_offered_no_version_that_went(self, world: World) -> None:
        versions = [world.load(FISH, [{"id": at, "name": "pike"}], f"run-{at}", keep=at > 0) for at in range(4)]
        _expire(world, versions[:2])
        table = world.foreign().load_table(identifier(FISH))
        assert [one.snapshot_id for one in table.metadata.snapshots] == [one.snapshot_id for one in versions[2:]]
        assert [table.scan(snapshot_id=one.snapshot_id).to_arrow().num_rows for one in versions[2:]] == [3, 4]

    def test_a_tag_keeps_its_version(self, world: World) -> None:
        first, second = (world.load(FISH, [{"id": at, "name": "pike"}], f"run-{at}", keep=at > 0) for at in range(2))
        with world.foreign().load_table(identifier(FISH)).manage_snapshots() as manage:
            manage.create_tag(first.snapshot_id, "audit")
        world.load(FISH, [{"id": 2, "name": "pike"}], "run-2", keep=True)
        assert first.snapshot_id in world.catalog.tagged(world.catalog.pin()[FISH.table])
        _expire(world, [first, second])
        table = world.foreign().load_table(identifier(FISH))
        assert table.scan(snapshot_id=first.snapshot_id).to_arrow().to_pylist() == [{"id": 0, "name": "pike"}]
        assert second.snapshot_id not in {one.snapshot_id for one in table.metadata.snapshots}

    def test_a_table_that_moved_is_not_touched(self, world: World) -> None:
        first = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        second = world.load(FISH, [{"id": 2, "name": "perch"}], "run-2")
        world.foreign().load_table(identifier(FISH)).append(pa.Table.from_pylist([{"id": 3, "name": "x"}], schema=FISH.schema))
        before = world.seen()
        with pytest.raises(PublishConflict):
            world.catalog.forget(second, [first], "upkeep")
        assert world.seen() == before


def _unused(world: World, expired: Sequence[Snapshot]) -> frozenset[str]:
    published = world.catalog.pin()[FISH.table]
    return frozenset(world.catalog.unused(published, expired, datetime.now(UTC) + timedelta(minutes=1)))


def _expire(world: World, expired: Sequence[Snapshot]) -> frozenset[str]:
    """Let versions go as upkeep does; gives the files that went."""
    files = _unused(world, expired)
    staged = world.catalog.forget(world.catalog.pin()[FISH.table], expired, "upkeep")
    with world.ledger.begin() as transaction:
        world.catalog.publish([staged] if staged else [], transaction)
        world.catalog.expire(expired, "upkeep", transaction)
    before = world.files()
    assert world.catalog.remove(sorted(files)) == len(files)
    assert before - world.files() == files
    return files
