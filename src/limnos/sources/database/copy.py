"""Keep the rows of one table in a temporary file, so that a slow reader holds no cursor and streams do not meet on one connection."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc

from limnos.sources.database.columns import Misfit, SourceColumn, array, texts

_FIRST_ROWS = 1_000
_MOST_ROWS = 50_000
_BATCH_BYTES = 32 * 1024 * 1024


class Copy:
    """Copy rows; a column with a value that its type does not hold is copied again as text.

    `cast` names the columns that the database itself is to write as text, `as_text` those that we do.
    """

    def __init__(self, path: Path, columns: Sequence[SourceColumn]) -> None:
        self._path = path
        self._columns = columns
        self.cast = {column.name for column in columns if column.cast}
        self.as_text: set[str] = set()

    @property
    def schema(self) -> pa.Schema:
        """The columns as they travel."""
        return pa.schema([pa.field(column.name, pa.string() if self._text(column) else column.type) for column in self._columns])

    def _text(self, column: SourceColumn) -> bool:
        return column.name in self.cast or column.name in self.as_text

    def fill(self, connection: sa.Connection, select: sa.Select[Any]) -> None:
        """Copy all rows of a SELECT of the columns.

        Raises:
            Misfit: If they have to be asked for anew, some columns in another form; see `give_way`.
        """
        schema, size = self.schema, _FIRST_ROWS
        with self._held():
            result = connection.execute(select, execution_options={"stream_results": True})
        with closing(result), pa.OSFile(str(self._path), "wb") as file, pa.ipc.new_stream(file, schema, options=_COMPRESSED) as writer:
            while rows := self._fetched(result, size):
                batch = pa.record_batch(self._arrays(list(zip(*rows, strict=True))), schema=schema)
                writer.write_batch(batch)
                size = max(1, min(_MOST_ROWS, batch.num_rows * _BATCH_BYTES // max(1, batch.nbytes)))

    def _fetched(self, result: sa.CursorResult[Any], size: int) -> Sequence[Any]:
        with self._held():
            return result.fetchmany(size)

    @contextmanager
    def _held(self) -> Generator[None]:
        """Python has no date before the year 1 or after 9999, and no infinite one; databases have: then they write their dates as text."""
        try:
            yield
        except (exc.DataError, ValueError, OverflowError) as error:
            timed = {column.name for column in self._columns if column.timed}
            if timed <= self.cast:
                raise
            raise Misfit(*timed, by_database=True) from error

    def _arrays(self, values: Sequence[Sequence[object]]) -> list[pa.Array[Any]]:
        made: list[pa.Array[Any]] = []
        misfits: list[str] = []
        for column, some in zip(self._columns, values, strict=True):
            try:
                made.append(texts(some) if self._text(column) else array(some, column.type))
            except Misfit:
                misfits.append(column.name)
        if misfits:
            raise Misfit(*misfits)
        return made

    def give_way(self, misfit: Misfit) -> bool:
        """Turn the columns that did not fit into text; false if they were text already."""
        before = len(self.cast) + len(self.as_text)
        (self.cast if misfit.by_database else self.as_text).update(misfit.columns)
        return len(self.cast) + len(self.as_text) > before

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the rows once; the file goes with the last one."""
        with pa.OSFile(str(self._path), "rb") as file, pa.ipc.open_stream(file) as stream:
            yield from stream
        self._path.unlink(missing_ok=True)

    def whole(self) -> pa.Table:
        """Give the rows at once."""
        return pa.Table.from_batches(self.batches(), self.schema)


_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")
