"""Query: one SELECT over a consistent cut of published versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from limnos.errors import ExtraMissing, UnknownName
from limnos.flow.parts import Parts
from limnos.flow.quarantine import entries_table
from limnos.flow.scores import scores_table
from limnos.ledger import readings
from limnos.model.data import Relation, Snapshot
from limnos.model.decision import Action
from limnos.model.names import TableName

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

SYSTEM: Mapping[str, Callable[[Parts], pa.Table]] = {
    "system.comparisons": lambda parts: readings.comparisons(parts.ledger.events()),
    "system.events": lambda parts: readings.events_table(parts.ledger.events()),
    "system.quarantine": entries_table,
    "system.runs": lambda parts: readings.runs(parts.ledger.events()),
    "system.scores": scores_table,
    "system.verdicts": lambda parts: readings.verdicts(parts.ledger.events()),
}
"""The ledger and the quarantine as tables; each is read as of now."""


class Result:
    """Hold the rows of a query: a one-pass stream, closed when it is drained or the context is left.

    Examples:
        >>> import tempfile
        >>> from limnos import Lake
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     made = Lake.init(directory)
        ...     Lake(directory).query("select 40 + 2 as answer").rows()
        [{'answer': 42}]
    """

    def __init__(self, stack: ExitStack, stream: pa.RecordBatchReader) -> None:
        self._stack = stack
        self._stream = stream
        self.schema: pa.Schema = stream.schema

    def reader(self) -> pa.RecordBatchReader:
        """Give the rows as a stream of record batches; it can be read once, and closes the result at its end."""

        def batches() -> Any:  # noqa: ANN401 pyarrow's own type for what it iterates
            with self:
                yield from self._stream

        return pa.RecordBatchReader.from_batches(self.schema, batches())

    def to_arrow(self) -> pa.Table:
        """Give all rows as an Arrow table."""
        return self.reader().read_all()

    def rows(self) -> list[dict[str, Any]]:
        """Give all rows as dictionaries."""
        return self.to_arrow().to_pylist()

    def to_polars(self) -> pl.DataFrame:
        """Give all rows as a polars frame.

        Raises:
            ExtraMissing: If polars is not installed.
        """
        try:
            import polars as pl  # noqa: PLC0415 optional
        except ImportError as error:
            raise _missing("polars") from error
        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 a table becomes a frame, never a series
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Give all rows as a pandas frame.

        Raises:
            ExtraMissing: If pandas is not installed.
        """
        # Arrow does the work; pandas is only asked for, so that its absence is told before the query is drained.
        if find_spec("pandas") is None:
            raise _missing("pandas")
        return self.to_arrow().to_pandas()

    def close(self) -> None:
        """Stop what still runs and free what the query held; closing twice is closing once."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def query(parts: Parts, sql: str, *, as_of: datetime | None = None) -> Result:
    """Run one SELECT over the published versions, all as of one instant.

    Raises:
        QueryInvalid: If it is not one SELECT, or does not bind or run.
        Refused: If the policy refuses a table that it reads.
    """
    pinned = {str(table): snapshot for table, snapshot in parts.catalog.pin(as_of).items() if str(table) not in SYSTEM}
    names = parts.engine.tables_of(sql, [*pinned, *SYSTEM])
    relations = _relations(parts, names, pinned)
    decisions = {name: parts.policy.decide(parts.principal, Action.READ, TableName.parse(name)) for name in relations}
    stack = ExitStack()
    stream = stack.enter_context(parts.engine.query(sql, relations, decisions))
    return Result(stack, stream)


def _relations(parts: Parts, names: frozenset[str], pinned: Mapping[str, Snapshot]) -> dict[str, Relation | pa.Table]:
    """Find what a query reads; names are found as SQL finds them, whatever their case."""
    known = {name.casefold(): name for name in (*SYSTEM, *pinned)}
    found: dict[str, Relation | pa.Table] = {}
    for said in names:
        name = known.get(said.casefold())
        if name is None:
            raise UnknownName.among("table", said, known.values(), hint="limnos status")
        found[name] = SYSTEM[name](parts) if name in SYSTEM else parts.catalog.relation(pinned[name])
    return found


def _missing(package: str) -> ExtraMissing:
    return ExtraMissing(
        f"{package} is not installed",
        subject=f"Result.to_{package}()",
        seen=f"no module {package}",
        expected=package,
        hint=f"pip install 'limnos[{package}]'",
    )
