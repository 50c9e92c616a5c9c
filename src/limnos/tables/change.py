"""One change of a table's files as one Iceberg snapshot: data files and delete files, added and removed together.

Source: Apache Iceberg table specification, version 2, "Snapshots", "Manifests" and "Sequence Numbers".
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pyiceberg.io import OutputFile
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile, ManifestWriter, ManifestWriterV2
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation, SnapshotSummaryCollector, Summary, update_snapshot_summaries
from pyiceberg.table.update.snapshot import _SnapshotProducer  # pyright: ignore[reportPrivateUsage] PyIceberg offers no other way
from pyiceberg.typedef import EMPTY_DICT

from limnos.tables.contents import Contents

_MANIFESTS = 32
"""So many manifests of one kind are made one: each change adds some, and each reader reads all."""


class _DeleteManifestWriter(ManifestWriterV2):
    """Write a manifest of delete files, which PyIceberg only reads."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class Change(_SnapshotProducer["Change"]):
    """Change a table from `before`; `removed` names the paths of files that are no more, of either kind."""

    def __init__(
        self,
        transaction: Transaction,
        before: Contents,
        *,
        data: Sequence[DataFile],
        deletes: Sequence[DataFile],
        removed: frozenset[str],
        run: uuid.UUID,
        properties: dict[str, str],
    ) -> None:
        operation = Operation.OVERWRITE if deletes or removed else Operation.APPEND
        super().__init__(operation, transaction, transaction._table.io, run, properties)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] where it began
        self._before = before
        self._data, self._deletes, self._removed = data, deletes, removed

    def _deleted_entries(self) -> list[ManifestEntry]:
        return []

    def _existing_manifests(self) -> list[ManifestFile]:
        return []

    def _validate_concurrency(self) -> None:
        """A table that another writer moved is a conflict when it is committed."""

    def _manifests(self) -> list[ManifestFile]:
        added = [(ManifestContent.DATA, file) for file in self._data] + [(ManifestContent.DELETES, file) for file in self._deletes]
        new: dict[tuple[ManifestContent, int], list[ManifestEntry]] = defaultdict(list)
        for content, file in added:
            entry = ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, data_file=file)
            new[content, file.spec_id].append(entry)
        old: dict[tuple[ManifestContent, int], list[tuple[ManifestFile, Sequence[ManifestEntry]]]] = defaultdict(list)
        for manifest, entries in self._before.manifests:
            old[manifest.content, manifest.partition_spec_id].append((manifest, entries))
        return [manifest for kind in {**new, **old} for manifest in self._of_kind(kind, new[kind], old[kind])]

    def _of_kind(
        self,
        kind: tuple[ManifestContent, int],
        new: Sequence[ManifestEntry],
        old: Sequence[tuple[ManifestFile, Sequence[ManifestEntry]]],
    ) -> Iterable[ManifestFile]:
        """Leave manifests as they are of which no file goes, unless there are many."""
        many = len(old) >= _MANIFESTS
        touched = [many or any(entry.data_file.file_path in self._removed for entry in entries) for _, entries in old]
        yield from (manifest for (manifest, _), rewrite in zip(old, touched, strict=True) if not rewrite)
        again = [self._again(entry) for (_, entries), rewrite in zip(old, touched, strict=True) if rewrite for entry in entries]
        for entries in filter(None, (new, again)):
            yield self._written(kind, entries)

    def _again(self, entry: ManifestEntry) -> ManifestEntry:
        goes = entry.data_file.file_path in self._removed
        return ManifestEntry.from_args(
            status=ManifestEntryStatus.DELETED if goes else ManifestEntryStatus.EXISTING,
            snapshot_id=self._snapshot_id if goes else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )

    def _written(self, kind: tuple[ManifestContent, int], entries: Sequence[ManifestEntry]) -> ManifestFile:
        content, spec = kind
        with self._writer(content, spec) as writer:
            for entry in entries:
                writer.add_entry(entry)
        return writer.to_manifest_file()

    def _writer(self, content: ManifestContent, spec: int) -> ManifestWriter:
        if content == ManifestContent.DATA:
            return self.new_manifest_writer(self.spec(spec))
        return _DeleteManifestWriter(self.spec(spec), self.schema(), self.new_manifest_output(), self._snapshot_id, self._compression)

    def new_manifest_output(self) -> OutputFile:
        """Name each manifest once: PyIceberg remembers manifests by their path, and a run may stage a table again."""
        path = self._transaction._table.location_provider().new_metadata_location(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            f"{self.commit_uuid}-{self._snapshot_id}-m{next(self._manifest_num_counter)}.avro"
        )
        self._written_manifests.append(path)
        return self._io.new_output(path)

    def _summary(self, snapshot_properties: Mapping[str, str] = EMPTY_DICT) -> Summary:
        metadata = self._transaction.table_metadata
        collector = SnapshotSummaryCollector()
        for file in (*self._data, *self._deletes):
            collector.add_file(file, metadata.schema(), self.spec(file.spec_id))
        for _, entries in self._before.manifests:
            for entry in entries:
                if entry.data_file.file_path in self._removed:
                    collector.remove_file(entry.data_file, metadata.schema(), self.spec(entry.data_file.spec_id))
        parent = metadata.current_snapshot()
        return update_snapshot_summaries(
            Summary(operation=self._operation, **collector.build(), **snapshot_properties), parent.summary if parent else None
        )
