"""Rows on their way from a source into the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from limnos.model.chunk import Chunks
from limnos.model.position import Position


@dataclass(frozen=True, slots=True)
class Extract:
    """Hand over the rows of one table of a source, exactly once each.

    The rows come one of two ways. `scan` is an SELECT that the embedded engine runs, as often as it likes, always with the same
    rows in the same order: no row passes through Python. `batches` is a one-pass stream in bounded memory. Exactly one of them is set.

    `schema` is that of the raw rows: a column whose values may not fit the contract's type comes as text, and is converted on
    the way in. Of `batches`, one in which all values of such a column have a type may bear them so instead. `rows` is counted by the
    source independently of the stream: `read` in the accounting. A source that can tell it only once `batches` are drained gives
    `counted` instead, and zero `rows`.

    `rejects` is an SELECT of what could not even become a row, with the columns `origin VARCHAR, raw BLOB, reason VARCHAR`; `rejected`
    says how many; they count as read.

    `chunks` gives the rows of `batches` in parts instead; one of the two is read. Such an extract has neither rejects nor origins.

    `origins` turns ordinals of raw rows (from 0) into what a person can look up, such as `airports.csv:1458`.
    """

    schema: pa.Schema
    rows: int
    position: Position | None
    scan: str = ""
    batches: Iterator[pa.RecordBatch] | None = None
    rejects: str = ""
    rejected: int = 0
    origins: Callable[[Sequence[int]], Sequence[str]] | None = None
    chunks: Chunks | None = None
    counted: Callable[[], int] | None = None

    @property
    def read(self) -> int:
        """All that the source held: rows and what could not become a row; with `counted` only once the batches are drained."""
        return (self.counted() if self.counted else self.rows) + self.rejected
