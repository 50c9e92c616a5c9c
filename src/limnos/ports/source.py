"""The systems that rows come from."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from limnos.errors import LimnosError
from limnos.model.changes import Changes, Window
from limnos.model.chunk import Chunk
from limnos.model.contract import Contract
from limnos.model.digest import Comparable, Question
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports.engine import Engine


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
class PlacedReading(Reading, Protocol):
    """Say which server is read, where there was a choice."""

    place: str
    """One sentence with its reason; empty where there was no choice."""


class Ahead(Protocol):
    """Read the chunks of a table before the point in time that they are read for, each under snapshots that last a moment only.

    `schema` is that of the rows, `basis` that of `Chunks`: a chunk of a later reading has the same rows if basis, name and content are the
    same.
    """

    schema: pa.Schema
    basis: str

    def count(self) -> Sequence[Chunk]:
        """Fingerprint each chunk that has rows, as it is when its turn comes."""
        ...

    def read(self, name: str) -> Generator[pa.RecordBatch, None, Chunk]:
        """Give the rows of a chunk once each, and return what they prove to be.

        Raises:
            SourceChanged: If the table has another form than when it was described.
        """
        ...

    def close(self) -> None:
        """Give up what it opened at the source."""
        ...


@runtime_checkable
class AheadReading(Reading, Protocol):
    """Read tables ahead, without holding one snapshot for as long as that takes."""

    def ahead(self, table: str, contract: Contract) -> Ahead | None:
        """Prepare to; what is given opens with the first question and may outlive this reading. None if the table has no chunks."""
        ...


class IncrementalReading(Reading, Protocol):
    """Read only what lies above a cursor; `Capability.INCREMENTAL` declares it."""

    def read_since(self, table: str, contract: Contract, window: Window) -> Extract:
        """Hand over the rows in the window, each exactly once.

        The position of the extract is of the kind `cursor`: `max` is the greatest cursor value of the whole table, `low` the bound that
        was applied (empty for none), both in the source's own text, and `below` the number of rows under that bound.

        Raises:
            UnknownName: If there is no such table, or no such column.
            Unsupported: If values of the cursor's type have no order that a position can be told in.
        """
        ...


class ChangeReading(Reading, Protocol):
    """Read what changed, from the source's own log; `Capability.CHANGES` declares it."""

    def cut(self, table: str) -> Position:
        """Say where the change stream stands at this reading's point in time; every row that `read` gives is before it.

        Raises:
            Unsupported: If changes of this table do not tell which row they happened to; the hint says what to do.
        """
        ...

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        """Hand over what happened to these tables between their positions and `cut`, each change exactly once.

        What another table's position leaves out is left out; memory is bounded, however large a transaction was.

        Raises:
            SourceRefused: If the source does not give its log.
        """
        ...


@runtime_checkable
class FollowableReading(ChangeReading, Protocol):
    """Tell beforehand of which tables the changes can be read."""

    def unfollowable(self, table: str) -> LimnosError | None:
        """Give the error that `cut` would end in for what the table itself is; None if its changes can be read."""
        ...


class ChangeSource(Source, Protocol):
    """Keep a change stream at the source; `Capability.CHANGES` declares it."""

    def prepare(self) -> None:
        """Make sure that the source keeps its log for the tables of mode `cdc`; before `open`, and as often as one likes.

        Raises:
            SourceRefused: If a right or a setting is missing; the hint says what to type.
        """
        ...

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Tell the source how far each table of mode `cdc` was published, so that it may forget its log up to there.

        A lost acknowledgement loses nothing: the next one says the same.
        """
        ...


class DigestReading(Reading, Protocol):
    """Add up and hash rows where they are, so that they can be compared without being moved; `Capability.DIGEST` declares it."""

    def comparable(self, table: str) -> Comparable:
        """Say in which canonical form each column can be written, and why others cannot.

        Raises:
            UnknownName: If there is no such table.
        """
        ...

    def digest(self, table: str, question: Question) -> Iterator[pa.RecordBatch]:
        """Answer a question with batches of its schema, at this reading's point in time."""
        ...
