"""The engine that runs SQL: ours in sessions, a user's under decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from limnos.model.data import Layout, Relation, WrittenFile
from limnos.model.decision import Decision
from limnos.model.digest import Hash


class Session(Protocol):
    """Run trusted SQL of our own rooms on the embedded engine; temporary tables live as long as the session.

    Every name and value in the SQL went through `model.names.quoted` or `literal`. `inputs` are visible under their keyword.
    """

    def run(self, sql: str, **inputs: pa.Table | pa.RecordBatchReader) -> pa.Table:
        """Run one statement and give its whole result."""
        ...

    def relation(self, relation: Relation, *, positions: bool = False) -> str:
        """Write the SELECT of a version's live rows; with `positions`, each row says where it is: `_file VARCHAR, _row BIGINT`."""
        ...

    def tables_of(self, sql: str, known: Iterable[str] = ()) -> frozenset[str]:
        """Judge text that is not our own as a query is judged, and name the relations that it reads, as written.

        Raises:
            QueryInvalid: If it is not exactly one SELECT, or names a relation or function that is not on the allow-list.
        """
        ...

    def stream(self, sql: str, *, batch_rows: int = 65_536, **inputs: pa.Table | pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Run one SELECT and give its result as a one-pass stream in bounded memory: at most `batch_rows` at once."""
        ...

    def hashes(self) -> frozenset[Hash]:
        """Name the hashes of texts that SQL can compute here."""
        ...

    def write(self, sql: str, layout: Layout, **inputs: pa.Table | pa.RecordBatchReader) -> tuple[WrittenFile, ...]:
        """Write the rows of one SELECT as Parquet files, in parallel; no rows give no file.

        Raises:
            StorageFailed: If the storage is full, read-only or out of reach.
        """
        ...


@runtime_checkable
class Engine(Protocol):
    """Run SQL over published snapshots, and our own SQL in sessions.

    Suite: `limnos.testing.engine`: the same result on every engine; filters and masks survive joins, CTEs and subqueries; cancel; limits.
    """

    name: ClassVar[str]

    def session(self, *, memory_bytes: int = 0) -> AbstractContextManager[Session]:
        """Open a workspace for trusted SQL; with `memory_bytes`, what does not fit goes to disk, and rows come in any order."""
        ...

    def tables_of(self, sql: str, known: Iterable[str] = ()) -> frozenset[str]:
        """Name the relations that one SELECT reads, as written (`namespace.name`); `known` names serve "did you mean".

        Raises:
            QueryInvalid: If it is not exactly one SELECT, or names a relation or function that is not on the allow-list.
        """
        ...

    def query(
        self, sql: str, relations: Mapping[str, Relation | pa.Table], decisions: Mapping[str, Decision]
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """Run one SELECT over `relations` and nothing else, under `decisions`; leaving the context cancels what still runs.

        Raises:
            QueryInvalid: If it does not parse, bind or run.
            Refused: If a decision on a relation it reads is missing or a refusal.
        """
        ...
