"""Trusted SQL of our own rooms on one connection."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from limnos.engines.duckdb.errors import in_our_words, storage_failed, translated
from limnos.engines.duckdb.footers import file_groups
from limnos.engines.duckdb.parsing import parsed
from limnos.engines.duckdb.views import live_rows
from limnos.errors import LimnosError
from limnos.model.data import Layout, Relation, WrittenFile
from limnos.model.digest import Hash
from limnos.model.names import literal, quoted
from limnos.quality import comparison_compiled

BATCH_ROWS = 65_536
# Both below the engine's own: a fifth less work, for files 1 % larger. Who has more values than that in a row group gets no dictionary.
_CODEC = "COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 8192"
# Of a row group, each thread holds the rows and what they are compressed to. Two thirds of the default, for files 1 % larger.
_ROWS_AT_ONCE = 81_920
_BOUNDED_GROUP_BYTES = 16 * 1024 * 1024
"""What a thread of a bounded session holds of a file it writes: whole row groups of wide rows would not fit."""


class DuckSession:
    """Run trusted SQL on one DuckDB connection; temporary tables live as long as it does.

    `reach` is told each path before it is used, so that what object storage needs is loaded only then. `bounded` says that memory is.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, reach: Callable[[str], None], *, bounded: bool = False) -> None:
        self._connection = connection
        self._reach = reach
        self._bounded = bounded
        self._hashes = False

    def run(self, sql: str, **inputs: pa.Table | pa.RecordBatchReader) -> pa.Table:
        """Run one statement and give its whole result.

        Raises:
            QueryInvalid: If it does not parse, bind or run.
            StorageFailed: If a file cannot be read or written.
        """
        with self._inputs(inputs), in_our_words(self._connection, _of_session):
            self._reach(sql)
            return self._connection.execute(sql).to_arrow_table()

    def relation(self, relation: Relation, *, positions: bool = False) -> str:
        """Write the SELECT of a version's live rows; with `positions`, each row says where it is."""
        for file in (*relation.files, *relation.deletes):
            self._reach(file)
        with in_our_words(self._connection, lambda error: storage_failed(str(relation.table), str(error))):
            return live_rows(relation, file_groups(self._connection, relation.files), positions=positions)

    def tables_of(self, sql: str, known: Iterable[str] = ()) -> frozenset[str]:
        """Judge text that is not our own as a query is judged, and name the relations that it reads, as written.

        Raises:
            QueryInvalid: If it is not exactly one SELECT, or names a relation or function that is not on the allow-list.
        """
        return frozenset(str(each) for each in parsed(self._connection, sql, known))

    def stream(self, sql: str, *, batch_rows: int = BATCH_ROWS, **inputs: pa.Table | pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Run one SELECT and give its result as a one-pass stream; inputs stay registered until the session ends.

        Raises:
            QueryInvalid: If it does not parse, bind or run; also while it is read.
            StorageFailed: If a file cannot be read; also while it is read.
        """
        self._register(inputs)
        with in_our_words(self._connection, _of_session):
            self._reach(sql)
            reader = self._connection.execute(sql).to_arrow_reader(batch_rows)
        return guarded(reader, _of_session)

    def hashes(self) -> frozenset[Hash]:
        """Name the hashes of texts that SQL can compute here; those of compiled code are made known to this connection."""
        library = comparison_compiled.library()
        if library is None:
            return frozenset({Hash.MD5})
        if not self._hashes:
            # Without annotations, for the driver would evaluate them.
            lookup3: Callable[..., Any] = lambda texts: comparison_compiled.hashes(library, texts.combine_chunks())  # noqa: E731
            self._connection.create_function(comparison_compiled.FUNCTION, lookup3, ["VARCHAR"], "BIGINT", type=PythonUDFType.ARROW)
            self._hashes = True
        return frozenset({Hash.MD5, Hash.LOOKUP3})

    def write(self, sql: str, layout: Layout, **inputs: pa.Table | pa.RecordBatchReader) -> tuple[WrittenFile, ...]:
        """Write the rows of one SELECT as zstd Parquet files with new names, one set per thread or per partition value.

        Raises:
            QueryInvalid: If the SELECT does not parse, bind or run.
            StorageFailed: If the storage is full, read-only or out of reach.
        """
        if "://" not in layout.directory:
            try:
                Path(layout.directory).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_failed(layout.directory, str(error)) from error
        with self._inputs(inputs), in_our_words(self._connection, lambda error: translated(error, layout.directory)):
            self._reach(layout.directory)
            self._reach(sql)
            with self._any_order(layout):
                rows = self._connection.execute(_copy(sql, layout, bounded=self._bounded)).fetchall()
            for path in (str(row[0]) for row in rows if not row[1] and "://" not in str(row[0])):
                # Of no rows the engine makes a file all the same, which no version would ever name.
                Path(path).unlink(missing_ok=True)
        return tuple(_written(row) for row in rows if row[1])

    @contextmanager
    def _any_order(self, layout: Layout) -> Generator[None]:
        """Let several threads write one file; to keep the order of the rows, the engine would hold many of them back."""
        if layout.one_file:
            self._connection.execute("SET preserve_insertion_order = false")
        try:
            yield
        finally:
            if layout.one_file:
                self._connection.execute("RESET preserve_insertion_order")

    @contextmanager
    def _inputs(self, inputs: Mapping[str, pa.Table | pa.RecordBatchReader]) -> Generator[None]:
        self._register(inputs)
        try:
            yield
        finally:
            for name in inputs:
                self._connection.unregister(name)

    def _register(self, inputs: Mapping[str, pa.Table | pa.RecordBatchReader]) -> None:
        for name, rows in inputs.items():
            # The driver would read a reader ahead of the engine, without a bound; the same stream as a capsule is read as it is asked for.
            self._connection.register(name, rows.__arrow_c_stream__() if isinstance(rows, pa.RecordBatchReader) else rows)  # type: ignore[no-untyped-call]


def guarded(reader: pa.RecordBatchReader, ours: Callable[[duckdb.Error], LimnosError]) -> pa.RecordBatchReader:
    """Pass a stream on so that an error in its middle is one of ours."""

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except duckdb.Error as error:
            raise ours(error) from error
        except (pa.ArrowException, OSError) as error:
            raise ours(duckdb.Error(str(error))) from error

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _of_session(error: duckdb.Error) -> LimnosError:
    return translated(error, "engine session")


def _copy(sql: str, layout: Layout, *, bounded: bool) -> str:
    selected, target = f"SELECT * FROM ({sql})", layout.directory
    options = ["FORMAT parquet", _CODEC, "RETURN_STATS"]
    if bounded:
        options.append(f"ROW_GROUP_SIZE_BYTES {_BOUNDED_GROUP_BYTES}")
    if layout.field_ids:
        options.append(f"FIELD_IDS {_field_ids(layout.field_ids)}")
    if layout.partitions:
        extra = ", ".join(f"{expression} AS {quoted(alias)}" for alias, expression in layout.partitions.items())
        selected = f"SELECT *, {extra} FROM ({sql})"
        options.append(f"PARTITION_BY ({', '.join(quoted(alias) for alias in layout.partitions)})")
    elif not layout.one_file:
        options.append("PER_THREAD_OUTPUT")
    if layout.one_file and not layout.partitions:
        options.append(f"ROW_GROUP_SIZE {_ROWS_AT_ONCE}")
        target = f"{target}/{uuid4()}.parquet"
    else:
        options += ["FILENAME_PATTERN '{uuid}'", "OVERWRITE_OR_IGNORE"]
    return f"COPY ({selected}) TO {literal(target)} ({', '.join(options)})"


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
