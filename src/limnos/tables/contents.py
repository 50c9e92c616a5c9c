"""What a version of a table consists of, as its manifests say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.table.metadata import TableMetadata

_THREADS = 4


@dataclass(frozen=True, slots=True)
class Contents:
    """Hold the manifests of a version, each with the entries of the files that live; manifests without one are left out."""

    manifests: Sequence[tuple[ManifestFile, Sequence[ManifestEntry]]]

    @classmethod
    def of(cls, metadata: TableMetadata, io: FileIO) -> Contents:
        """Read the manifests of the current version."""
        current = metadata.current_snapshot()
        manifests = current.manifests(io) if current else []
        with ThreadPoolExecutor(_THREADS) as pool:
            entries = pool.map(lambda manifest: manifest.fetch_manifest_entry(io), manifests)
            return cls([(manifest, living) for manifest, living in zip(manifests, entries, strict=True) if living])

    @property
    def all(self) -> Sequence[DataFile]:
        """The files of every kind."""
        return [entry.data_file for _, entries in self.manifests for entry in entries]

    @property
    def data(self) -> Sequence[DataFile]:
        """The data files."""
        return [entry.data_file for entry in self._entries(ManifestContent.DATA)]

    @property
    def deletes(self) -> Sequence[DataFile]:
        """The position-delete files that can be read here."""
        return [entry.data_file for entry in self._entries(ManifestContent.DELETES) if _readable(entry.data_file)]

    @property
    def unreadable(self) -> Sequence[DataFile]:
        """Delete files of other kinds, which only other writers make."""
        return [entry.data_file for entry in self._entries(ManifestContent.DELETES) if not _readable(entry.data_file)]

    def _entries(self, content: ManifestContent) -> Iterable[ManifestEntry]:
        return (entry for manifest, entries in self.manifests if manifest.content == content for entry in entries)


def _readable(file: DataFile) -> bool:
    return file.content == DataFileContent.POSITION_DELETES and file.file_format == FileFormat.PARQUET
