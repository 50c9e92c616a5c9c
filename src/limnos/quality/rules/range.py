"""Values between two bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import quoted
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.bounds import BOUNDS, Bounds
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, RowRule
from limnos.quality.rules.typed import typed

_ORDERED = ("int", "long", "float", "double", "decimal", "date", "time", "timestamp")


@dataclass(frozen=True, slots=True)
class Range(RowRule):
    """Insist on `low <= value <= high` (`<` when exclusive); NaN is outside of every range."""

    kind: ClassVar[str] = "range"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    type: pa.DataType
    bounds: Bounds

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Range:
        """Build from one column of an ordered type and `min`, `max` or both."""
        declaration = Declaration.read(spec, contract, *BOUNDS)
        (column,) = declaration.columns(most=1)
        if not type_name(column.type).startswith(_ORDERED):
            raise declaration.invalid(f"{column.name} has no range", type_name(column.type), "a number, date, time or timestamp")
        return cls(declaration.spec, column.type, Bounds.read(declaration, column.type))

    def promise(self) -> str:
        """Say what must hold."""
        return f"{self.spec.columns[0]} must be {self.bounds.words()}"

    def broken(self) -> str:
        """Find a value beyond a bound, or NaN."""
        return self.bounds.broken(quoted(self.spec.columns[0]), self.type)

    def breaks(self, row: Row) -> bool:
        """Find a value beyond a bound, or NaN."""
        return not self.bounds.holds(row[self.spec.columns[0]])

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Trust minimum and maximum of every file; not of floats, whose statistics leave NaN out."""
        if self.spec.where or pa.types.is_floating(self.type):
            return False
        return all(self._within(file) for file in files)

    def _within(self, file: WrittenFile) -> bool:
        name = self.spec.columns[0]
        if file.null_counts.get(name) == file.rows:
            return True
        try:
            seen = [typed(bounds[name], self.type) for bounds in (file.minimums, file.maximums)]
        except (KeyError, ValueError):
            return False
        return name in file.null_counts and all(self.bounds.holds(value) for value in seen)
