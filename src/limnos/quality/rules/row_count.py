"""A table of a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import literal
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration, between, whole_table
from limnos.quality.rules.shape import Row, TableRule


@dataclass(frozen=True, slots=True)
class RowCount(TableRule):
    """Insist on a number of rows, counted after bad rows went to quarantine."""

    kind: ClassVar[str] = "row_count"
    dimension: ClassVar[Dimension] = Dimension.COMPLETENESS
    low: int | None
    high: int | None

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> RowCount:
        """Build from `min`, `max` or both."""
        declaration = Declaration.read(spec, contract, "min", "max")
        declaration.no_columns()
        return cls(whole_table(declaration), *declaration.counts())

    def promise(self) -> str:
        """Say what must hold."""
        return f"the table must have {between(self.low, self.high)} rows"

    def measure(self, subject: Subject) -> str:
        """Count: nothing is read unless `where` chooses rows."""
        rows = f"(SELECT count(*) FROM {self.chosen(subject)})" if self.spec.where else str(subject.rows)
        bounds = [f"seen >= {self.low}"] * (self.low is not None) + [f"seen <= {self.high}"] * (self.high is not None)
        return (
            f"SELECT CAST({' AND '.join(bounds)} AS BIGINT) AS numerator, 1::BIGINT AS denominator, "
            f"{literal(self.promise())} || '; it has ' || seen AS detail FROM (SELECT {rows} AS seen)"
        )

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Add up the rows of the files."""
        return not self.spec.where and self._holds(sum(file.rows for file in files))

    def oracle(self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime) -> set[int]:
        """Count."""
        return set() if self._holds(len(rows)) else {-1}

    def _holds(self, rows: int) -> bool:
        return (self.low is None or rows >= self.low) and (self.high is None or rows <= self.high)
