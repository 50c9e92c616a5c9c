"""Position-delete files: which rows of which data files are gone.

Source: Apache Iceberg table specification, version 2, "Position Delete Files" and "Reserved Field IDs".
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, StringType

from limnos.tables.storage import Storage

_PATH_ID, _POSITION_ID = 2147483546, 2147483545
_SCHEMA = pa.schema(
    [
        pa.field("file_path", pa.dictionary(pa.int32(), pa.string()), nullable=False, metadata={"PARQUET:field_id": str(_PATH_ID)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(_POSITION_ID)}),
    ]
)
_THREADS = 4
_FILE = 1 << 40
"""A row of a table is one number: its file's place among the sorted paths times this, plus its place in the file."""
_Numbers: TypeAlias = "pa.Array[Any]"
_Partition: TypeAlias = tuple[int, Record]


@dataclass(frozen=True, slots=True)
class Deletes:
    """Hold the delete files of a new version, which of them are new, which old ones it has no more, and the rows gone by data file."""

    files: Sequence[DataFile] = ()
    added: Sequence[DataFile] = ()
    removed: Sequence[DataFile] = ()
    gone: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def after(
        cls, storage: Storage, data: Sequence[DataFile], deletes: Sequence[DataFile], directory: str = "", rows: pa.Table | None = None
    ) -> Deletes:
        """Say how the rows of `data` are gone that `deletes` took out and that `rows` (`file VARCHAR, row BIGINT`) take out now.

        New rows are written to one file a partition, below `directory`. It takes in the older files that together hold no more rows than
        itself, so that a table has a logarithm of its deletes as files, and each deleted row is written as often at most. Files that
        name no living data file are left out.

        Raises:
            LookupError: If `rows` names a file that is not in `data`.
        """
        numbered = _Numbered(storage, data)
        new = numbered.by_partition(numbered.all_rows(rows)) if rows is not None else {}
        with ThreadPoolExecutor(_THREADS) as pool:
            old = dict(zip(deletes, pool.map(numbered.read, deletes), strict=True))
        gone = numbered.counts([*new.values(), *old.values()])
        left = {file: taken for file, taken in old.items() if len(taken)}
        added = [_written(storage, directory, numbered, partition, _folded(left, partition, taken)) for partition, taken in new.items()]
        return cls([*left, *added], added, [file for file in deletes if file not in left], gone)


class _Numbered:
    """Number the rows of data files."""

    def __init__(self, storage: Storage, data: Sequence[DataFile]) -> None:
        self._storage = storage
        self.files = sorted(data, key=lambda file: file.file_path)
        self._numbers = {storage.path(file.file_path): number for number, file in enumerate(self.files)}

    def rows(self, paths: pa.ChunkedArray[Any], rows: pa.ChunkedArray[Any]) -> _Numbers:
        """Number rows that are told by path and place; those of other files are left out."""
        encoded = paths if pa.types.is_dictionary(paths.type) else paths.dictionary_encode()
        combined = encoded.unify_dictionaries().combine_chunks()
        if not isinstance(combined, pa.DictionaryArray):
            raise TypeError(f"no paths but {combined.type}")
        starts = [self._numbers.get(self._storage.path(str(path))) for path in combined.dictionary.to_pylist()]
        first = pa.array([None if start is None else start * _FILE for start in starts], pa.int64()).take(combined.indices)
        return pc.add(first, rows.combine_chunks()).drop_null()

    def all_rows(self, rows: pa.Table) -> _Numbers:
        """Number rows that must all be here."""
        found = self.rows(rows["file"], rows["row"])
        if len(found) < rows.num_rows:
            raise LookupError(f"{rows.num_rows - len(found)} rows are in no file of the table")
        return found

    def read(self, file: DataFile) -> _Numbers:
        """Number the rows that a delete file takes out."""
        with self._storage.open(file.file_path) as stream, self._storage.told("read", file.file_path):
            table = pq.read_table(stream, columns=["file_path", "pos"], read_dictionary=["file_path"])
        return self.rows(table["file_path"], table["pos"])

    def by_partition(self, numbers: _Numbers) -> Mapping[_Partition, _Numbers]:
        """Split rows by the partition that their files belong to."""
        keys = [(file.spec_id, file.partition) for file in self.files]
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        if len(places) <= 1:
            return dict.fromkeys(places, numbers) if len(numbers) else {}
        place = pa.array([places[key] for key in keys], pa.int32()).take(pc.divide(numbers, _FILE))
        found = {key: numbers.filter(pc.equal(place, pa.scalar(at, pa.int32()))) for key, at in places.items()}
        return {key: taken for key, taken in found.items() if len(taken)}

    def counts(self, numbers: Iterable[_Numbers]) -> Mapping[str, int]:
        """Count rows by data file, each once."""
        rows = pc.unique(pa.chunked_array(list(numbers), pa.int64()))
        places, counts = pc.value_counts(pc.divide(rows, _FILE)).flatten()
        return {self.files[place].file_path: count for place, count in zip(_listed(places), _listed(counts), strict=True)}


def _folded(left: dict[DataFile, _Numbers], partition: _Partition, taken: _Numbers) -> _Numbers:
    """Add to the rows of a new delete file those of the old ones it takes in, which are then left no more."""
    for file in sorted(left, key=lambda file: len(left[file])):
        if (file.spec_id, file.partition) == partition and len(left[file]) <= len(taken):
            taken = pa.concat_arrays([taken, left.pop(file)])
    return taken


def _written(storage: Storage, directory: str, numbered: _Numbered, partition: _Partition, taken: _Numbers) -> DataFile:
    rows = taken.unique().sort()
    number = pc.divide(rows, _FILE)
    named = number.dictionary_encode()
    places = [numbered.files[place].file_path for place in _listed(named.dictionary)]
    paths = pa.DictionaryArray.from_arrays(named.indices, pa.array(places))
    table = pa.table([paths, pc.subtract(rows, pc.multiply(number, _FILE))], schema=_SCHEMA)
    uri = f"{directory}/{uuid.uuid4()}-deletes.parquet"
    with storage.created(uri) as stream:
        pq.write_table(table, stream, compression="zstd", use_dictionary=["file_path"], store_schema=False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] the stubs lag
        size = stream.tell()
    lowest, highest = pc.min(table["pos"]).as_py(), pc.max(table["pos"]).as_py()
    bounds = [
        {_PATH_ID: to_bytes(StringType(), path), _POSITION_ID: to_bytes(LongType(), row)}
        for path, row in ((places[0], lowest), (places[-1], highest))
    ]
    made = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=uri,
        file_format=FileFormat.PARQUET,
        partition=partition[1],
        record_count=len(rows),
        file_size_in_bytes=size,
        lower_bounds=bounds[0],
        upper_bounds=bounds[1],
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
    )
    made.spec_id = partition[0]
    return made


def _listed(numbers: _Numbers) -> list[int]:
    listed: list[Any] = numbers.to_pylist()
    return listed
