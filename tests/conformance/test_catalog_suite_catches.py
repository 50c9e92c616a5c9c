"""Catalogs that break one promise each; a suite that lets one of them pass is worth nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conformance.test_catalog import world_of

from limnos.errors import LimnosError
from limnos.model.contract import Contract
from limnos.model.data import Gone, Layout, LiveFile, Relation, Snapshot, Staged, WrittenFile
from limnos.model.names import TableName
from limnos.model.project import StorageConfig
from limnos.ports import Transaction
from limnos.tables import versions
from limnos.tables.catalog import LakeCatalog
from limnos.testing.catalog import CatalogSuite, World


class ShowsWhatIsStaged(LakeCatalog):
    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool, gone: Gone | None = None) -> Staged:
        staged = super().stage(contract, files, run_id, replace=replace, gone=gone)
        with self._engine.begin() as connection:
            versions.move(connection, staged.handle)
        return staged


class PublishesInItsOwnTransactions(LakeCatalog):
    def publish(self, staged: Sequence[Staged], transaction: Transaction) -> tuple[Snapshot, ...]:
        transaction.connection.exec_driver_sql("COMMIT")
        published = super().publish(staged, transaction)
        transaction.connection.exec_driver_sql("BEGIN")
        return published


class TheLastWriterWins(LakeCatalog):
    def publish(self, staged: Sequence[Staged], transaction: Transaction) -> tuple[Snapshot, ...]:
        here = [
            replace(one, handle=replace(one.handle, old=versions.pointer_of(transaction.connection, one.table) or None)) for one in staged
        ]
        return super().publish(here, transaction)


class PublishesTheSameTwice(LakeCatalog):
    def publish(self, staged: Sequence[Staged], transaction: Transaction) -> tuple[Snapshot, ...]:
        for one in staged:
            transaction.connection.execute(versions.versions.delete().where(versions.versions.c.metadata_location == one.handle.new))
            transaction.connection.execute(
                versions.pointers.update().where(*versions._is(one.table)).values(metadata_location=one.handle.old)
            )
        return super().publish(staged, transaction)


class TellsTheWinnerToo(LakeCatalog):
    def publish(self, staged: Sequence[Staged], transaction: Transaction) -> tuple[Snapshot, ...]:
        raise versions.conflict(staged[0].table, "a bad day")


class DiscardsAllOfARun(LakeCatalog):
    def discard(self, run_id: str) -> int:
        run = str(uuid.uuid5(uuid.NAMESPACE_URL, run_id))
        return self._storage.delete([uri for uri in self._storage.files_below(self._storage.uri) if run_id in uri or run in uri])


class DiscardsTooLittle(LakeCatalog):
    def discard(self, run_id: str) -> int:
        return self._storage.delete([uri for uri in self._storage.files_below(self._storage.uri) if f"/data/{run_id}/" in uri])


class ForgetsHistory(LakeCatalog):
    def history(self, table: TableName) -> tuple[Snapshot, ...]:
        return super().history(table)[-1:]


class LivesInThePresent(LakeCatalog):
    def pin(self, as_of: datetime | None = None) -> Mapping[TableName, Snapshot]:
        return super().pin()


class DoesNotSeeStrangers(LakeCatalog):
    def pin(self, as_of: datetime | None = None) -> Mapping[TableName, Snapshot]:
        ours, _ = versions.current(self._engine)
        return super().pin(as_of) if as_of else {snapshot.table: snapshot for snapshot in ours}


class AlwaysReplaces(LakeCatalog):
    def layout(self, contract: Contract, run_id: str, *, replace: bool) -> Layout:
        return super().layout(contract, run_id, replace=True)

    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool, gone: Gone | None = None) -> Staged:
        return super().stage(contract, files, run_id, replace=True, gone=gone)


class KeepsWhatIsGone(LakeCatalog):
    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool, gone: Gone | None = None) -> Staged:
        return super().stage(contract, files, run_id, replace=replace, gone=Gone(gone.files) if gone else None)


class ForgetsDeletesWhenItReads(LakeCatalog):
    def relation(self, snapshot: Snapshot) -> Relation:
        return replace(super().relation(snapshot), deletes=(), gone={})


class CountsNoRowAsGone(LakeCatalog):
    def files(self, snapshot: Snapshot) -> tuple[LiveFile, ...]:
        return tuple(replace(file, gone=0) for file in super().files(snapshot))


class TellsNobodyWhatExpired(LakeCatalog):
    def expire(self, expired: Sequence[Snapshot], run_id: str, transaction: Transaction) -> None:
        pass


class TellsTooEarly(LakeCatalog):
    def forget(self, snapshot: Snapshot, expired: Sequence[Snapshot], run_id: str) -> Staged | None:
        staged = super().forget(snapshot, expired, run_id)
        with self._engine.begin() as connection:
            versions.expire(connection, [one.metadata_location for one in expired], run_id)
        return staged


class OffersWhatWent(LakeCatalog):
    def forget(self, snapshot: Snapshot, expired: Sequence[Snapshot], run_id: str) -> Staged | None:
        return None


class DropsTags(LakeCatalog):
    def tagged(self, snapshot: Snapshot) -> frozenset[int]:
        return frozenset()


class ListsWhatIsYoung(LakeCatalog):
    def unused(self, snapshot: Snapshot, expired: Sequence[Snapshot], older_than: datetime) -> Mapping[str, int]:
        return super().unused(snapshot, expired, datetime.max.replace(tzinfo=UTC))


class DeletesWhatIsShared(LakeCatalog):
    def unused(self, snapshot: Snapshot, expired: Sequence[Snapshot], older_than: datetime) -> Mapping[str, int]:
        found = {uri for one in expired for uri in self._iceberg.parts(one)}
        return {**super().unused(snapshot, expired, older_than), **dict.fromkeys(found, 0)}


class Right(LakeCatalog):
    """Get nothing wrong."""


CASES: dict[type[LakeCatalog], Callable[[World], None]] = {
    ShowsWhatIsStaged: lambda world: CatalogSuite().test_staged_is_invisible(world),
    PublishesInItsOwnTransactions: lambda world: CatalogSuite().test_a_transaction_that_fails_publishes_none_of_its_tables(world),
    TheLastWriterWins: lambda world: CatalogSuite().test_of_two_publishers_from_the_same_base_one_wins_and_the_other_is_told(
        world, there=True
    ),
    PublishesTheSameTwice: lambda world: CatalogSuite().test_publishing_the_same_again_changes_nothing(world),
    TellsTheWinnerToo: lambda world: CatalogSuite().test_of_many_publishers_at_once_one_wins(world),
    DiscardsAllOfARun: lambda world: CatalogSuite().test_discard_keeps_what_the_run_published(world),
    DiscardsTooLittle: lambda world: CatalogSuite().test_discard_deletes_exactly_what_was_not_published(world),
    ForgetsHistory: lambda world: CatalogSuite().test_history_does_not_change(world),
    LivesInThePresent: lambda world: CatalogSuite().test_a_cut_in_the_past_is_consistent_across_tables(world),
    DoesNotSeeStrangers: lambda world: CatalogSuite().test_a_foreign_commit_is_seen_and_kept(world),
    KeepsWhatIsGone: lambda world: CatalogSuite().test_single_rows_and_whole_files_go_while_others_come(world),
    ForgetsDeletesWhenItReads: lambda world: CatalogSuite().test_rows_that_are_gone_stay_gone_when_others_are_added(world),
    CountsNoRowAsGone: lambda world: CatalogSuite().test_single_rows_and_whole_files_go_while_others_come(world),
    TellsNobodyWhatExpired: lambda world: CatalogSuite().test_a_version_that_expires_is_told_to_whoever_asks_and_the_others_read_as_ever(
        world
    ),
    TellsTooEarly: lambda world: CatalogSuite().test_nothing_expires_until_its_transaction_is_done(world),
    OffersWhatWent: lambda world: CatalogSuite().test_a_foreign_reader_is_offered_no_version_that_went(world),
    DropsTags: lambda world: CatalogSuite().test_a_tag_keeps_its_version(world),
    ListsWhatIsYoung: lambda world: CatalogSuite().test_what_is_young_is_not_listed_and_a_stray_file_is(world),
    DeletesWhatIsShared: lambda world: CatalogSuite().test_a_version_that_expires_is_told_to_whoever_asks_and_the_others_read_as_ever(
        world
    ),
    AlwaysReplaces: lambda world: CatalogSuite().test_rows_are_added_or_take_the_place_of_what_was_there(world),
}


@pytest.mark.parametrize("wrong", CASES, ids=lambda wrong: wrong.__name__)
def test_the_suite_catches_a_catalog_that(wrong: type[LakeCatalog], tmp_path: Path) -> None:
    with (
        world_of(f"sqlite:///{tmp_path}/state.db", StorageConfig(str(tmp_path / "lake")), wrong) as world,
        pytest.raises((AssertionError, pytest.fail.Exception, LimnosError, KeyError)),
    ):
        CASES[wrong](world)


@pytest.mark.parametrize("wrong", CASES, ids=lambda wrong: wrong.__name__)
def test_the_same_test_lets_the_right_catalog_pass_that_catches(wrong: type[LakeCatalog], tmp_path: Path) -> None:
    with world_of(f"sqlite:///{tmp_path}/state.db", StorageConfig(str(tmp_path / "lake")), Right) as world:
        CASES[wrong](world)
