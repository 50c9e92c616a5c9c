"""Every reference finds its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec, Severity
from limnos.model.names import TableName, quoted
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, SetRule
from limnos.quality.rules.typed import comparable


@dataclass(frozen=True, slots=True)
class ForeignKey(SetRule):
    """Insist that the columns' values occur together in `parent_columns` of the referenced table.

    Source: ISO/IEC 9075-2, referential constraints, MATCH SIMPLE: a null in any column of the reference satisfies it.
    """

    kind: ClassVar[str] = "foreign_key"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    references: TableName
    parent_columns: tuple[str, ...]
    own: bool

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> ForeignKey:
        """Build from `references: namespace.table` and `columns: [...]` there."""
        declaration = Declaration.read(spec, contract, "references", "columns")
        names = tuple(column.name for column in declaration.columns())
        references = declaration.other_table("references")
        listed = spec.arguments.get("columns", list(names))
        if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed) or len(listed) != len(names):
            raise declaration.invalid(
                f"{len(names)} columns refer to columns that do not match them", str(listed), f"{len(names)} column names"
            )
        own = references == contract.table
        for name in listed:
            if own and name not in contract.names:
                raise declaration.invalid(f"{references} has no column {name}", str(name), ", ".join(contract.names))
        return cls(declaration.spec, references, tuple(listed), own)

    def promise(self) -> str:
        """Say what must hold."""
        return f"{', '.join(self.spec.columns)} must be found in {self.references} ({', '.join(self.parent_columns)})"

    def failing_rows(self, subject: Subject) -> str:
        """Find the rows whose reference finds nothing.

        Raises:
            UnknownName: If the subject holds no version of the referenced table.
        """
        own = subject.relation if self.own and self.references not in subject.parents else ""
        return without_match(subject, self, own or subject.other(self.references), self.parent_columns)

    def oracle(self, rows: Sequence[Row], parents: Mapping[TableName, Sequence[Row]], now: datetime) -> set[int]:
        """Look each reference up; where orphans of this very table leave it, their children become orphans too.

        For a table that refers to itself, `parents` holds the whole of it, and `rows` are some of the same objects.
        """
        known = parents[self.references]
        found = self._orphans(rows, known)
        while self.own and self.spec.severity is Severity.QUARANTINE and self._too_many(found, rows):
            gone = {id(rows[index]) for index in found}
            more = self._orphans(rows, [row for row in known if id(row) not in gone])
            if more == found:
                break
            found = more
        return found

    def _too_many(self, found: set[int], rows: Sequence[Row]) -> bool:
        applicable = sum(self.knows(row) for row in rows)
        return applicable - len(found) < self.spec.at_least * applicable

    def _orphans(self, rows: Sequence[Row], parents: Sequence[Row]) -> set[int]:
        known = {tuple(comparable(row[name]) for name in self.parent_columns) for row in parents}
        keys = [tuple(comparable(row[name]) for name in self.spec.columns) for row in rows]
        return {index for index, key in enumerate(keys) if self.knows(rows[index]) and key not in known}


def without_match(subject: Subject, rule: SetRule, other: str, columns: Sequence[str]) -> str:
    """Select `_file, _row` of the rows that a rule applies to whose columns' values no row of another relation has in its `columns`."""
    keys = ", ".join(quoted(name) for name in rule.spec.columns)
    same = " AND ".join(f"child.{quoted(child)} = parent.{quoted(there)}" for child, there in zip(rule.spec.columns, columns, strict=True))
    return (
        f"SELECT child._file, child._row FROM (SELECT _file, _row, {keys} FROM {subject.relation} WHERE {rule.applies()}) AS child "
        f"ANTI JOIN (SELECT {', '.join(quoted(name) for name in columns)} FROM {other}) AS parent ON {same}"
    )
