"""Bounds that a value must lie between."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa

from limnos.quality.rules.declaration import Declaration, between
from limnos.quality.rules.typed import Value, sql_value, typed

BOUNDS = ("min", "max", "exclusive")
"""The arguments that `Bounds.read` reads."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hold `low <= value <= high` (`<` when exclusive); NaN is outside of all bounds."""

    low: Value
    high: Value
    exclusive: bool = False

    @classmethod
    def read(cls, declaration: Declaration, kind: pa.DataType) -> Bounds:
        """Read `min`, `max` or both as values of a type, and `exclusive`.

        Raises:
            RuleInvalid: If one does not fit, or no value can be between them.
        """
        low, high = (_bound(declaration, kind, name) for name in ("min", "max"))
        exclusive = declaration.flag("exclusive")
        if low is None and high is None:
            raise declaration.invalid(f"{declaration.spec.kind} says neither min nor max", "neither", "min, max or both")
        if low is not None and high is not None and (low > high or (exclusive and low == high)):
            raise declaration.invalid("no value can be in the range", f"min {low}, max {high}", "min below max")
        return cls(low, high, exclusive)

    def words(self) -> str:
        """Say them in words."""
        return between(self.low, self.high, exclusive=self.exclusive)

    def broken(self, value: str, kind: pa.DataType) -> str:
        """Write the SQL condition that an SQL value, not null, lies beyond a bound or is NaN."""
        equal = "=" if self.exclusive else ""
        parts = [f"{value} <{equal} {sql_value(self.low, kind)}"] if self.low is not None else []
        # The engine sorts NaN above every number, so a bound above finds it.
        parts += [f"{value} >{equal} {sql_value(self.high, kind)}"] if self.high is not None else []
        if pa.types.is_floating(kind):
            parts.append(f"isnan({value})")
        return " OR ".join(parts)

    def holds(self, value: Value) -> bool:
        """Tell the same in Python: whether a value lies between the bounds."""
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
        raise declaration.invalid(f"{name} does not fit", str(said), str(error)) from error
    if _is_nan(bound):
        raise declaration.invalid(f"{name} is NaN", str(said), "a number")
    return bound
