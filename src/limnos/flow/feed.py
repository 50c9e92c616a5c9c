"""Feed: drain the change stream of a source once a run, to disk, and hand it out table by table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from limnos.errors import LimnosError
from limnos.flow.sourcing import Candidate
from limnos.model.changes import COMMITTED_AT, Changes
from limnos.model.names import literal, quoted
from limnos.model.position import Position
from limnos.model.types import sql_type
from limnos.ports import ChangeReading

_Writers: TypeAlias = dict[str, tuple[pa.Schema, pq.ParquetWriter]]


@dataclass(slots=True)
class Feed:
    """Hold what happened to one table since its last position, as Parquet files; `reload` says why that cannot be told."""

    identity: tuple[str, ...] = ()
    reload: str = ""
    rows: int = 0
    oldest: datetime | None = None
    files: list[Path] = field(default_factory=list[Path])
    schemas: list[pa.Schema] = field(default_factory=list[pa.Schema])
    """The shape of all rows in each of the files."""


def scan(files: Sequence[Path], schema: pa.Schema) -> str:
    """Write the SELECT of the changes in some files of a feed, which all have this shape."""
    columns = ", ".join(f"CAST({quoted(field.name)} AS {sql_type(field.type)}) AS {quoted(field.name)}" for field in schema)
    paths = ", ".join(literal(str(file)) for file in files)
    return f"SELECT {columns} FROM read_parquet([{paths}], hive_partitioning = false)"


class Feeds:
    """Drain each source's change stream when the first of its tables is asked for.

    `wanted` names the tables by source and the positions from which they go on. What is drained lies in a directory that goes with `stack`.
    """

    def __init__(self, stack: ExitStack, wanted: Mapping[str, Mapping[str, Position]]) -> None:
        self._stack = stack
        self._wanted = wanted
        self._drained: dict[str, Mapping[str, Feed] | LimnosError] = {}

    def idle(self, chosen: Sequence[Candidate]) -> bool:
        """Whether nothing happened to any of these tables, and all of them are read by their changes alone.

        Raises:
            LimnosError: As draining a source ended.
        """
        wanted = all(one.error is None and one.table.name in self._wanted.get(one.source.name, {}) for one in chosen)
        return wanted and not any((feed := self.of(one)).rows or feed.reload for one in chosen)

    def of(self, candidate: Candidate) -> Feed:
        """Give what happened to a table since its last position.

        Raises:
            LimnosError: As draining the source ended, the same for each of its tables.
        """
        source = candidate.source.name
        if source not in self._drained:
            try:
                self._drained[source] = self._drain(candidate)
            except LimnosError as error:
                self._drained[source] = error
        found = self._drained[source]
        if isinstance(found, LimnosError):
            raise found
        return found.get(candidate.table.name, Feed())

    def _drain(self, candidate: Candidate) -> Mapping[str, Feed]:
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="limnos-feed-")))
        reading = cast("ChangeReading", candidate.reading)
        feeds: dict[str, Feed] = {}
        with ExitStack() as open_files:
            writers: _Writers = {}
            for one in reading.changes(self._wanted.get(candidate.source.name, {})):
                feed = feeds.setdefault(one.table, Feed())
                if one.reload:
                    feed.reload = feed.reload or one.reload
                elif one.rows is not None and not feed.reload:
                    _spool(one, feed, writers, directory, open_files)
        return feeds


def _spool(one: Changes, feed: Feed, writers: _Writers, directory: Path, stack: ExitStack) -> None:
    rows = one.rows
    assert rows is not None  # noqa: S101 the caller looked
    schema, writer = writers.get(one.table, (None, None))
    if writer is None or schema != rows.schema:
        path = directory / f"{len(list(directory.iterdir()))}.parquet"
        # They are read once or twice and then gone: what counts is how soon they are written.
        writer = stack.enter_context(
            pq.ParquetWriter(path, rows.schema, compression="lz4", use_dictionary=False, write_statistics=False, store_schema=False)
        )
        writers[one.table] = rows.schema, writer
        feed.files.append(path)
        feed.schemas.append(rows.schema)
    writer.write_batch(rows)
    feed.identity = one.identity
    feed.rows += rows.num_rows
    oldest = pc.min(rows.column(COMMITTED_AT)).as_py()
    feed.oldest = min(one for one in (feed.oldest, oldest) if one is not None) if oldest or feed.oldest else None
