"""Values out of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, RowRule
from limnos.quality.rules.typed import comparable, sql_value, typed


@dataclass(frozen=True, slots=True)
class AcceptedValues(RowRule):
    """Insist on one of the listed values, compared as values of the column's type."""

    kind: ClassVar[str] = "accepted_values"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    type: pa.DataType
    values: tuple[Any, ...]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> AcceptedValues:
        """Build from one column and the list `values`."""
        declaration = Declaration.read(spec, contract, "values")
        (column,) = declaration.columns(most=1)
        said = spec.arguments.get("values")
        if not isinstance(said, list | tuple) or not said:
            raise declaration.invalid("values is not a list of values", str(said), "a list with at least one value")
        values: list[Any] = []
        for value in said:
            try:
                values.append(typed(value, column.type))
            except ValueError as error:
                raise declaration.invalid("a value does not fit the column", str(value), str(error)) from error
        return cls(declaration.spec, column.type, tuple(values))

    def promise(self) -> str:
        """Say what must hold."""
        shown = ", ".join(str(value) for value in self.values[:10])
        more = f" and {len(self.values) - 10} more" if len(self.values) > 10 else ""
        return f"{self.spec.columns[0]} must be one of {shown}{more}"

    def broken(self) -> str:
        """Find a value that is not listed."""
        listed = ", ".join(sql_value(value, self.type) for value in self.values)
        return f"{quoted(self.spec.columns[0])} NOT IN ({listed})"

    def breaks(self, row: Row) -> bool:
        """Find a value that is not listed."""
        return comparable(row[self.spec.columns[0]]) not in {comparable(value) for value in self.values}
