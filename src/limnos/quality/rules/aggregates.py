"""The aggregates of a column."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.aggregate import NUMBERS, ORDERED, Aggregate, OneColumn, Over, column_of, distinct, finite
from limnos.quality.rules.bounds import BOUNDS, Bounds
from limnos.quality.rules.declaration import Declaration, whole_table
from limnos.quality.rules.shape import Row
from limnos.quality.rules.typed import Value, comparable

_EXACT_DIGITS = 38


@dataclass(frozen=True, slots=True)
class DistinctCount(OneColumn):
    """Bound how many different values a column has."""

    kind: ClassVar[str] = "distinct_count"
    dimension: ClassVar[Dimension] = Dimension.UNIQUENESS
    takes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def result(cls, kind: pa.DataType) -> pa.DataType:  # noqa: ARG003 of others it depends on it
        """Count in whole numbers."""
        return pa.int64()

    def seen(self, over: Over) -> str:
        """Count; no value at all is nothing to count."""
        return f"nullif({over(f'count(DISTINCT {self.column})')}, 0)"

    def of_values(self, values: Sequence[Value]) -> Value:
        """Count."""
        return distinct(values)


@dataclass(frozen=True, slots=True)
class UniqueRatio(OneColumn):
    """Bound the share of different values among the values of a column."""

    kind: ClassVar[str] = "unique_ratio"
    dimension: ClassVar[Dimension] = Dimension.UNIQUENESS
    takes: ClassVar[tuple[str, ...]] = ()

    def seen(self, over: Over) -> str:
        """Divide the different values by the values."""
        return f"{over(f'count(DISTINCT {self.column})')} / nullif({over(f'count({self.column})')}, 0)"

    def of_values(self, values: Sequence[Value]) -> Value:
        """Divide the different values by the values."""
        return distinct(values) / len(values)


@dataclass(frozen=True, slots=True)
class Mean(OneColumn):
    """Bound the arithmetic mean, computed in double precision."""

    kind: ClassVar[str] = "mean"

    def seen(self, over: Over) -> str:
        """Average."""
        return over(f"avg({self.column})")

    def of_values(self, values: Sequence[Value]) -> Value:
        """Average."""
        return float(sum(values) / len(values))


@dataclass(frozen=True, slots=True)
class Sum(OneColumn):
    """Bound the sum: exact of whole numbers and decimals, in double precision of floats."""

    kind: ClassVar[str] = "sum"

    @classmethod
    def result(cls, kind: pa.DataType) -> pa.DataType:
        """Keep decimals, in all the digits that there are."""
        if pa.types.is_floating(kind):
            return pa.float64()
        return pa.decimal128(_EXACT_DIGITS, kind.scale if pa.types.is_decimal(kind) else 0)

    def seen(self, over: Over) -> str:
        """Add up."""
        return over(f"sum({self.column})")

    def of_values(self, values: Sequence[Value]) -> Value:
        """Add up."""
        return sum(values[1:], values[0])


@dataclass(frozen=True, slots=True)
class Stddev(OneColumn):
    """Bound the standard deviation of a sample (divisor n - 1), computed in double precision; of one value it is unknown."""

    kind: ClassVar[str] = "stddev"

    def seen(self, over: Over) -> str:
        """Compute it; the engine refuses infinities, for which it is NaN."""
        number = f"CAST({self.column} AS DOUBLE)"
        odd = over("count(*)", f"NOT isfinite({number})")
        return f"CASE WHEN {odd} > 0 THEN 'NaN'::DOUBLE ELSE {over(f'stddev_samp({number})', f'isfinite({number})')} END"

    def of_values(self, values: Sequence[Value]) -> Value:
        """Compute it by its definition."""
        if not finite(values):
            return math.nan
        numbers = [float(value) for value in values]
        mean = math.fsum(numbers) / len(numbers)
        return math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1)) if len(numbers) > 1 else None


@dataclass(frozen=True, slots=True)
class _Extreme(OneColumn):
    takes: ClassVar[tuple[str, ...]] = ORDERED
    function: ClassVar[str]

    @classmethod
    def result(cls, kind: pa.DataType) -> pa.DataType:
        """Keep the column's type."""
        return kind

    def seen(self, over: Over) -> str:
        """Find it."""
        return over(f"{self.function}({self.column})")


@dataclass(frozen=True, slots=True)
class Minimum(_Extreme):
    """Bound the smallest value; NaN is greater than all."""

    kind: ClassVar[str] = "minimum"
    function: ClassVar[str] = "min"

    def of_values(self, values: Sequence[Value]) -> Value:
        """Find it."""
        return min(values, key=comparable)


@dataclass(frozen=True, slots=True)
class Maximum(_Extreme):
    """Bound the greatest value; NaN is greater than all."""

    kind: ClassVar[str] = "maximum"
    function: ClassVar[str] = "max"

    def of_values(self, values: Sequence[Value]) -> Value:
        """Find it."""
        return max(values, key=comparable)


@dataclass(frozen=True, slots=True)
class Entropy(OneColumn):
    """Bound the entropy of the values' frequencies, in nats.

    Source: C. E. Shannon, "A Mathematical Theory of Communication", 1948, with the natural logarithm.
    """

    kind: ClassVar[str] = "entropy"
    takes: ClassVar[tuple[str, ...]] = ()

    def seen(self, over: Over) -> str:
        """Compute it; the engine's own is in bits, and 0 of nothing."""
        counted = over(f"count({self.column})")
        return f"CASE WHEN {counted} > 0 THEN {over(f'entropy({self.column})')} * ln(2) END"

    def of_values(self, values: Sequence[Value]) -> Value:
        """Compute it by its definition."""
        shares = [count / len(values) for count in Counter(comparable(value) for value in values).values()]
        return -math.fsum(share * math.log(share) for share in shares)


@dataclass(frozen=True, slots=True)
class Quantile(OneColumn):
    """Bound a quantile, exact, in double precision: between two neighbours it is interpolated linearly.

    Source: Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996: definition 7, position q (n - 1) of the sorted values.
    """

    kind: ClassVar[str] = "quantile"
    share: float

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Quantile:
        """Build from one column, `q`, and `min`, `max` or both."""
        declaration = Declaration.read(spec, contract, "q", *BOUNDS)
        column_of(declaration, NUMBERS)
        share = spec.arguments.get("q")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise declaration.invalid("q is not the place of a quantile", str(share), "a number from 0 to 1, such as 0.95")
        return cls(whole_table(declaration), pa.float64(), Bounds.read(declaration, pa.float64()), float(share))

    def said(self) -> str:
        """Name what is measured."""
        return f"quantile {self.share} of {self.spec.columns[0]}"

    def seen(self, over: Over) -> str:
        """Compute it; of decimals as they are, the engine would round it to their scale."""
        return over(f"quantile_cont(CAST({self.column} AS DOUBLE), {self.share!r})")

    def of_values(self, values: Sequence[Value]) -> Value:
        """Compute it by its definition."""
        ranked = sorted((float(value) for value in values), key=comparable)
        place = self.share * (len(ranked) - 1)
        low, part = math.floor(place), place - math.floor(place)
        return ranked[low] if not part else ranked[low] * (1 - part) + ranked[low + 1] * part


@dataclass(frozen=True, slots=True)
class Correlation(Aggregate):
    """Bound Pearson's correlation of two columns; where one of them does not vary, it is unknown."""

    kind: ClassVar[str] = "correlation"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Correlation:
        """Build from two columns and `min`, `max` or both."""
        declaration = Declaration.read(spec, contract, *BOUNDS)
        for column in declaration.pair():
            if not type_name(column.type).startswith(NUMBERS):
                raise declaration.invalid(f"correlation does not apply to {column.name}", type_name(column.type), "a number")
        return cls(whole_table(declaration), pa.float64(), Bounds.read(declaration, pa.float64()))

    def seen(self, over: Over) -> str:
        """Compute it; the engine refuses infinities, for which it is NaN, and says NaN where a column does not vary."""
        first, second = (f"CAST({quoted(name)} AS DOUBLE)" for name in self.spec.columns)
        ends = f"isfinite({first}) AND isfinite({second})"
        odd = over("count(*)", f"NOT ({ends}) AND {first} IS NOT NULL AND {second} IS NOT NULL")
        number = over(f"corr({first}, {second})", ends)
        return f"CASE WHEN {odd} > 0 THEN 'NaN'::DOUBLE WHEN NOT isnan({number}) THEN {number} END"

    def of(self, rows: Sequence[Row]) -> Value:
        """Compute it by its definition."""
        first, second = ([row[name] for row in rows] for name in self.spec.columns)
        if not finite([*first, *second]):
            return math.nan
        one, two = (_centred(side) for side in (first, second))
        spread = math.sqrt(math.fsum(x * x for x in one)) * math.sqrt(math.fsum(y * y for y in two))
        return math.fsum(x * y for x, y in zip(one, two, strict=True)) / spread if spread else None


def _centred(values: Sequence[float | Decimal]) -> list[float]:
    numbers = [float(value) for value in values]
    mean = math.fsum(numbers) / len(numbers)
    return [number - mean for number in numbers]
