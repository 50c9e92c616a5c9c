"""Values not out of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, RowRule
from limnos.quality.rules.typed import among, comparable, shown


@dataclass(frozen=True, slots=True)
class RejectedValues(RowRule):
    """Insist on none of the listed values, compared as values of the column's type."""

    kind: ClassVar[str] = "rejected_values"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    type: pa.DataType
    values: tuple[Any, ...]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> RejectedValues:
        """Build from one column and the list `values`."""
        declaration = Declaration.read(spec, contract, "values")
        (column,) = declaration.columns(most=1)
        return cls(declaration.spec, column.type, declaration.values("values", column.type))

    def promise(self) -> str:
        """Say what must hold."""
        return f"{self.spec.columns[0]} must be none of {shown(self.values)}"

    def broken(self) -> str:
        """Find a value that is listed."""
        return among(self.spec.columns[0], self.values, self.type)

    def breaks(self, row: Row) -> bool:
        """Find a value that is listed."""
        return comparable(row[self.spec.columns[0]]) in {comparable(value) for value in self.values}
