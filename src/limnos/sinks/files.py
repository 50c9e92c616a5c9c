"""Rows into one file, all or nothing."""

from __future__ import annotations

import filecmp
import os
import uuid
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from limnos.errors import StorageFailed
from limnos.sinks.rows import write_rows


class FileSink:
    """Write rows to a file that appears whole or not at all; what was there before stays until then.

    A replay with the same content leaves the file as it is, its time included. `form` is one of `limnos.sinks.rows.FORMATS`.
    """

    kind: ClassVar[str] = "file"

    def __init__(self, path: str | Path, form: str) -> None:
        self._path = Path(path)
        self._form = form

    def write(self, rows: pa.RecordBatchReader) -> int:
        """Write all rows or none; gives how many.

        Raises:
            StorageFailed: If the directory is missing, read-only or full.
            Unsupported: If the format does not exist or has no place for a column's type.
        """
        beside = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        try:
            try:
                with beside.open("xb") as file:
                    count = write_rows(rows, file, self._form)
                    file.flush()
                    os.fsync(file.fileno())
                if not self._holds(beside):
                    beside.replace(self._path)
                    self._remember()
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise StorageFailed(
                "The file cannot be written",
                subject=str(self._path),
                seen=error.strerror or str(error),
                expected="a writable directory with free space",
                hint="name another place with --output",
            ) from error
        return count

    def _holds(self, other: Path) -> bool:
        return self._path.is_file() and filecmp.cmp(self._path, other, shallow=False)

    def _remember(self) -> None:
        """Make the new name survive a power cut."""
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
