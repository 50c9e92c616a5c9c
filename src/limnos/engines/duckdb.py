"""The embedded engine: DuckDB."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import duckdb
import pyarrow as pa

from limnos.errors import StorageFailed
from limnos.model.data import Layout, WrittenFile
from limnos.model.names import literal, quoted

_CODEC = "zstd"


class DuckSession:
    """Run trusted SQL on one DuckDB connection; temporary tables live as long as it does."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, sql: str, **inputs: pa.Table | pa.RecordBatchReader) -> pa.Table:
        """Run one statement and give its whole result."""
        with self._inputs(inputs):
            return self._connection.execute(sql).to_arrow_table()

    def stream(self, sql: str, **inputs: pa.Table | pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Run one SELECT and give its result as a one-pass stream; inputs stay registered until the session ends."""
        for name, rows in inputs.items():
            self._connection.register(name, rows)
        return self._connection.execute(sql).to_arrow_reader(65_536)

    def write(self, sql: str, layout: Layout, **inputs: pa.Table | pa.RecordBatchReader) -> tuple[WrittenFile, ...]:
        """Write the rows of one SELECT as zstd Parquet files, one set per thread or per partition value."""
        if "://" not in layout.directory:
            try:
                Path(layout.directory).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _storage_failed(layout.directory, str(error)) from error
        selected = f"SELECT * FROM ({sql})"
        options = ["FORMAT parquet", f"COMPRESSION {_CODEC}", "RETURN_STATS", "FILENAME_PATTERN '{uuid}'", f"FIELD_IDS {_field_ids(layout.field_ids)}"]
        if layout.partitions:
            extra = ", ".join(f"{expression} AS {quoted(alias)}" for alias, expression in layout.partitions.items())
            selected = f"SELECT *, {extra} FROM ({sql})"
            options += [f"PARTITION_BY ({', '.join(quoted(alias) for alias in layout.partitions)})", "OVERWRITE_OR_IGNORE"]
        else:
            options += ["PER_THREAD_OUTPUT", "OVERWRITE_OR_IGNORE"]
        copy = f"COPY ({selected}) TO {literal(layout.directory)} ({', '.join(options)})"
        with self._inputs(inputs):
            try:
                rows = self._connection.execute(copy).fetchall()
            except duckdb.IOException as error:
                raise _storage_failed(layout.directory, str(error)) from error
        return tuple(_written(row) for row in rows if row[1])

    @contextmanager
    def _inputs(self, inputs: Mapping[str, pa.Table | pa.RecordBatchReader]) -> Iterator[None]:
        for name, rows in inputs.items():
            self._connection.register(name, rows)
        try:
            yield
        finally:
            for name in inputs:
                self._connection.unregister(name)


def _storage_failed(directory: str, seen: str) -> StorageFailed:
    return StorageFailed(
        "Cannot write to the lake", subject=directory, seen=seen.splitlines()[0], expected="a writable directory with free space", hint="limnos doctor"
    )


def _field_ids(ids: Mapping[str, object]) -> str:
    """Write the field ids in the engine's notation; a nested column is a mapping whose own id stands under `""`."""
    parts: list[str] = []
    for name, value in ids.items():
        key = "__duckdb_field_id" if name == "" else name
        parts.append(f"{quoted(key)}: {_field_ids(value) if isinstance(value, Mapping) else value}")
    return "{" + ", ".join(parts) + "}"


def _written(row: tuple[object, ...]) -> WrittenFile:
    path, rows, size, _, statistics, partition = row
    columns: dict[str, dict[str, str]] = {_bare(name): values for name, values in (statistics or {}).items()}  # type: ignore[attr-defined]
    return WrittenFile(
        path=str(path),
        rows=int(str(rows)),
        size_bytes=int(str(size)),
        null_counts={name: int(values["null_count"]) for name, values in columns.items() if "null_count" in values},
        minimums={name: values["min"] for name, values in columns.items() if "min" in values},
        maximums={name: values["max"] for name, values in columns.items() if "max" in values},
        partition=dict(partition or {}),  # type: ignore[call-overload]
    )


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


class DuckEngine:
    """Run SQL with DuckDB, in this process."""

    name: ClassVar[str] = "duckdb"

    def __init__(self, *, memory_bytes: int = 0, threads: int = 0, temp_directory: str = "") -> None:
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._temp_directory = temp_directory
        self._lock = threading.Lock()

    @contextmanager
    def session(self) -> Iterator[DuckSession]:
        """Open a connection of its own for trusted SQL."""
        with duckdb.connect(":memory:", config=self._config()) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield DuckSession(connection)

    def _config(self) -> dict[str, str]:
        config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "preserve_insertion_order": "true"}
        if self._memory_bytes:
            config["memory_limit"] = f"{self._memory_bytes}B"
        if self._threads:
            config["threads"] = str(self._threads)
        if self._temp_directory:
            config["temp_directory"] = self._temp_directory
        return config


_ = json
