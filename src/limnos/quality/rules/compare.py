"""Two columns of a row, compared."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.aggregate import NUMBERS
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, RowRule
from limnos.quality.rules.typed import comparable

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_WORDS = {"<": "less than", "<=": "at most", "=": "equal to", "!=": "other than", ">=": "at least", ">": "greater than"}


@dataclass(frozen=True, slots=True)
class Compare(RowRule):
    """Insist on an order, or on equality, between two columns; a number is compared with a float as a double."""

    kind: ClassVar[str] = "compare"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    operator: str
    floating: bool

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Compare:
        """Build from two columns of one type, or two numbers, and `operator`."""
        declaration = Declaration.read(spec, contract, "operator")
        first, second = declaration.pair()
        names = [type_name(column.type) for column in (first, second)]
        if names[0] != names[1] and not all(name.startswith(NUMBERS) for name in names):
            raise declaration.invalid("two columns of different types are not compared", " and ".join(names), "one type, or two numbers")
        if pa.types.is_nested(first.type):
            raise declaration.invalid(f"{first.name} has no order", names[0], "a column with single values")
        floating = any(pa.types.is_floating(column.type) for column in (first, second))
        return cls(declaration.spec, declaration.choice("operator", tuple(_OPERATORS)), floating)

    def promise(self) -> str:
        """Say what must hold."""
        first, second = self.spec.columns
        return f"{first} must be {_WORDS[self.operator]} {second}"

    def broken(self) -> str:
        """Find where it does not hold."""
        sides = [f"CAST({quoted(name)} AS DOUBLE)" if self.floating else quoted(name) for name in self.spec.columns]
        return f"NOT ({sides[0]} {self.operator} {sides[1]})"

    def breaks(self, row: Row) -> bool:
        """Find where it does not hold."""
        sides = [row[name] for name in self.spec.columns]
        first, second = (comparable(float(side) if self.floating else side) for side in sides)
        return not _OPERATORS[self.operator](first, second)
