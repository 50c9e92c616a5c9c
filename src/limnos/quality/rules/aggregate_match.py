"""An aggregate that equals that of another table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import TableName, literal, quoted
from limnos.model.subject import Subject
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.aggregate import NUMBERS, ORDERED, column_of, distinct
from limnos.quality.rules.declaration import Declaration, whole_table
from limnos.quality.rules.expression import fault
from limnos.quality.rules.shape import Row, TableRule
from limnos.quality.rules.tolerance import Tolerance
from limnos.quality.rules.typed import Value, comparable

_TAKES: Mapping[str, tuple[str, ...]] = {
    "count": (),
    "distinct_count": (),
    "sum": NUMBERS,
    "mean": NUMBERS,
    "min": ORDERED,
    "max": ORDERED,
}
_SQL = {"distinct_count": "count(DISTINCT {})", "mean": "avg({})"}


@dataclass(frozen=True, slots=True)
class AggregateMatch(TableRule):
    """Insist that an aggregate of a column equals the same one of a column of another table; of nothing in both it is unknown.

    `count` without columns counts rows.
    """

    kind: ClassVar[str] = "aggregate_match"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    function: str
    table: TableName
    column: str
    other_column: str
    other_where: str
    tolerance: Tolerance
    numeric: bool

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> AggregateMatch:
        """Build from `function`, a column unless rows are counted, `table`, `other_column`, `other_where` and `tolerance`."""
        declaration = Declaration.read(spec, contract, "function", "table", "other_column", "other_where", "tolerance")
        function = declaration.choice("function", tuple(_TAKES))
        column = column_of(declaration, _TAKES[function]) if spec.columns or function != "count" else None
        other = declaration.listed("other_column", spec.columns)
        if len(other) > 1:
            raise declaration.invalid("other_column names several columns", ", ".join(other), "one column")
        where = spec.arguments.get("other_where", "")
        if not isinstance(where, str) or (where and fault(where)):
            raise declaration.invalid("other_where is not one SQL condition", str(where), "an SQL condition on the other table")
        tolerance = Tolerance.read(declaration)
        numeric = column is None or function not in {"min", "max"} or type_name(column.type).startswith(NUMBERS)
        if tolerance.size and not numeric:
            raise declaration.invalid("only numbers have a tolerance", str(spec.arguments.get("tolerance")), "no tolerance")
        names = (column.name if column else "", other[0] if other else "")
        return cls(whole_table(declaration), function, declaration.another_table(), *names, where, tolerance, numeric)

    def promise(self) -> str:
        """Say what must hold."""
        name = self.function.replace("_", " ")
        here, there = (f"{name} of {column}" if column else "row count" for column in (self.column, self.other_column))
        return f"the {here} must equal the {there} of {self.table}{self.tolerance.words()}"

    def measure(self, subject: Subject) -> str:
        """Aggregate both tables; `value` is the difference.

        Raises:
            UnknownName: If the subject holds no version of the other table.
        """
        where = f" WHERE ({self.other_where}) IS TRUE" if self.other_where else ""
        value = "CAST(here AS DOUBLE) - CAST(there AS DOUBLE)" if self.numeric else "NULL::DOUBLE"
        return (
            f"SELECT coalesce(CAST({self.tolerance.sql('here', 'there')} AS BIGINT), 0) AS numerator, "
            f"CAST(here IS NOT NULL OR there IS NOT NULL AS BIGINT) AS denominator, "
            f"{literal(self.promise())} || '; they are ' || coalesce(CAST(here AS VARCHAR), 'none') || ' and ' || "
            f"coalesce(CAST(there AS VARCHAR), 'none') AS detail, {value} AS \"value\" "
            f"FROM (SELECT {self._sql(self.column)} AS here FROM {self.chosen(subject)}), "
            f"(SELECT {self._sql(self.other_column)} AS there FROM {subject.other(self.table)}{where})"
        )

    def oracle(self, rows: Sequence[Row], parents: Mapping[TableName, Sequence[Row]], now: datetime) -> set[int]:
        """Aggregate both; a condition on the other table is beyond it."""
        here, there = self._of(rows, self.column), self._of(parents[self.table], self.other_column)
        if here is None and there is None:
            return set()
        if here is None or there is None:
            return {-1}
        return set() if (self.tolerance.equal(here, there) if self.numeric else here == there) else {-1}

    def _sql(self, column: str) -> str:
        return _SQL.get(self.function, f"{self.function}({{}})").format(quoted(column) if column else "*")

    def _of(self, rows: Sequence[Row], column: str) -> Value:
        values: list[Value] = [row[column] for row in rows if row[column] is not None] if column else list(rows)
        match self.function:
            case "count":
                return len(values)
            case "distinct_count":
                return distinct(values)
            case "mean":
                return float(sum(values) / len(values)) if values else None
            case "sum":
                return sum(values[1:], values[0]) if values else None
            case _:
                return (min if self.function == "min" else max)(values, key=comparable, default=None)
