"""What rules of one shape share: the rows they apply to, and the refusal of what their shape does not have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from limnos.errors import Unsupported
from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import quoted
from limnos.model.subject import RuleShape, Subject
from limnos.model.verdict import Dimension
from limnos.ports import Session

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OfRows:
    """Judge rows: those that pass `where` and have no null in the rule's columns."""

    kind: ClassVar[str]
    spec: RuleSpec

    def applies(self) -> str:
        """Say which rows count in the denominator; never null."""
        known = [f"{quoted(name)} IS NOT NULL" for name in self.judged()]
        where = [f"(({self.spec.where}) IS TRUE)"] if self.spec.where else []
        return " AND ".join([*where, *known]) or "TRUE"

    def judged(self) -> tuple[str, ...]:
        """Name the columns in which a null means that the rule does not apply."""
        return self.spec.columns

    def measure(self, subject: Subject) -> str:
        """Refuse: rows are judged, not the table."""
        raise _unsupported(self.kind, "measure")

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Know nothing from statistics."""
        return False

    def knows(self, row: Row) -> bool:
        """Tell the same as `applies`, apart from `where`, of one row in Python."""
        return all(row[name] is not None for name in self.judged())


@dataclass(frozen=True, slots=True)
class RowRule(OfRows, ABC):
    """Judge each row by itself."""

    shape: ClassVar[RuleShape] = RuleShape.ROW
    dimension: ClassVar[Dimension]

    @classmethod
    @abstractmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> RowRule:
        """Build the rule for a contract."""

    @abstractmethod
    def promise(self) -> str:
        """Say in words what must hold."""

    def failing(self) -> str:
        """Say which applicable rows break the rule; never null."""
        return f"{self.applies()} AND ({self.broken()})"

    @abstractmethod
    def broken(self) -> str:
        """Say what breaks the rule, given that it applies; not null then."""

    @abstractmethod
    def breaks(self, row: Row) -> bool:
        """Tell the same in Python of one row to which the rule applies."""

    def failing_rows(self, subject: Subject) -> str:
        """Refuse: each row is judged by itself."""
        raise _unsupported(self.kind, "failing_rows")

    def oracle(self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime) -> set[int]:
        """Judge row after row."""
        return {index for index, row in enumerate(rows) if self.knows(row) and self.breaks(row)}


@dataclass(frozen=True, slots=True)
class SetRule(OfRows):
    """Judge rows among each other, or against another table."""

    shape: ClassVar[RuleShape] = RuleShape.SET

    def failing(self) -> str:
        """Refuse: no row can be judged by itself."""
        raise _unsupported(self.kind, "failing")


@dataclass(frozen=True, slots=True)
class TableRule:
    """Judge the table as a whole."""

    kind: ClassVar[str]
    shape: ClassVar[RuleShape] = RuleShape.TABLE
    spec: RuleSpec

    def applies(self) -> str:
        """Refuse: the table is judged, not its rows."""
        raise _unsupported(self.kind, "applies")

    def failing(self) -> str:
        """Refuse: the table is judged, not its rows."""
        raise _unsupported(self.kind, "failing")

    def failing_rows(self, subject: Subject) -> str:
        """Refuse: the table is judged, not its rows."""
        raise _unsupported(self.kind, "failing_rows")

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Know nothing from statistics."""
        return False

    def chosen(self, subject: Subject) -> str:
        """Give the rows that `where` lets through, as an SQL relation."""
        return f"(SELECT * FROM {subject.relation} WHERE ({self.spec.where}) IS TRUE)" if self.spec.where else subject.relation


@runtime_checkable
class Prepared(Protocol):
    """Have something computed before its SQL can run; an audit does so once, and what goes wrong is the verdict error."""

    def prepare(self, session: Session, subject: Subject) -> bool | None:
        """Compute what the rule's SQL refers to, in temporary tables of the session.

        A rule that turns out to judge the table as a whole, and no single row, says whether it holds; all others give None.
        """
        ...


def _unsupported(kind: str, method: str) -> Unsupported:
    return Unsupported(f"A {kind} rule has no {method}", subject=kind, hint=f"limnos explain {kind}")
