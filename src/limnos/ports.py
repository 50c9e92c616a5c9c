"""Every seam of Limnos as a Protocol; read this file first.

The way in is `Source` -> `Extract` -> `Session.write` -> `Rule` -> `Catalog.publish`; the way out is `Policy` -> `Engine.query` -> `Sink`;
each arrow leaves an `Event` in the ledger. A capability is declared and tested both ways: undeclared raises `Unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import Layout, Relation, Snapshot, Staged, WrittenFile
from limnos.model.decision import Action, Decision, Principal
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding, Step
from limnos.model.subject import RuleShape, Subject
from limnos.model.verdict import Dimension

Observer = Callable[[Step], None]
"""Told each step boundary that a verb passes."""


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

    def stream(self, sql: str, **inputs: pa.Table | pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Run one SELECT and give its result as a one-pass stream in bounded memory."""
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

    def session(self) -> AbstractContextManager[Session]:
        """Open a workspace for trusted SQL."""
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


class Reading(Protocol):
    """Read a source at one point in time: everything it gives belongs together."""

    def tables(self) -> tuple[str, ...]:
        """Name every table that the source has, in a stable order."""
        ...

    def describe(self, table: str, target: TableName) -> Contract:
        """Say what the source itself promises of a table: columns, types, key, and rules from its constraints.

        Raises:
            UnknownName: If there is no such table; the message lists what there is.
        """
        ...

    def position(self, table: str) -> Position:
        """Fingerprint a table cheaply: an equal position means equal rows.

        Raises:
            Unsupported: If `Capability.FINGERPRINT` is not declared.
        """
        ...

    def read(self, table: str, contract: Contract) -> Extract:
        """Hand over every row of a table exactly once; raw columns bear the source's own names, in the source's order.

        Raises:
            MalformedFile: If what is there cannot be read as rows at all.
        """
        ...


@runtime_checkable
class Source(Protocol):
    """Read one kind of system. One file in `sources/`, registered by the entry point group `limnos.sources`.

    Suite: `limnos.testing.source`: every row exactly once; declared schema; reads independent; errors name the alternatives.
    """

    kind: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    options: ClassVar[tuple[Option, ...]]

    def __init__(self, config: SourceConfig, engine: Engine) -> None: ...

    def open(self) -> AbstractContextManager[Reading]:
        """Open the source at one point in time.

        Raises:
            SourceUnreachable: If it does not answer.
            SourceRefused: If it answers and says no.
        """
        ...

    def findings(self) -> Iterable[Finding]:
        """Examine reach, rights and settings for `doctor`; never raises for what it finds."""
        ...


@runtime_checkable
class Rule(Protocol):
    """Judge a table. One file in `quality/rules/`, with a naive oracle and a documented page.

    Suite: `limnos.testing.rule`: what the engine finds equals what the oracle finds on generated tables, with nulls, NaN and no rows.
    """

    kind: ClassVar[str]
    shape: ClassVar[RuleShape]
    dimension: ClassVar[Dimension]

    @property
    def spec(self) -> RuleSpec:
        """What was declared, with the severity that holds."""
        ...

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Rule:
        """Build the rule for a contract.

        Raises:
            RuleInvalid: If a column, argument or type does not fit; it names the place of the declaration.
        """
        ...

    def promise(self) -> str:
        """Say in words what must hold, for verdicts and the reasons of quarantined rows."""
        ...

    def applies(self) -> str:
        """ROW, SET: SQL condition, true (never null) for the rows that count in the denominator."""
        ...

    def failing(self) -> str:
        """ROW: SQL condition, true (never null) for the applicable rows that break the rule."""
        ...

    def failing_rows(self, subject: Subject) -> str:
        """SET: SELECT of `_file, _row` of each row that breaks the rule, each once."""
        ...

    def measure(self, subject: Subject) -> str:
        """TABLE: SELECT of one row `numerator BIGINT, denominator BIGINT, detail VARCHAR`."""
        ...

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Tell whether file statistics alone show that no row breaks the rule; False means not known."""
        ...

    def oracle(
        self, rows: Sequence[Mapping[str, Any]], parents: Mapping[TableName, Sequence[Mapping[str, Any]]], now: datetime
    ) -> set[int]:
        """Find the failing ones of the rows that `where` lets through, the slow, obvious way; a TABLE rule gives {-1} when it fails."""
        ...


class Transaction(Protocol):
    """Share one database transaction of the state database between catalog and ledger; `connection` is SQLAlchemy's."""

    @property
    def connection(self) -> Any:  # noqa: ANN401 the type belongs to a driver, which this room does not import
        """The open connection."""
        ...


@runtime_checkable
class Catalog(Protocol):
    """Keep the published versions of tables.

    Suite: `limnos.testing.catalog`: staged is invisible; publish is atomic and idempotent; of two publishers one wins, the other is told;
    history is immutable.
    """

    def pin(self, as_of: datetime | None = None) -> Mapping[TableName, Snapshot]:
        """Take one consistent cut over all tables, now or as they were; a table that did not exist is left out."""
        ...

    def relation(self, snapshot: Snapshot) -> Relation:
        """Say how to read a published version."""
        ...

    def history(self, table: TableName) -> tuple[Snapshot, ...]:
        """List the published versions of a table, oldest first."""
        ...

    def layout(self, contract: Contract, run_id: str, *, replace: bool) -> Layout:
        """Say where and how the files of a new version are to be written, as `stage` will be called; no reader sees a change.

        Raises:
            SchemaDrift: If the published columns cannot become the contract's.
        """
        ...

    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool) -> Staged:
        """Make a version of these files, instead of what is published (`replace`) or added to it; no reader sees it."""
        ...

    def publish(self, staged: Sequence[Staged], transaction: Transaction) -> tuple[Snapshot, ...]:
        """Move the pointers of all these tables inside `transaction`; publishing the same again changes nothing.

        Raises:
            PublishConflict: If another writer moved one of them since it was staged.
        """
        ...

    def delete(self, files: Sequence[WrittenFile]) -> None:
        """Delete files that were written and are not going to be staged."""
        ...

    def discard(self, run_id: str) -> int:
        """Delete every file that a run wrote and did not publish; gives how many."""
        ...

    def probe(self) -> str:
        """Write and delete a small file where tables are, and say so.

        Raises:
            StorageFailed: If the storage refuses.
        """
        ...


@runtime_checkable
class Policy(Protocol):
    """Decide who may do what.

    Suite: `limnos.testing.policy`: an unknown principal is denied; it never raises; reasons are never empty.
    """

    def decide(self, principal: Principal, action: Action, table: TableName | None = None) -> Decision:
        """Answer one question; what nobody allowed is refused."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Put a result somewhere outside.

    Suite: `limnos.testing.sink`: all or nothing; a replay with the same content changes nothing.
    """

    kind: ClassVar[str]

    def write(self, rows: pa.RecordBatchReader) -> int:
        """Write all rows or none; gives how many.

        Raises:
            StorageFailed: If the target refuses.
        """
        ...
