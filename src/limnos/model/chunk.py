"""Parts of a table that are read apart, and what was made of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from limnos.model.data import WrittenFile


@dataclass(frozen=True, slots=True)
class Chunk:
    """Name a part of a table, whose rows `rows` counts; `content` says which ones it has, in words of its source."""

    name: str
    rows: int
    content: str


@dataclass(frozen=True, slots=True)
class Chunks:
    """Divide the rows of a table: each row is in exactly one chunk.

    `same` gives those of an earlier reading on the same `basis` that have the very rows of the chunk of their name in this one.
    `read` gives the batches of some chunks, chunk by chunk in the order asked for; each is to be read to its end before the next.
    """

    basis: str
    all: tuple[Chunk, ...]
    same: Callable[[Sequence[Chunk]], Collection[Chunk]]
    read: Callable[[Sequence[Chunk]], Generator[Iterator[pa.RecordBatch]]]


@dataclass(frozen=True, slots=True)
class LandedChunk:
    """Hold the files of a chunk that was read: `files` of its rows, `failed` of the raw rows that did not fit their type.

    `basis` says all that the files depend on beside the rows of the chunk.
    """

    chunk: Chunk
    basis: str
    files: tuple[WrittenFile, ...]
    failed: tuple[WrittenFile, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows all of its files hold."""
        return sum(file.rows for file in (*self.files, *self.failed))

    def as_json(self) -> str:
        """Write it as one JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LandedChunk:
        """Read what `as_json` wrote.

        Examples:
            >>> landed = LandedChunk(Chunk("0", 1, "7"), "b", (WrittenFile("a.parquet", 1, 9, {"id": 0}, {}, {}),))
            >>> LandedChunk.from_json(landed.as_json()) == landed
            True
        """
        said = json.loads(text)
        files, failed = (tuple(WrittenFile(**file) for file in said[name]) for name in ("files", "failed"))
        return cls(Chunk(**said["chunk"]), said["basis"], files, failed)
