"""The published versions of tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from limnos.model.chunk import Chunk, LandedChunk
from limnos.model.contract import Contract
from limnos.model.data import Gone, Layout, LiveFile, Relation, Snapshot, Staged, WrittenFile
from limnos.model.names import TableName


class Transaction(Protocol):
    """Share one database transaction of the state database between catalog and ledger; `connection` is SQLAlchemy's."""

    @property
    def connection(self) -> Any:  # noqa: ANN401 the type belongs to a driver, which this room does not import
        """The open connection."""
        ...


@runtime_checkable
class Catalog(Protocol):
    """Keep the published versions of tables.

    Suite: `limnos.testing.catalog`: staged is invisible; publish is atomic and idempotent; of two publishers one wins, the other is told;
    history is immutable.
    """

    def pin(self, as_of: datetime | None = None) -> Mapping[TableName, Snapshot]:
        """Take one consistent cut over all tables, now or as they were; a table that did not exist is left out."""
        ...

    def relation(self, snapshot: Snapshot) -> Relation:
        """Say how to read a published version.

        Raises:
            VersionExpired: If it is kept no longer.
        """
        ...

    def history(self, table: TableName) -> tuple[Snapshot, ...]:
        """List the published versions of a table, oldest first."""
        ...

    def layout(self, contract: Contract, run_id: str, *, replace: bool) -> Layout:
        """Say where and how the files of a new version are to be written, as `stage` will be called; no reader sees a change.

        Raises:
            SchemaDrift: If the published columns cannot become the contract's.
        """
        ...

    def files(self, snapshot: Snapshot) -> tuple[LiveFile, ...]:
        """Describe the data files of a published version."""
        ...

    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool, gone: Gone | None = None) -> Staged:
        """Make a version of these files, instead of what is published (`replace`) or added to it less `gone`; no reader sees it."""
        ...

    def publish(self, staged: Sequence[Staged], transaction: Transaction) -> tuple[Snapshot, ...]:
        """Move the pointers of all these tables inside `transaction`; publishing the same again changes nothing.

        Raises:
            PublishConflict: If another writer moved one of them since it was staged.
        """
        ...

    def delete(self, files: Sequence[WrittenFile]) -> None:
        """Delete files that were written and are not going to be staged."""
        ...

    def discard(self, run_id: str) -> int:
        """Delete every file that a run wrote and did not publish, but for those of remembered chunks; gives how many."""
        ...

    def remember(self, table: TableName, landed: LandedChunk) -> None:
        """Remember a chunk of a load that is not published yet; its files outlive the run until the table is published."""
        ...

    def remembered(self, table: TableName, basis: str, same: Callable[[Sequence[Chunk]], Collection[Chunk]]) -> tuple[LandedChunk, ...]:
        """Give what was landed on this basis, is the `same` and whose files are whole; forgets the other chunks of the table."""
        ...

    def forget_chunks(self, table: TableName | None = None) -> None:
        """Give up the remembered chunks of a table, or of all; `sweep` deletes their files."""
        ...

    def sweep(self) -> None:
        """Delete the files of chunks that are remembered no more and were not published."""
        ...

    def tagged(self, snapshot: Snapshot) -> frozenset[int]:
        """Give the ids of the versions that a branch or tag of the table names, as the published one says."""
        ...

    def unused(self, snapshot: Snapshot, expired: Sequence[Snapshot], older_than: datetime) -> Mapping[str, int]:
        """List the files of a table, with their bytes, that were written before an instant and that no version needs but the expired ones.

        `snapshot` is the published version.
        """
        ...

    def forget(self, snapshot: Snapshot, expired: Sequence[Snapshot], run_id: str) -> Staged | None:
        """Make a version of the published one that lists no expired ones; None where it lists none. No row changes.

        Raises:
            PublishConflict: If `snapshot` is not what is published.
        """
        ...

    def expire(self, expired: Sequence[Snapshot], run_id: str, transaction: Transaction) -> None:
        """Record inside `transaction` that versions are kept no longer; `relation` of one then raises `VersionExpired`."""
        ...

    def remove(self, uris: Sequence[str]) -> int:
        """Delete files that no version needs; gives how many."""
        ...

    def probe(self) -> str:
        """Write and delete a small file where tables are, and say so.

        Raises:
            StorageFailed: If the storage refuses.
        """
        ...
