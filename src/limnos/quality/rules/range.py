"""Values between two bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import quoted
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration, between
from limnos.quality.rules.shape import Row, RowRule
from limnos.quality.rules.typed import Value, sql_value, typed

_ORDERED = ("int", "long", "float", "double", "decimal", "date", "time", "timestamp")


@dataclass(frozen=True, slots=True)
class Range(RowRule):
    """Insist on `low <= value <= high` (`<` when exclusive); NaN is outside of every range."""

    kind: ClassVar[str] = "range"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    type: pa.DataType
    low: Value
    high: Value
    exclusive: bool

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Range:
        """Build from one column of an ordered type and `min`, `max` or both."""
        declaration = Declaration.read(spec, contract, "min", "max", "exclusive")
        (column,) = declaration.columns(most=1)
        if not type_name(column.type).startswith(_ORDERED):
            raise declaration.invalid(f"{column.name} has no range", type_name(column.type), "a number, date, time or timestamp")
        low, high = (_bound(declaration, column.type, name) for name in ("min", "max"))
        exclusive = spec.arguments.get("exclusive", False)
        if not isinstance(exclusive, bool):
            raise declaration.invalid("exclusive is not true or false", str(exclusive), "true or false")
        if low is None and high is None:
            raise declaration.invalid("range says neither min nor max", "neither", "min, max or both")
        if low is not None and high is not None and (low > high or (exclusive and low == high)):
            raise declaration.invalid("no value can be in the range", f"min {low}, max {high}", "min below max")
        return cls(declaration.spec, column.type, low, high, exclusive)

    def promise(self) -> str:
        """Say what must hold."""
        return f"{self.spec.columns[0]} must be {between(self.low, self.high, exclusive=self.exclusive)}"

    def broken(self) -> str:
        """Find a value beyond a bound, or NaN."""
        column, equal = quoted(self.spec.columns[0]), "=" if self.exclusive else ""
        parts = [f"{column} <{equal} {sql_value(self.low, self.type)}"] if self.low is not None else []
        # The engine sorts NaN above every number, so a bound above finds it.
        parts += [f"{column} >{equal} {sql_value(self.high, self.type)}"] if self.high is not None else []
        if pa.types.is_floating(self.type):
            parts.append(f"isnan({column})")
        return " OR ".join(parts)

    def breaks(self, row: Row) -> bool:
        """Find a value beyond a bound, or NaN."""
        return not self._holds(row[self.spec.columns[0]])

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
        return name in file.null_counts and all(self._holds(value) for value in seen)

    def _holds(self, value: Value) -> bool:
        inside = not _is_nan(value)
        if self.low is not None:
            inside &= value > self.low if self.exclusive else value >= self.low
        if self.high is not None:
            inside &= value < self.high if self.exclusive else value <= self.high
        return bool(inside)


def _is_nan(value: Value) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _bound(declaration: Declaration, kind: pa.DataType, name: str) -> Value:
    said = declaration.spec.arguments.get(name)
    if said is None:
        return None
    try:
        bound = typed(said, kind)
    except ValueError as error:
        raise declaration.invalid(f"{name} does not fit the column", str(said), str(error)) from error
    if _is_nan(bound):
        raise declaration.invalid(f"{name} is NaN", str(said), "a number")
    return bound
