"""What the files of one table hold, once looked through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from limnos.errors import StorageFailed
from limnos.model.names import literal
from limnos.ports import Session

BATCH_ROWS = 8192
_BATCH_BYTES = 16 * 1024 * 1024
_REJECTS = pa.schema({"origin": pa.string(), "raw": pa.binary(), "reason": pa.string()})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Contents:
    """Hold what `Extract` and `describe` need.

    `kinds` are the JSON kinds each column was seen with, `types` the column types: each where the format has them.
    """

    schema: pa.Schema
    scan: str
    rows: int
    origins: Callable[[Sequence[int]], Sequence[str]]
    rejects: str = ""
    rejected: int = 0
    kinds: Mapping[str, frozenset[str]] | None = None
    types: Mapping[str, pa.DataType] | None = None


@dataclass(slots=True)
class Spool:
    """Write rows to a temporary Parquet file, in bounded batches."""

    path: Path
    schema: pa.Schema
    rows: int = 0
    _columns: list[list[object]] = field(init=False)
    _size: int = 0
    _writer: pq.ParquetWriter | None = None

    def __post_init__(self) -> None:
        self._columns = [[] for _ in self.schema]

    @classmethod
    def of_text(cls, path: Path, width: int) -> Spool:
        """Open a spool of `width` text columns `c0 ...` and a last one, `origin`."""
        return cls(path, pa.schema([*((f"c{number}", pa.string()) for number in range(width)), ("origin", pa.string())]))

    def add(self, row: Sequence[object], size: int) -> None:
        """Add one row of about `size` bytes."""
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self.rows += 1
        self._size += size
        if len(self._columns[0]) >= BATCH_ROWS or self._size >= _BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        if self._columns[0] or self._writer is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        arrays = [pa.array(column, kind) for column, kind in zip(self._columns, self.schema.types, strict=True)]
        try:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self.path, self.schema, compression="zstd")
            self._writer.write_batch(pa.record_batch(arrays, schema=self.schema))
        except OSError as error:
            raise no_room(self.path, error) from error
        self.__post_init__()
        self._size = 0

    @property
    def relation(self) -> str:
        """The file as an SQL relation."""
        return f"read_parquet({literal(str(self.path))})"

    def origins(self, session: Session, ordinals: Sequence[int]) -> Mapping[int, str]:
        """Look up the `origin` of rows by their place in the file, from 0."""
        wanted = ", ".join(str(ordinal) for ordinal in ordinals)
        relation = f"read_parquet({literal(str(self.path))}, file_row_number = true)"
        found = session.run(f"SELECT file_row_number, origin FROM {relation} WHERE file_row_number IN ({wanted})")
        return {row["file_row_number"]: row["origin"] for row in found.to_pylist()}


def no_room(path: Path, error: OSError) -> StorageFailed:
    """Say that the temporary directory refused."""
    return StorageFailed(
        "The temporary directory takes no more",
        subject=str(path.parent),
        seen=str(error),
        expected="free space",
        hint="set TMPDIR to a directory with room",
    )


def rejects_spool(path: Path) -> Spool:
    """Open a spool for what could not become a row."""
    return Spool(path, _REJECTS)
