"""Every row is referred to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import TableName
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.foreign_key import without_match
from limnos.quality.rules.shape import Row, SetRule
from limnos.quality.rules.typed import comparable


@dataclass(frozen=True, slots=True)
class ReferencedBy(SetRule):
    """Insist that the columns' values occur together in `their_columns` of another table: the opposite of a foreign key from there."""

    kind: ClassVar[str] = "referenced_by"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    table: TableName
    their_columns: tuple[str, ...]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> ReferencedBy:
        """Build from `table: namespace.table` and `columns: [...]` there."""
        declaration = Declaration.read(spec, contract, "table", "columns")
        names = tuple(column.name for column in declaration.columns())
        listed = declaration.listed("columns", names)
        if len(listed) != len(names):
            raise declaration.invalid(f"{len(names)} columns are referred to by others", ", ".join(listed), f"{len(names)} column names")
        return cls(declaration.spec, declaration.another_table(), listed)

    def promise(self) -> str:
        """Say what must hold."""
        return f"{', '.join(self.spec.columns)} must be referred to by {self.table} ({', '.join(self.their_columns)})"

    def failing_rows(self, subject: Subject) -> str:
        """Find the rows to which none refers.

        Raises:
            UnknownName: If the subject holds no version of the other table.
        """
        return without_match(subject, self, subject.other(self.table), self.their_columns)

    def oracle(self, rows: Sequence[Row], parents: Mapping[TableName, Sequence[Row]], now: datetime) -> set[int]:
        """Look each row up."""
        known = {tuple(comparable(row[name]) for name in self.their_columns) for row in parents[self.table]}
        keys = [tuple(comparable(row[name]) for name in self.spec.columns) for row in rows]
        return {index for index, key in enumerate(keys) if self.knows(rows[index]) and key not in known}
