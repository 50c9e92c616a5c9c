"""The conformance suite of `Catalog`; it needs pytest, which the tests of an adapter bring along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.catalog import Catalog as IcebergCatalog

from limnos.errors import PublishConflict, SchemaDrift
from limnos.ledger.events import FINISHED, Mark, StateLedger
from limnos.model.contract import Column, Contract, Partition
from limnos.model.data import Gone, Layout, Snapshot, Staged, WrittenFile
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.ports import Catalog, Engine

FISH = Contract(TableName("pond", "fish"), (Column("id", pa.int64()), Column("name", pa.string())))
WEED = Contract(TableName("pond", "weed"), (Column("id", pa.int64()), Column("name", pa.string())))
PLACES = Contract(
    TableName("pond", "places"),
    (
        Column("n", pa.int64()),
        Column("name", pa.string()),
        Column("day", pa.date32()),
        Column("at", pa.timestamp("us")),
        Column("zoned", pa.timestamp("us", tz="UTC")),
        Column("ok", pa.bool_()),
    ),
)
NAMES = ("plain", "a/b", "per%cent", "a=b", "naïve 😀", "sp ace", "q'uo\"te", "#hash?query&x", "..", "", None)
_TOTALS = ("total-records", "total-data-files", "total-delete-files", "total-position-deletes")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """Hold a catalog over an empty lake.

    `elsewhere` opens the same lake as another process would; `foreign` opens it as PyIceberg's own SQL catalog; `files` lists every
    file below the lake.
    """

    catalog: Catalog
    ledger: StateLedger
    engine: Engine
    elsewhere: Callable[[], tuple[Catalog, StateLedger]]
    foreign: Callable[[], IcebergCatalog]
    files: Callable[[], frozenset[str]]

    def write(self, layout: Layout, contract: Contract, rows: Sequence[Row]) -> tuple[WrittenFile, ...]:
        """Write rows where the catalog wants them."""
        with self.engine.session() as session:
            return session.write("SELECT * FROM rows", layout, rows=pa.Table.from_pylist(list(rows), schema=contract.schema))

    def stage(self, contract: Contract, rows: Sequence[Row], run_id: str, *, keep: bool = False) -> Staged:
        """Write and stage rows, instead of what is published or, with `keep`, added to it."""
        layout = self.catalog.layout(contract, run_id, replace=not keep)
        return self.catalog.stage(contract, self.write(layout, contract, rows), run_id, replace=not keep)

    def change(self, contract: Contract, rows: Sequence[Row], run_id: str, *, files: Iterable[str] = (), where: str = "FALSE") -> Staged:
        """Stage rows beside those that are there, less whole files and the rows of the others for which a condition holds."""
        gone = frozenset(files)
        with self.engine.session() as session:
            here = session.relation(self.catalog.relation(self.catalog.pin()[contract.table]), positions=True)
            found = session.run(f"SELECT _file AS file, _row AS row FROM ({here}) WHERE {where}")
        singles = found.filter(pc.invert(pc.is_in(found["file"], pa.array(gone, pa.string()))))
        layout = self.catalog.layout(contract, run_id, replace=False)
        return self.catalog.stage(contract, self.write(layout, contract, rows), run_id, replace=False, gone=Gone(gone, singles))

    def scanned(self, contract: Contract) -> list[dict[str, Any]]:
        """Read the published version as PyIceberg does."""
        return _sorted(self.foreign().load_table(_identifier(contract)).scan().to_arrow().to_pylist())

    def publish(self, *staged: Staged) -> tuple[Snapshot, ...]:
        """Publish as a run does: pointers, positions and event in one transaction."""
        with self.ledger.begin() as transaction:
            published = self.catalog.publish(staged, transaction)
            for one in staged:
                mark = Mark(Position("suite", {}), one.snapshot.run_id, basis="", read=one.snapshot.rows, quarantined=0)
                self.ledger.set_mark(one.table, mark, transaction)
            self.ledger.append(FINISHED, "pond", {}, run_id=staged[0].snapshot.run_id, transaction=transaction)
        return published

    def load(self, contract: Contract, rows: Sequence[Row], run_id: str, *, keep: bool = False) -> Snapshot:
        """Write, stage and publish."""
        return self.publish(self.stage(contract, rows, run_id, keep=keep))[0]

    def rows(self, snapshot: Snapshot, catalog: Catalog | None = None) -> list[dict[str, Any]]:
        """Read a published version."""
        relation = (catalog or self.catalog).relation(snapshot)
        with self.engine.session() as session:
            found = session.run(session.relation(relation)).to_pylist()
        assert len(found) == relation.rows == snapshot.rows
        return _sorted(found)

    def seen(self) -> object:
        """Give all that anybody sees: pointers, history, positions and events, here and as another process finds them."""
        found = [_seen(self.catalog, self.ledger), _seen(*self.elsewhere())]
        assert found[0] == found[1]
        return found[0]


class CatalogSuite:
    """Assert what every catalog promises; a test class inherits it and gives the fixture `world`."""

    def test_it_is_a_catalog(self, world: World) -> None:
        assert isinstance(world.catalog, Catalog)
        assert world.catalog.pin() == {}
        assert world.catalog.history(FISH.table) == ()

    def test_staged_is_invisible(self, world: World) -> None:
        for run in ("run-1", "run-2"):
            before = world.seen()
            staged = world.stage(FISH, [{"id": 1, "name": run}], run)
            assert world.seen() == before
            assert _exists(world.foreign(), FISH.table) == (run != "run-1")
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
        table = world.foreign().load_table(_identifier(FISH))
        assert _sorted(table.scan().to_arrow().to_pylist()) == rows
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
        assert _sorted(world.foreign().load_table(_identifier(FISH)).scan().to_arrow().to_pylist()) == [three]

    def test_a_table_may_be_empty(self, world: World) -> None:
        row = {"id": 1, "name": "pike"}
        for n, (rows, keep, after) in enumerate(
            [([], False, []), ([], False, []), ([row], True, [row]), ([], True, [row]), ([], False, [])]
        ):
            snapshot = world.load(FISH, rows, f"run-{n}", keep=keep)
            assert world.rows(snapshot) == after
            assert world.catalog.pin() == {FISH.table: snapshot}
            assert world.catalog.relation(snapshot).schema.names == list(FISH.names)

    def test_single_rows_and_whole_files_go_while_others_come(self, world: World) -> None:
        first = world.load(FISH, _fish(*range(10)), "run-1")
        (whole,) = world.catalog.files(first)
        second = world.load(FISH, _fish(*range(10, 20)), "run-2", keep=True)
        (third,) = world.publish(world.change(FISH, _fish(30, 31), "run-3", where="id IN (11, 13)"))
        (fourth,) = world.publish(world.change(FISH, [], "run-4", files=[whole.path], where="id = 15"))
        assert world.rows(third) == _fish(*range(11), 12, *range(14, 20), 30, 31)
        assert world.rows(fourth) == world.scanned(FISH) == _fish(10, 12, 14, *range(16, 20), 30, 31)
        assert world.rows(second, world.elsewhere()[0]) == _fish(*range(20))
        assert sorted((file.rows, file.gone) for file in world.catalog.files(fourth)) == [(2, 0), (10, 3)]
        assert [file.gone for file in world.catalog.files(first)] == [0]

    def test_a_change_of_rows_is_invisible_until_it_is_published(self, world: World) -> None:
        world.load(FISH, _fish(*range(3)), "run-1")
        before = world.seen()
        staged = world.change(FISH, _fish(7), "run-2", where="id = 1")
        assert world.seen() == before
        assert world.scanned(FISH) == _fish(*range(3))
        assert world.rows(staged.snapshot) == _fish(0, 2, 7)
        world.publish(staged)
        assert world.scanned(FISH) == world.rows(staged.snapshot)

    def test_rows_that_are_gone_stay_gone_when_others_are_added(self, world: World) -> None:
        world.load(FISH, _fish(*range(4)), "run-1")
        world.publish(world.change(FISH, [], "run-2", where="id < 2"))
        added = world.load(FISH, _fish(0), "run-3", keep=True)
        assert world.rows(added) == world.scanned(FISH) == _fish(0, 2, 3)
        assert world.rows(added, world.elsewhere()[0]) == _fish(0, 2, 3)

    def test_a_replaced_table_has_no_deletes_left(self, world: World) -> None:
        world.load(FISH, _fish(*range(4)), "run-1")
        world.publish(world.change(FISH, [], "run-2", where="id < 2"))
        after = world.load(FISH, _fish(*range(3)), "run-3")
        assert world.catalog.relation(after).deletes == ()
        assert world.rows(after) == world.scanned(FISH) == _fish(*range(3))
        assert _summary(world, FISH) == {"total-records": 3, "total-data-files": 1, "total-delete-files": 0, "total-position-deletes": 0}

    def test_changes_upon_changes_read_as_one_truth_to_every_reader(self, world: World) -> None:
        contract = replace(FISH, partitions=(Partition("name"),))
        there = {row["id"]: row for row in _fish(*range(64))}
        snapshot = world.load(contract, list(there.values()), "run-0")
        for n in range(1, 13):
            gone = [at for at in there if at % 13 == n]
            moved = _fish(*range(1000 * n, 1000 * n + 3))
            (snapshot,) = world.publish(world.change(contract, moved, f"run-{n}", where=f"id % 13 = {n} AND id < {1000 * n}"))
            there = {at: row for at, row in there.items() if at not in gone} | {row["id"]: row for row in moved}
            assert world.rows(snapshot) == _sorted(list(there.values()))
        assert world.scanned(FISH) == _sorted(list(there.values()))
        files = world.catalog.files(snapshot)
        assert sum(file.rows - file.gone for file in files) == len(there) == snapshot.rows
        summary = _summary(world, FISH)
        assert summary["total-records"] - summary["total-position-deletes"] == len(there)
        assert summary["total-data-files"] == len(files)
        assert summary["total-delete-files"] == len(world.catalog.relation(snapshot).deletes)

    def test_many_small_changes_leave_few_delete_files(self, world: World) -> None:
        world.load(FISH, _fish(*range(40)), "run-0")
        for n in range(16):
            world.publish(world.change(FISH, [], f"run-{n + 1}", where=f"id = {n}"))
        snapshot = world.catalog.pin()[FISH.table]
        assert world.rows(snapshot) == world.scanned(FISH) == _fish(*range(16, 40))
        assert len(world.catalog.relation(snapshot).deletes) <= 5

    def test_deletes_go_with_the_last_file_that_they_concern(self, world: World) -> None:
        world.load(FISH, _fish(*range(4)), "run-1")
        (first,) = world.catalog.files(world.catalog.pin()[FISH.table])
        world.load(FISH, _fish(*range(4, 8)), "run-2", keep=True)
        (both,) = world.publish(world.change(FISH, [], "run-3", where="id IN (1, 5)"))
        (half,) = world.publish(world.change(FISH, [], "run-4", files=[first.path]))
        assert world.catalog.relation(half).deletes == world.catalog.relation(both).deletes
        (second,) = world.catalog.files(half)
        (none,) = world.publish(world.change(FISH, _fish(9), "run-5", files=[second.path]))
        assert world.catalog.relation(none).deletes == ()
        assert world.rows(none) == world.scanned(FISH) == _fish(9)
        assert world.rows(both, world.elsewhere()[0]) == _fish(0, *range(2, 5), 6, 7)

    def test_files_that_are_there_no_more_cannot_go(self, world: World) -> None:
        first = world.load(FISH, _fish(*range(4)), "run-1")
        (file,) = world.catalog.files(first)
        world.load(FISH, _fish(*range(4)), "run-2")
        rows = pa.table({"file": [file.path], "row": pa.array([0], pa.int64())})
        before = world.seen()
        for gone in (Gone(frozenset([file.path])), Gone(rows=rows)):
            with pytest.raises(PublishConflict):
                world.catalog.stage(FISH, [], "run-3", replace=False, gone=gone)
        assert world.seen() == before

    def test_discard_takes_the_delete_files_along(self, world: World) -> None:
        world.load(FISH, _fish(*range(4)), "run-1")
        before = world.files()
        staged = world.change(FISH, [], "run-2", where="id = 1")
        stray = world.files() - before
        assert set(staged.relation.deletes) <= stray
        assert world.catalog.discard("run-2") == len(stray)
        assert world.files() == before
        world.publish(world.change(FISH, _fish(5), "run-3", where="id = 1"))
        assert world.catalog.discard("run-3") == 0
        assert world.scanned(FISH) == _fish(0, 2, 3, 5)

    def test_many_changes_leave_few_manifests(self, world: World) -> None:
        for n in range(36):
            staged = world.stage(FISH, _fish(n), f"run-{n}", keep=True)
            world.publish(staged)
        table = world.foreign().load_table(_identifier(FISH))
        assert (current := table.current_snapshot()) is not None
        assert len(current.manifests(table.io)) <= 33
        assert world.scanned(FISH) == _fish(*range(36))

    def test_discard_deletes_exactly_what_was_not_published(self, world: World) -> None:
        world.load(FISH, [{"id": 0, "name": "base"}], "run-0")
        before = world.files()
        world.stage(FISH, [{"id": 1, "name": "never"}], "run-1")
        world.stage(WEED, [{"id": 1, "name": "never"}], "run-1")
        stray = world.files() - before
        assert world.catalog.discard("run-1") == len(stray) > 0
        assert world.files() == before
        assert world.catalog.discard("run-1") == 0

    def test_discard_keeps_what_the_run_published(self, world: World) -> None:
        layout = world.catalog.layout(FISH, "run-1", replace=True)
        kept = world.catalog.stage(FISH, world.write(layout, FISH, [{"id": 1, "name": "kept"}]), "run-1", replace=True)
        before = world.files()
        world.write(layout, FISH, [{"id": 2, "name": "written and not staged"}])
        world.stage(WEED, [{"id": 1, "name": "never"}], "run-1")
        (snapshot,) = world.publish(kept)
        stray = world.files() - before
        assert world.catalog.discard("run-1") == len(stray) > 1
        assert world.files() == before
        assert world.rows(snapshot, world.elsewhere()[0]) == [{"id": 1, "name": "kept"}]

    def test_files_that_are_not_staged_can_be_deleted(self, world: World) -> None:
        before = world.files()
        files = world.write(world.catalog.layout(FISH, "run-1", replace=True), FISH, [{"id": 1, "name": "pike"}])
        assert world.files() - before == {file.path for file in files}
        world.catalog.delete(files)
        assert world.files() == before
        world.catalog.delete(files)

    def test_a_layout_changes_nothing(self, world: World) -> None:
        before, files = world.seen(), world.files()
        world.catalog.layout(FISH, "run-1", replace=True)
        assert (world.seen(), world.files()) == (before, files)

    def test_a_probe_says_so_and_leaves_nothing(self, world: World) -> None:
        before = world.files()
        assert world.catalog.probe()
        assert world.files() == before

    def test_a_column_is_added_beside_the_others(self, world: World) -> None:
        wide = replace(FISH, columns=(Column("cm", pa.int32()), *FISH.columns))
        first = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        second = world.load(wide, [{"id": 2, "name": "perch", "cm": 30}], "run-2", keep=True)
        assert world.rows(first) == [{"id": 1, "name": "pike"}]
        assert world.rows(second) == [{"id": 1, "name": "pike", "cm": None}, {"id": 2, "name": "perch", "cm": 30}]
        assert _sorted(world.foreign().load_table(_identifier(FISH)).scan().to_arrow().to_pylist()) == world.rows(second)

    def test_a_type_is_widened_in_place(self, world: World) -> None:
        def contract(kind: pa.DataType, money: pa.DataType) -> Contract:
            return replace(FISH, columns=(Column("id", kind), Column("price", money)))

        world.load(contract(pa.int32(), pa.decimal128(9, 2)), [{"id": 1, "price": 1}], "run-1")
        wide = world.load(contract(pa.int64(), pa.decimal128(20, 2)), [{"id": 2**40, "price": 10**15}], "run-2", keep=True)
        assert [row["id"] for row in world.rows(wide)] == [1, 2**40]
        assert [int(row["price"]) for row in world.rows(wide)] == [1, 10**15]
        assert world.foreign().load_table(_identifier(FISH)).scan().to_arrow().num_rows == 2

    def test_another_type_is_another_column_of_the_same_name(self, world: World) -> None:
        retyped = replace(FISH, columns=(Column("id", pa.string()), FISH.columns[1]))
        first = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        before, files = world.seen(), world.files()
        with pytest.raises(SchemaDrift) as caught:
            world.catalog.layout(retyped, "run-2", replace=False)
        assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))
        assert (world.seen(), world.files()) == (before, files)
        second = world.load(retyped, [{"id": "a", "name": "perch"}], "run-3")
        assert world.rows(second) == [{"id": "a", "name": "perch"}]
        assert world.rows(first) == [{"id": 1, "name": "pike"}]
        assert world.rows(first, world.elsewhere()[0]) == [{"id": 1, "name": "pike"}]

    @pytest.mark.parametrize(
        "partitions",
        [
            (Partition("name"),),
            (Partition("name", "truncate", 2),),
            (Partition("n", "truncate", 10),),
            (Partition("n"), Partition("ok")),
            (Partition("day"),),
            (Partition("day", "year"),),
            (Partition("day", "month"),),
            (Partition("at", "day"),),
            (Partition("at", "hour"),),
            (Partition("zoned", "month"), Partition("name")),
        ],
        ids=lambda partitions: "+".join(map(str, partitions)),
    )
    def test_partitions_lose_no_row_and_mislead_no_reader(self, world: World, partitions: tuple[Partition, ...]) -> None:
        rows = _places()
        snapshot = world.load(replace(PLACES, partitions=partitions), rows, "run-1")
        assert world.rows(snapshot) == _sorted(rows)
        table = world.foreign().load_table(_identifier(PLACES))
        assert len(table.spec().fields) == len(partitions)
        for row in rows:
            condition = _same(row, [partition.column for partition in partitions])
            found = table.scan(row_filter=condition).to_arrow().to_pylist()
            assert row in found, condition

    def test_a_table_is_partitioned_in_another_way_from_its_next_version_on(self, world: World) -> None:
        rows = _places()
        versions = [
            world.load(replace(PLACES, partitions=partitions), rows, f"run-{n}")
            for n, partitions in enumerate([(), (Partition("name"),), (Partition("day", "month"),), ()])
        ]
        for snapshot in versions:
            assert world.rows(snapshot) == _sorted(rows)
        recent = world.foreign().load_table(_identifier(PLACES)).scan(row_filter="day >= '2026-01-01'")
        assert recent.to_arrow().num_rows == sum(row["day"] is not None and row["day"] >= date(2026, 1, 1) for row in rows)

    def test_a_foreign_commit_is_seen_and_kept(self, world: World) -> None:
        mine = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        behind = world.stage(FISH, [{"id": 9, "name": "behind"}], "run-2", keep=True)
        added = pa.Table.from_pylist([{"id": 2, "name": "foreign"}], schema=FISH.schema)
        world.foreign().load_table(_identifier(FISH)).append(added)
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
        world.foreign().load_table(_identifier(FISH)).append(pa.Table.from_pylist([{"id": 2, "name": "foreign"}], schema=FISH.schema))
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


def _seen(catalog: Catalog, ledger: StateLedger) -> object:
    pinned = catalog.pin()
    return (
        pinned,
        {table: catalog.history(table) for table in (*pinned, FISH.table, WEED.table)},
        dict(ledger.marks()),
        tuple((event.seq, event.hash) for event in ledger.events()),
    )


def _fish(*ids: int) -> list[dict[str, Any]]:
    return _sorted([{"id": at, "name": NAMES[at % 4]} for at in ids])


def _summary(world: World, contract: Contract) -> dict[str, int]:
    current = world.foreign().load_table(_identifier(contract)).current_snapshot()
    assert current is not None
    assert current.summary is not None
    return {name: int(current.summary[name] or 0) for name in _TOTALS}


def _exists(foreign: IcebergCatalog, table: TableName) -> bool:
    return foreign.table_exists((table.namespace, table.name))


def _identifier(contract: Contract) -> tuple[str, str]:
    return contract.table.namespace, contract.table.name


def _sorted(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return sorted(map(dict, rows), key=lambda row: repr(row.get("id", row)))


def _places() -> list[Row]:
    """Rows around the edges of every transform: before 1970, at the turn of hour and month, and null."""
    instants = (
        datetime(1969, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001 a timestamp without a zone
        datetime(1970, 1, 1),  # noqa: DTZ001
        datetime(1, 1, 1, 0, 30),  # noqa: DTZ001
        datetime(2026, 2, 28, 23, 0),  # noqa: DTZ001
        datetime(9999, 12, 31, 23, 59),  # noqa: DTZ001
        None,
    )
    numbers = (-11, -10, -1, 0, 9, 10, 2**62, None)
    return [
        {
            "n": numbers[at % len(numbers)],
            "name": name,
            "day": moment.date() if (moment := instants[at % len(instants)]) else None,
            "at": moment,
            "zoned": pa.scalar(moment, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")).as_py(),
            "ok": (True, False, None)[at % 3],
        }
        for at, name in enumerate(NAMES)
    ]


def _same(row: Row, columns: Sequence[str]) -> str:
    """Write the condition that finds a row by these columns, in PyIceberg's own filter language."""
    return " and ".join(f"{column} IS NULL" if row[column] is None else f"{column} = {_spelled(row[column])}" for column in columns)


def _spelled(value: object) -> str:
    text = value.isoformat() if isinstance(value, date) else str(value)
    return str(value).lower() if isinstance(value, bool | int) else "'" + text.replace("'", "''") + "'"
