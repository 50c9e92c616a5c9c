"""Land the rows of an extract as files, typed exactly; what does not fit its type stays behind with its original text."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from limnos.errors import LimnosError, MalformedFile, QueryInvalid
from limnos.flow.set_aside import FAILED
from limnos.model.casts import RECORD, Casts, numbered
from limnos.model.chunk import Chunk, Chunks, LandedChunk
from limnos.model.contract import Contract
from limnos.model.conversion import as_text
from limnos.model.data import Layout, WrittenFile
from limnos.model.extract import Extract
from limnos.model.names import literal, quoted
from limnos.ports import Ahead, Engine, Session

_Array: TypeAlias = Any  # an array whose members pyarrow's stubs do not know
_Write: TypeAlias = Callable[[Iterator[pa.RecordBatch]], tuple[tuple[WrittenFile, ...], tuple[WrittenFile, ...]]]
"""Write the rows of a chunk: gives the files of those that fit, and of the raw ones that do not."""
_MOST_PARTITIONS = 8
# Above it, Arrow writes small decimals with an exponent.
_PLAIN_SCALE = 6


@dataclass(frozen=True, slots=True)
class Landed:
    """Hold the files of the rows that fit, and how many did not; those are in the table `FAILED` of the session, raw, with `_record`.

    Of `chunks`, so many are `reused`: an earlier run had read them.
    """

    files: tuple[WrittenFile, ...]
    failed: int
    reused: int = 0
    chunks: int = 0

    @property
    def rows(self) -> int:
        """How many rows the files hold."""
        return sum(file.rows for file in self.files)

    def notes(self, *, ahead: bool = False) -> tuple[str, ...]:
        """Give what is worth telling of it."""
        when = "ahead of the snapshot" if ahead else "before the interruption"
        return (f"{self.reused:,} of {self.chunks:,} chunks were read {when}",) if self.reused else ()


class Memory(Protocol):
    """Remember the chunks of one table until it is published."""

    def remembered(self, basis: str, chunks: Chunks) -> Sequence[LandedChunk]:
        """Give what was landed on this basis before and has the same rows now."""
        ...

    def remember(self, landed: LandedChunk, done: int, total: int) -> None:
        """Remember a chunk, which makes `done` of `total`."""
        ...


def land(engine: Engine, session: Session, extract: Extract, contract: Contract, layout: Layout, memory: Memory | None = None) -> Landed:
    """Write the typed rows of `extract`; a scan costs a second reading only if rows failed, a stream is read once.

    With a `memory`, a stream that comes in chunks is landed chunk by chunk, but for those that are remembered.

    Raises:
        MalformedFile: If the engine gives up on what a scan reads.
    """
    casts = Casts.of(extract.schema, contract)
    if memory is not None and extract.chunks is not None:
        return _land_chunks(engine, session, extract, replace(layout, one_file=True), casts, memory)
    if extract.batches is not None:
        return _land_stream(engine, session, extract, layout, casts)
    try:
        return _land_scan(session, extract, layout, casts)
    except QueryInvalid as error:
        raise MalformedFile(
            f"The rows of {contract.table} cannot be read from their source",
            subject=str(contract.table),
            seen=error.seen,
            expected="a source that can be read to its end",
            hint="mend or replace the damaged file, then run again",
        ) from error


def _land_scan(session: Session, extract: Extract, layout: Layout, casts: Casts) -> Landed:
    files = session.write(casts.fitting(f"({extract.scan}) AS raw"), layout)
    landed = Landed(files, extract.rows - sum(file.rows for file in files) if casts.fails else 0)
    if landed.failed:
        session.run(f"CREATE TEMP TABLE {FAILED} AS SELECT * FROM {numbered(extract.scan)} AS raw WHERE {casts.fails}")
    return landed


def _land_stream(engine: Engine, session: Session, extract: Extract, layout: Layout, casts: Casts) -> Landed:
    with _converter(engine, extract, casts) as converter:
        files = _write_stream(session, converter, Stream(extract), layout, casts)
        failed = converter.run(f"SELECT * FROM {FAILED}") if converter else None
    if not failed:
        return Landed(files, 0)
    session.run(f"CREATE TEMP TABLE {FAILED} AS SELECT * FROM failed", failed=failed)
    return Landed(files, failed.num_rows)


def _land_chunks(engine: Engine, session: Session, extract: Extract, layout: Layout, casts: Casts, memory: Memory) -> Landed:
    """Land what is not remembered.

    Where one chunk has rows of many partitions, the next ones are written without them, as one file each: all of them together are to be
    divided once, when they are there.
    """
    chunks = extract.chunks
    assert chunks is not None  # noqa: S101 the caller asked
    basis = basis_of(chunks.basis, extract.schema, casts.contract, layout)
    plain = replace(layout, partitions={})
    scattered = False
    with _converter(engine, extract, casts) as converter:

        def write(batches: Iterator[pa.RecordBatch]) -> tuple[tuple[WrittenFile, ...], tuple[WrittenFile, ...]]:
            nonlocal scattered
            files = _write_stream(session, converter, Stream(replace(extract, batches=batches)), plain if scattered else layout, casts)
            scattered = scattered or len(files) > _MOST_PARTITIONS
            return files, _write_failed(session, converter, plain)

        landed, reused = _missing(chunks, basis, memory, write)
    failed = tuple(file for one in landed for file in one.failed)
    if failed:
        paths = ", ".join(literal(file.path) for file in failed)
        numbers = f"SELECT * REPLACE (row_number() OVER () - 1 AS {RECORD}) FROM read_parquet([{paths}], hive_partitioning = false)"
        session.run(f"CREATE TEMP TABLE {FAILED} AS {numbers}")
    return Landed(tuple(file for one in landed for file in one.files), sum(file.rows for file in failed), reused, len(chunks.all))


def land_raw(session: Session, extract: Extract, contract: Contract, layout: Layout, memory: Memory) -> Landed:
    """Write the rows of an extract that comes in chunks as they come, for a merge to type them; so none fails."""
    chunks = extract.chunks
    assert chunks is not None  # noqa: S101 the caller asked
    raw = replace(layout, field_ids={}, partitions={}, one_file=True)

    def write(batches: Iterator[pa.RecordBatch]) -> tuple[tuple[WrittenFile, ...], tuple[WrittenFile, ...]]:
        stream = Stream(replace(extract, batches=batches))
        return stream.write(session, "SELECT * FROM raw", raw, stream.reader()), ()

    landed, reused = _missing(chunks, basis_of(chunks.basis, extract.schema, contract, raw), memory, write)
    return Landed(tuple(file for one in landed for file in one.files), 0, reused, len(chunks.all))


def _missing(chunks: Chunks, basis: str, memory: Memory, write: _Write) -> tuple[Sequence[LandedChunk], int]:
    """Write what is not remembered, and remember each chunk as soon as its files are complete; gives all, and how many were there."""
    landed = list(memory.remembered(basis, chunks))
    reused, there = len(landed), {one.chunk.name for one in landed}
    missing = [chunk for chunk in chunks.all if chunk.name not in there]
    with closing(chunks.read(missing)) as parts:
        for chunk, batches in zip(missing, parts, strict=True):
            landed.append(LandedChunk(chunk, basis, *write(batches)))
            if landed[-1].rows == chunk.rows:
                memory.remember(landed[-1], len(landed), len(chunks.all))
    return landed, reused


def basis_of(basis: str, raw: pa.Schema, contract: Contract, layout: Layout) -> str:
    """Say all that the files of a chunk depend on beside its rows; `basis` is what the source says of that."""
    directory = layout.directory.rsplit("/", 1)[0]
    said = [basis, str(raw), contract.version, directory, layout.field_ids, layout.partitions, version("limnos")]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def land_ahead(
    engine: Engine, session: Session, ahead: Ahead, names: Sequence[str], contract: Contract, layout: Layout
) -> Iterator[LandedChunk]:
    """Land these chunks as they are now, for `land` to find them remembered; a chunk that has no rows is none."""
    layout, raw = replace(layout, one_file=True), Extract(ahead.schema, 0, None)
    casts, basis = Casts.of(ahead.schema, contract), basis_of(ahead.basis, ahead.schema, contract, layout)
    with _converter(engine, raw, casts) as converter:
        for name in names:
            drained = _Drained(ahead.read(name))
            files = _write_stream(session, converter, Stream(replace(raw, batches=iter(drained))), layout, casts)
            failed = _write_failed(session, converter, layout)
            if drained.proven is not None and drained.proven.rows:
                yield LandedChunk(drained.proven, basis, files, failed)


class _Drained:
    """Keep what a generator of batches returns at its end."""

    def __init__(self, batches: Generator[pa.RecordBatch, None, Chunk]) -> None:
        self._batches = batches
        self.proven: Chunk | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self.proven = yield from self._batches


@contextmanager
def _converter(engine: Engine, extract: Extract, casts: Casts) -> Generator[Session | None]:
    """Open a session that converts batches, with an empty table `FAILED`; None where every value fits."""
    if not casts.fails:
        yield None
        return
    with engine.session() as converter:
        empty = extract.schema.empty_table()
        converter.run(f"CREATE TEMP TABLE {FAILED} AS SELECT 0::BIGINT AS {RECORD}, * FROM raw", raw=empty)
        yield converter


def _write_stream(session: Session, converter: Session | None, stream: Stream, layout: Layout, casts: Casts) -> tuple[WrittenFile, ...]:
    """Write the rows that fit; the others are added to the converter's table `FAILED`."""
    if converter is None:
        return stream.write(session, casts.fitting("raw"), layout, stream.reader())
    good = _fitting(converter, stream, casts)
    first = next(good, None)
    if first is None:
        return ()
    reader = pa.RecordBatchReader.from_batches(first.schema, _chain(first, good))
    return stream.write(session, "SELECT * FROM raw", layout, reader)


def _write_failed(session: Session, converter: Session | None, layout: Layout) -> tuple[WrittenFile, ...]:
    """Move the rows of the converter's table `FAILED` into a file."""
    failed = converter.run(f"SELECT * FROM {FAILED}") if converter else None
    if not converter or not failed:
        return ()
    converter.run(f"DELETE FROM {FAILED}")
    return session.write("SELECT * FROM failed", replace(layout, field_ids={}), failed=failed)


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _fitting(converter: Session, stream: Stream, casts: Casts) -> Iterator[pa.RecordBatch]:
    """Give the rows that fit, batch by batch; the others are added to the converter's table `FAILED`."""
    start = 0
    schema = casts.contract.schema
    for batch in stream:
        if batch.schema.equals(schema):
            start += batch.num_rows
            yield batch
            continue
        raw = pa.Table.from_batches([batch])
        arrived = Casts.of(batch.schema, casts.contract)
        good = converter.run(_storable(arrived), raw=raw)
        if good.num_rows < raw.num_rows:
            ordinal = f"row_number() OVER () - 1 + {start} AS {RECORD}"
            announced = ", ".join(stream.announced(field.name, field.type) for field in batch.schema)
            converter.run(
                f"INSERT INTO {FAILED} SELECT {RECORD}, {announced} FROM (SELECT {ordinal}, * FROM raw) WHERE {arrived.fails}", raw=raw
            )
        start += raw.num_rows
        yield from good.cast(schema).to_batches()


def _storable(casts: Casts) -> str:
    """Select the rows that fit; the engine would hand UUIDs over as text, which Arrow does not read."""
    sql = casts.fitting("raw")
    uuids = [quoted(column.name) for column in casts.contract.columns if column.type == pa.uuid()]
    replaced = ", ".join(f"unhex(replace(CAST({name} AS VARCHAR), '-', '')) AS {name}" for name in uuids)
    return f"SELECT * REPLACE ({replaced}) FROM ({sql})" if uuids else sql


def _announced(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Write what came typed as the text that was announced."""
    if batch.schema.equals(schema):
        return batch
    arrays = [_text(array) if array.type != field.type else array for array, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _text(array: _Array) -> _Array:
    if pa.types.is_decimal(array.type) and array.type.scale > _PLAIN_SCALE:
        return pa.array([None if value is None else f"{value:f}" for value in array.to_pylist()], pa.string())
    return array.cast(pa.string())


class Stream:
    """Carry a source's own error through the engine, which would turn it into one of its own."""

    def __init__(self, extract: Extract) -> None:
        self._extract = extract
        self._error: LimnosError | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._extract.batches or ()
        except LimnosError as error:
            self._error = error
            raise

    def announced(self, name: str, arrived: pa.DataType) -> str:
        """Write the SQL of a column as it was announced, as which it may not have arrived."""
        same = self._extract.schema.field(name).type == arrived
        return quoted(name) if same else as_text(quoted(name), arrived)

    def reader(self) -> pa.RecordBatchReader:
        """Give the rows as they were announced."""
        return pa.RecordBatchReader.from_batches(self._extract.schema, (_announced(batch, self._extract.schema) for batch in self))

    def write(self, session: Session, sql: str, layout: Layout, raw: pa.RecordBatchReader) -> tuple[WrittenFile, ...]:
        """Write what `sql` makes of the rows, which it knows as `raw`."""
        with self._own_error():
            return session.write(sql, layout, raw=raw)

    def run(self, session: Session, sql: str) -> pa.Table:
        """Run one statement on the rows, which it knows as `raw`."""
        with self._own_error():
            return session.run(sql, raw=self.reader())

    @contextmanager
    def _own_error(self) -> Generator[None]:
        try:
            yield
        except LimnosError:
            if self._error is not None:
                raise self._error from None
            raise
