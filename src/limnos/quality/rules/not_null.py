"""No null in the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import quoted
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, RowRule


@dataclass(frozen=True, slots=True)
class NotNull(RowRule):
    """Insist on a value in every named column."""

    kind: ClassVar[str] = "not_null"
    dimension: ClassVar[Dimension] = Dimension.COMPLETENESS

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> NotNull:
        """Build from one or more columns."""
        declaration = Declaration.read(spec, contract)
        declaration.columns()
        return cls(declaration.spec)

    def promise(self) -> str:
        """Say what must hold."""
        return f"{', '.join(self.spec.columns)} must not be null"

    def judged(self) -> tuple[str, ...]:
        """Apply to every row."""
        return ()

    def broken(self) -> str:
        """Find a null in any column."""
        return " OR ".join(f"{quoted(name)} IS NULL" for name in self.spec.columns)

    def breaks(self, row: Row) -> bool:
        """Find a null in any column."""
        return any(row[name] is None for name in self.spec.columns)

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Trust a null count of 0 in every file."""
        return not self.spec.where and all(file.null_counts.get(name) == 0 for file in files for name in self.spec.columns)
