"""The lake's tables: pointers in the state database, moved for a whole run in one transaction."""

from __future__ import annotations

import posixpath
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection, Engine

from limnos.errors import StorageFailed, VersionExpired
from limnos.model.chunk import Chunk, LandedChunk
from limnos.model.contract import Contract
from limnos.model.data import Gone, Layout, LiveFile, Relation, Snapshot, Staged, WrittenFile
from limnos.model.names import TableName
from limnos.ports import Transaction as StateTransaction
from limnos.tables import chunks, relations, versions
from limnos.tables.storage import Storage
from limnos.tables.versions import Pointer

if TYPE_CHECKING:
    from limnos.tables.iceberg import Iceberg

_REMEMBERED = 1_000


class LakeCatalog:
    """Keep the lake's tables in the state database, as PyIceberg's SQL catalog lays them down."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._engine = engine
        self._storage = storage
        versions.metadata.create_all(engine)
        self._relations: dict[str, Relation] = {}

    @cached_property
    def _iceberg(self) -> Iceberg:
        # Importing PyIceberg takes most of a second: a query that reads no table does not pay for it.
        from limnos.tables.iceberg import Iceberg  # noqa: PLC0415 start-up

        return Iceberg(self._engine, self._storage)

    def pin(self, as_of: datetime | None = None) -> Mapping[TableName, Snapshot]:
        """Take one consistent cut over all tables, now or as they were."""
        if as_of is not None:
            return {snapshot.table: snapshot for snapshot in versions.as_of(self._engine, as_of)}
        ours, foreign = versions.current(self._engine)
        found = [*ours, *(self._iceberg.describe(pointer.table, pointer.new) for pointer in foreign)]
        return {snapshot.table: snapshot for snapshot in found}

    def relation(self, snapshot: Snapshot) -> Relation:
        """Say how to read a published version; remembered, for a version never changes."""
        if snapshot.expired:
            raise VersionExpired(
                f"The version of {snapshot.table} as of then has expired",
                subject=str(snapshot.table),
                seen=f"version {snapshot.snapshot_id} of {snapshot.at.isoformat(timespec='seconds')}, which limnos upkeep let go",
                expected="a version that is kept",
                hint=f"limnos history {snapshot.table}",
            )
        if snapshot.metadata_location not in self._relations:
            kept = relations.find(self._engine, snapshot)
            if len(self._relations) >= _REMEMBERED:
                self._relations.pop(next(iter(self._relations)))
            self._relations[snapshot.metadata_location] = kept or self._iceberg.relation(snapshot)
        return self._relations[snapshot.metadata_location]

    def history(self, table: TableName) -> tuple[Snapshot, ...]:
        """List the published versions of a table, oldest first; of those by other writers, only the current one is known."""
        _, foreign = versions.current(self._engine)
        strange = [self._iceberg.describe(table, pointer.new) for pointer in foreign if pointer.table == table]
        return (*versions.history(self._engine, table), *strange)

    def layout(self, contract: Contract, run_id: str, *, replace: bool) -> Layout:
        """Say where and how the files of a new version are to be written; changes nothing that a reader sees."""
        return self._iceberg.layout(contract, run_id, replace=replace)

    def files(self, snapshot: Snapshot) -> tuple[LiveFile, ...]:
        """Describe the data files of a published version."""
        return self._iceberg.live_files(snapshot, self.relation(snapshot).gone)

    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool, gone: Gone | None = None) -> Staged:
        """Make a version of these files, instead of what is published (`replace`) or added to it less `gone`; no reader sees it.

        Raises:
            PublishConflict: If a file that is to go is there no more.
        """
        return self._iceberg.stage(contract, files, run_id, replace=replace, gone=gone or Gone())

    def publish(self, staged: Sequence[Staged], transaction: StateTransaction) -> tuple[Snapshot, ...]:
        """Move the pointers of all these tables inside `transaction`; publishing the same again changes nothing."""
        connection: Connection = transaction.connection
        at = versions.instant(connection)
        published: list[Snapshot] = []
        for one in staged:
            if not isinstance(one.handle, Pointer):
                raise TypeError("staged by another catalog")
            snapshot = versions.recorded(connection, one.handle.new)
            if snapshot is None:
                snapshot = replace(one.snapshot, at=at)
                versions.move(connection, one.handle)
                versions.record(connection, snapshot)
                relations.record(connection, snapshot.metadata_location, one.relation)
                chunks.spend(connection, snapshot.table, kept=frozenset(one.relation.files))
            published.append(snapshot)
        return tuple(published)

    def delete(self, files: Sequence[WrittenFile]) -> None:
        """Delete files that were written and are not going to be staged."""
        self._storage.delete([file.path for file in files])

    def discard(self, run_id: str) -> int:
        """Delete every file that a run wrote and did not publish, but for those of remembered chunks; gives how many."""
        run = str(uuid.uuid5(uuid.NAMESPACE_URL, run_id))
        kept = {uri for snapshot in versions.published_by(self._engine, run_id) for uri in self._iceberg.parts(snapshot)}
        kept |= {file.path for landed, _ in chunks.find(self._engine) for file in (*landed.files, *landed.failed)}
        stray = [
            uri
            for uri in self._storage.files_below(self._storage.uri)
            if (f"/data/{run_id}/" in uri or (run in uri and "/metadata/" in uri)) and uri not in kept
        ]
        count = self._storage.delete(stray)
        for directory in {uri[: uri.index(f"/data/{run_id}/")] + f"/data/{run_id}" for uri in stray if f"/data/{run_id}/" in uri}:
            self._storage.delete_empty_directories(directory)
        return count

    def remember(self, table: TableName, landed: LandedChunk) -> None:
        """Remember a chunk of a load that is not published yet; its files outlive the run until the table is published."""
        digest = self._storage.digest((*landed.files, *landed.failed))
        with self._engine.begin() as connection:
            chunks.record(connection, table, landed, digest)

    def remembered(self, table: TableName, basis: str, same: Callable[[Sequence[Chunk]], Collection[Chunk]]) -> tuple[LandedChunk, ...]:
        """Give what was landed on this basis, is the `same` and whose files are whole; forgets the other chunks of the table."""
        found = chunks.find(self._engine, table)
        usable = [landed.chunk for landed, _ in found if landed.basis == basis]
        wanted = same(usable) if usable else ()
        fit = [landed for landed, digest in found if landed.basis == basis and landed.chunk in wanted and self._whole(landed, digest)]
        useless = {landed.chunk.name for landed, _ in found} - {landed.chunk.name for landed in fit}
        if useless:
            with self._engine.begin() as connection:
                chunks.spend(connection, table, names=useless)
        return tuple(fit)

    def _whole(self, landed: LandedChunk, digest: str) -> bool:
        try:
            return self._storage.digest((*landed.files, *landed.failed)) == digest
        except StorageFailed:
            return False

    def forget_chunks(self, table: TableName | None = None) -> None:
        """Give up the remembered chunks of a table, or of all; `sweep` deletes their files."""
        with self._engine.begin() as connection:
            chunks.spend(connection, table)

    def sweep(self) -> None:
        """Delete the files of chunks that are remembered no more and were not published."""
        uris = chunks.spent_files(self._engine)
        if uris:
            self._storage.delete(uris)
            for directory in {uri.rsplit("/", 1)[0] for uri in uris}:
                self._storage.delete_empty_directories(directory)
            with self._engine.begin() as connection:
                chunks.swept(connection, uris)

    def tagged(self, snapshot: Snapshot) -> frozenset[int]:
        """Give the ids of the versions that a branch or tag of the table names, as the published one says."""
        return self._iceberg.named(snapshot)

    def unused(self, snapshot: Snapshot, expired: Sequence[Snapshot], older_than: datetime) -> Mapping[str, int]:
        """List files of a table that no version needs but those that expire; of the published one, all that it lists counts."""
        going = {one.metadata_location for one in expired}
        kept = [one for one in self.history(snapshot.table) if not one.expired and one.metadata_location not in going]
        ids = _only(expired, kept) - self.tagged(snapshot)
        needed = self._iceberg.needed(kept, snapshot, ids)
        home = self._storage.home(snapshot.metadata_location)
        found = {**self._storage.older(f"{home}/data", older_than), **self._storage.older(f"{home}/metadata", older_than)}
        return {uri: size for uri, size in found.items() if self._storage.path(uri) not in needed}

    def forget(self, snapshot: Snapshot, expired: Sequence[Snapshot], run_id: str) -> Staged | None:
        """Make a version of the published one that lists no expired ones; None where it does not, and nothing is to be done."""
        going = {one.metadata_location for one in expired}
        kept = [one for one in self.history(snapshot.table) if not one.expired and one.metadata_location not in going]
        made = self._iceberg.forget(snapshot, _only(expired, kept), run_id)
        if made is None:
            return None
        version = replace(snapshot, run_id=run_id, metadata_location=made[0].new)
        return Staged(snapshot.table, self.relation(snapshot), version, made[0])

    def expire(self, expired: Sequence[Snapshot], run_id: str, transaction: StateTransaction) -> None:
        """Record inside `transaction` that versions are kept no longer: whoever asks for one is told so."""
        locations = [one.metadata_location for one in expired]
        versions.expire(transaction.connection, locations, run_id)
        relations.forget(transaction.connection, locations)

    def remove(self, uris: Sequence[str]) -> int:
        """Delete files that no version needs, and the directories that they leave empty; gives how many files."""
        count = self._storage.delete(uris)
        for directory in {posixpath.dirname(uri) for uri in uris}:
            self._storage.delete_empty_directories(directory)
        return count

    def probe(self) -> str:
        """Write and delete a small file where tables are, and say so.

        Raises:
            StorageFailed: If the storage refuses.
        """
        return self._storage.probe()


def _only(expired: Sequence[Snapshot], kept: Sequence[Snapshot]) -> frozenset[int]:
    """Give the snapshots that only expired versions stand at; two versions may stand at one."""
    return frozenset(one.snapshot_id for one in expired) - {one.snapshot_id for one in kept}
