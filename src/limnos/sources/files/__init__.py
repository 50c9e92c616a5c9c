"""Read files: CSV, NDJSON and Parquet, plain, gzip or zstd, one or many a table, from a directory or from object storage."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from limnos.errors import LimnosError, UnknownName
from limnos.model.contract import Column, Contract
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Engine, Session
from limnos.sources.files import csv, inventory, ndjson, parquet
from limnos.sources.files.contents import Contents
from limnos.sources.files.dialect import OPTIONS, Dialect, Format, dialects
from limnos.sources.files.inference import infer
from limnos.sources.files.inventory import File

__all__ = ["FilesReading", "FilesSource"]


class FilesSource:
    """Read files as tables.

    `known` may be set to the positions of the last run, by table name in the source: files that look the same are then not hashed again.
    """

    kind: ClassVar[str] = "files"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.FINGERPRINT})
    options: ClassVar[tuple[Option, ...]] = OPTIONS

    def __init__(self, config: SourceConfig, engine: Engine) -> None:
        self.known = config.known
        self._root = config.root.absolute()
        self._engine = engine
        self._dialects = dialects(config)

    @contextmanager
    def open(self) -> Generator[FilesReading]:
        """List the files; what is read later must still be what was listed.

        Temporary files, which hold the rows of NDJSON and of broken CSV, live as long as the context.

        Raises:
            SourceUnreachable: If no table's path matches a file; one that does not says so when its table is read.
            SourceRefused: If no table's files may be read.
        """
        with tempfile.TemporaryDirectory(prefix="limnos-") as temporary, self._engine.session() as session:
            files = {name: _found(dialect, self._root, session) for name, dialect in self._dialects.items()}
            failed = [found for found in files.values() if isinstance(found, LimnosError)]
            if failed and len(failed) == len(files):
                raise failed[0]
            yield FilesReading(self._dialects, files, session, Path(temporary), self.known, self._root)

    def findings(self) -> Iterable[Finding]:
        """Tell for each path how many files it matches, and their sizes."""
        with self._engine.session() as session:
            for name, dialect in self._dialects.items():
                try:
                    files = inventory.find(dialect.path, self._root, session)
                except LimnosError as error:
                    yield Finding(f"{name}: {dialect.path}", False, f"{error.what}: {error.seen}", error.hint)
                    continue
                size = sum(file.size for file in files)
                yield Finding(f"{name}: {dialect.path}", True, f"{len(files)} {dialect.format.value} file(s), {size:,} bytes, readable")


def _found(dialect: Dialect, root: Path, session: Session) -> tuple[File, ...] | LimnosError:
    """List a table's files, or keep the error for when the table is read: the other tables are none the worse for it."""
    try:
        return inventory.find(dialect.path, root, session)
    except LimnosError as error:
        return error


class FilesReading:
    """Read the files that were there when the source was opened; its scans, rejects and origins hold while it is open."""

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        files: Mapping[str, tuple[File, ...] | LimnosError],
        session: Session,
        temporary: Path,
        known: Mapping[str, Position],
        root: Path,
    ) -> None:
        self._dialects = dialects
        self._files = files
        self._session = session
        self._temporary = temporary
        self._known = known
        self._root = root
        self._contents: dict[str, Contents] = {}
        self._positions: dict[str, Position] = {}

    def tables(self) -> tuple[str, ...]:
        """Name the declared tables."""
        return tuple(self._dialects)

    def describe(self, table: str, target: TableName) -> Contract:
        """Give the columns of a table: from the footers of Parquet files, else inferred from every value, in one more pass.

        Raises:
            UnknownName: If there is no such table.
        """
        found = self._look(table)
        types = found.types or infer(self._session, found.scan, found.schema.names, found.kinds)
        return Contract(target, tuple(Column(name, types[name]) for name in found.schema.names))

    def position(self, table: str) -> Position:
        """Fingerprint the files of a table by size and SHA-256; compare the `content` of positions.

        Asking once more after the rows were read makes sure that the files did not change under the scan; that costs a look at their times.

        Raises:
            SourceChanged: If a file is no longer what it was when the source was opened.
        """
        dialect = self._dialect(table)
        if table not in self._positions:
            self._positions[table] = inventory.position(self._listed(table), dialect.as_json(), self._session, self._known.get(table))
        inventory.verify(self._listed(table), self._root, self._session)
        return self._positions[table]

    def read(self, table: str, contract: Contract) -> Extract:
        """Hand over the rows of a table as a scan; CSV and NDJSON come as text.

        Raises:
            MalformedFile: If a file holds no rows that can be told apart.
            SchemaDrift: If the files of a table do not have the same columns.
            SourceChanged: If a file is no longer what it was when the source was opened.
        """
        found = self._look(table)
        return Extract(
            schema=found.schema,
            rows=found.rows,
            position=self.position(table),
            scan=found.scan,
            rejects=found.rejects,
            rejected=found.rejected,
            origins=found.origins,
        )

    def _dialect(self, table: str) -> Dialect:
        if table not in self._dialects:
            raise UnknownName.among("table of this source", table, self._dialects, hint="limnos doctor")
        return self._dialects[table]

    def _listed(self, table: str) -> tuple[File, ...]:
        found = self._files[table]
        if isinstance(found, LimnosError):
            raise found
        return found

    def _look(self, table: str) -> Contents:
        dialect = self._dialect(table)
        if table not in self._contents:
            files = self._listed(table)
            temporary = self._temporary / str(len(self._contents))
            temporary.mkdir()
            match dialect.format:
                case Format.CSV:
                    self._contents[table] = csv.contents(files, dialect, self._session, temporary)
                case Format.NDJSON:
                    self._contents[table] = ndjson.contents(files, dialect, self._session, temporary)
                case Format.PARQUET:
                    self._contents[table] = parquet.contents(files, self._session)
        return self._contents[table]
