"""Versions and tables of other Iceberg writers."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa
import pytest

from limnos.errors import PublishConflict
from limnos.model.names import TableName
from limnos.testing.catalog.world import FISH, World, identifier


class Strangers:
    """Versions and tables of other Iceberg writers."""

    def test_a_foreign_commit_is_seen_and_kept(self, world: World) -> None:
        mine = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        behind = world.stage(FISH, [{"id": 9, "name": "behind"}], "run-2", keep=True)
        added = pa.Table.from_pylist([{"id": 2, "name": "foreign"}], schema=FISH.schema)
        world.foreign().load_table(identifier(FISH)).append(added)
        theirs = world.catalog.pin()[FISH.table]
        assert (theirs.rows, theirs.run_id) == (2, "")
        assert world.rows(theirs) == [{"id": 1, "name": "pike"}, {"id": 2, "name": "foreign"}]
        assert world.catalog.history(FISH.table) == (mine, theirs)
        before = world.seen()
        with pytest.raises(PublishConflict):
            world.publish(behind)
        assert world.seen() == before
        ours = world.load(FISH, [{"id": 3, "name": "ours"}], "run-3", keep=True)
        assert [row["id"] for row in world.rows(ours)] == [1, 2, 3]

    def test_a_foreign_commit_between_layout_and_stage_is_not_lost(self, world: World) -> None:
        world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        layout = world.catalog.layout(FISH, "run-2", replace=False)
        files = world.write(layout, FISH, [{"id": 3, "name": "ours"}])
        world.foreign().load_table(identifier(FISH)).append(pa.Table.from_pylist([{"id": 2, "name": "foreign"}], schema=FISH.schema))
        with suppress(PublishConflict):
            world.publish(world.catalog.stage(FISH, files, "run-2", replace=False))
        assert {"id": 2, "name": "foreign"} in world.rows(world.catalog.pin()[FISH.table])

    def test_foreign_tables_are_read_where_they_can_be_named(self, world: World) -> None:
        foreign = world.foreign()
        foreign.create_namespace("guest")
        for name in ("frogs", "not-a-name"):
            foreign.create_table(("guest", name), FISH.schema).append(pa.Table.from_pylist([{"id": 1, "name": "x"}], schema=FISH.schema))
        foreign.create_table(("guest", "empty"), FISH.schema)
        pinned = world.catalog.pin()
        assert {str(table) for table in pinned} == {"guest.frogs", "guest.empty"}
        assert world.rows(pinned[TableName("guest", "frogs")]) == [{"id": 1, "name": "x"}]
        assert world.rows(pinned[TableName("guest", "empty")]) == []
