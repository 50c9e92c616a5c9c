"""Staged, published and past versions: who sees which, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from limnos.errors import PublishConflict
from limnos.ledger.events import FINISHED
from limnos.model.data import Snapshot, Staged
from limnos.model.names import TableName
from limnos.ports import Catalog
from limnos.testing.catalog.world import FISH, WEED, Row, World, exists, identifier, ordered


class Publishing:
    """Staged, published and past versions: who sees which, and when."""

    def test_it_is_a_catalog(self, world: World) -> None:
        assert isinstance(world.catalog, Catalog)
        assert world.catalog.pin() == {}
        assert world.catalog.history(FISH.table) == ()

    def test_staged_is_invisible(self, world: World) -> None:
        for run in ("run-1", "run-2"):
            before = world.seen()
            staged = world.stage(FISH, [{"id": 1, "name": run}], run)
            assert world.seen() == before
            assert exists(world.foreign(), FISH.table) == (run != "run-1")
            world.publish(staged)

    def test_published_is_seen_by_everybody(self, world: World) -> None:
        rows: list[Row] = [{"id": 1, "name": "pike"}, {"id": 2, "name": None}]
        snapshot = world.load(FISH, rows, "run-1")
        assert (snapshot.table, snapshot.rows, snapshot.run_id) == (FISH.table, 2, "run-1")
        assert snapshot.at.utcoffset() == timedelta(0)
        other, _ = world.elsewhere()
        for catalog in (world.catalog, other):
            assert catalog.pin() == {FISH.table: snapshot}
            assert catalog.history(FISH.table) == (snapshot,)
            assert world.rows(snapshot, catalog) == rows
        table = world.foreign().load_table(identifier(FISH))
        assert ordered(table.scan().to_arrow().to_pylist()) == rows
        assert (current := table.current_snapshot()) is not None
        assert current.snapshot_id == snapshot.snapshot_id

    def test_what_is_staged_can_be_read_by_its_run(self, world: World) -> None:
        staged = world.stage(FISH, [{"id": 1, "name": "pike"}], "run-1")
        assert world.rows(staged.snapshot) == [{"id": 1, "name": "pike"}]
        with world.engine.session() as session:
            assert session.run(session.relation(staged.relation)).to_pylist() == [{"id": 1, "name": "pike"}]

    def test_a_transaction_that_fails_publishes_none_of_its_tables(self, world: World) -> None:
        world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        before = world.seen()
        staged = (world.stage(FISH, [], "run-2"), world.stage(WEED, [{"id": 1, "name": "reed"}], "run-2"))
        with pytest.raises(ZeroDivisionError), world.ledger.begin() as transaction:  # noqa: PT012 the transaction fails after its work
            world.catalog.publish(staged, transaction)
            world.ledger.append(FINISHED, "pond", {}, run_id="run-2", transaction=transaction)
            raise ZeroDivisionError
        assert world.seen() == before
        world.publish(*staged)
        assert world.catalog.pin().keys() == {FISH.table, WEED.table}

    def test_tables_of_a_transaction_are_published_at_one_instant(self, world: World) -> None:
        published = world.publish(*(world.stage(contract, [{"id": 1, "name": "x"}], "run-1") for contract in (WEED, FISH)))
        assert [snapshot.table for snapshot in published] == [WEED.table, FISH.table]
        assert len({snapshot.at for snapshot in published}) == 1
        assert set(published) == set(world.catalog.pin().values())

    def test_publishing_the_same_again_changes_nothing(self, world: World) -> None:
        first = world.stage(FISH, [{"id": 1, "name": "pike"}], "run-1")
        published = world.publish(first)
        later = world.load(FISH, [{"id": 2, "name": "perch"}], "run-2")
        pinned, history = world.catalog.pin(), world.catalog.history(FISH.table)
        with world.ledger.begin() as transaction:
            assert world.catalog.publish([first, first], transaction) == (*published, *published)
        assert world.catalog.pin() == pinned == {FISH.table: later}
        assert world.catalog.history(FISH.table) == history

    @pytest.mark.parametrize("there", [True, False])
    def test_of_two_publishers_from_the_same_base_one_wins_and_the_other_is_told(self, world: World, there: bool) -> None:  # noqa: FBT001
        if there:
            world.load(FISH, [{"id": 0, "name": "base"}], "run-0")
        slow = (world.stage(WEED, [{"id": 1, "name": "lost"}], "run-1"), world.stage(FISH, [{"id": 1, "name": "lost"}], "run-1"))
        won = world.load(FISH, [{"id": 2, "name": "won"}], "run-2")
        before = world.seen()
        with pytest.raises(PublishConflict) as caught:
            world.publish(*slow)
        assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))
        assert world.seen() == before
        assert world.rows(won) == [{"id": 2, "name": "won"}]

    def test_of_many_publishers_at_once_one_wins(self, world: World) -> None:
        world.load(FISH, [{"id": 0, "name": "base"}], "run-0")
        many = [
            tuple(world.stage(contract, [{"id": n, "name": "many"}], f"run-{n}") for contract in ((FISH, WEED) if n % 2 else (WEED, FISH)))
            for n in range(1, 7)
        ]

        def publish(staged: Sequence[Staged]) -> str:
            with suppress(PublishConflict):
                world.publish(*staged)
                return staged[0].snapshot.run_id
            return ""

        with ThreadPoolExecutor(len(many)) as pool:
            won = list(filter(None, pool.map(publish, many)))
        assert len(won) == 1
        assert {snapshot.run_id for snapshot in world.catalog.pin().values()} == set(won)
        assert [event.run_id for event in world.ledger.events(action=FINISHED)] == ["run-0", *won]

    def test_history_does_not_change(self, world: World) -> None:
        versions: list[tuple[Snapshot, list[Row]]] = []
        for n in range(3):
            rows: list[Row] = [{"id": at, "name": f"version {n}"} for at in range(n + 1)]
            versions.append((world.load(FISH, rows, f"run-{n}"), rows))
            assert world.catalog.history(FISH.table) == tuple(snapshot for snapshot, _ in versions)
        assert (
            len({snapshot.digest for snapshot, _ in versions}) == len({snapshot.snapshot_id for snapshot, _ in versions}) == len(versions)
        )
        for snapshot, rows in versions:
            assert world.rows(snapshot) == rows
            assert world.rows(snapshot, world.elsewhere()[0]) == rows

    def test_a_cut_in_the_past_is_consistent_across_tables(self, world: World) -> None:
        cuts: list[Mapping[TableName, Snapshot]] = []
        for n in range(3):
            tables = (FISH, WEED)[: 1 + n % 2]
            world.publish(*(world.stage(contract, [{"id": n, "name": "x"}], f"run-{n}") for contract in tables))
            cuts.append(world.catalog.pin())
        instants = [max(snapshot.at for snapshot in cut.values()) for cut in cuts]
        assert instants == sorted(set(instants))
        for cut, at, after in zip(cuts, instants, [*instants[1:], instants[-1] + timedelta(hours=1)], strict=True):
            assert world.catalog.pin(at) == world.catalog.pin(after - timedelta(microseconds=1)) == cut
        assert world.catalog.pin(instants[0] - timedelta(microseconds=1)) == {}

    def test_rows_are_added_or_take_the_place_of_what_was_there(self, world: World) -> None:
        one, two, three = ({"id": n, "name": str(n)} for n in (1, 2, 3))
        assert world.rows(world.load(FISH, [one], "run-1", keep=True)) == [one]
        assert world.rows(world.load(FISH, [two], "run-2", keep=True)) == [one, two]
        assert world.rows(world.load(FISH, [three], "run-3")) == [three]
        assert ordered(world.foreign().load_table(identifier(FISH)).scan().to_arrow().to_pylist()) == [three]

    def test_a_table_may_be_empty(self, world: World) -> None:
        row = {"id": 1, "name": "pike"}
        for n, (rows, keep, after) in enumerate(
            [([], False, []), ([], False, []), ([row], True, [row]), ([], True, [row]), ([], False, [])]
        ):
            snapshot = world.load(FISH, rows, f"run-{n}", keep=keep)
            assert world.rows(snapshot) == after
            assert world.catalog.pin() == {FISH.table: snapshot}
            assert world.catalog.relation(snapshot).schema.names == list(FISH.names)
