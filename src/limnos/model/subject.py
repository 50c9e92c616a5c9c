"""What a rule judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from limnos.errors import UnknownName
from limnos.model.names import TableName


@dataclass(frozen=True, slots=True)
class Subject:
    """Give a set rule what it judges: `relation` is an SQL relation with the contract's columns and `_file VARCHAR, _row BIGINT`.

    `parents` maps a referenced table to an SQL relation of its version in this run; `rows` and `now` (UTC) serve table rules. `beside`
    is an SQL relation of rows of the same table that are not judged again, and to which the judged ones may refer. `previous_rows` is how
    many rows the version before had, None where there was none.
    """

    relation: str
    rows: int
    now: datetime
    parents: Mapping[TableName, str] = field(default_factory=dict[TableName, str])
    beside: str = ""
    previous_rows: int | None = None

    def other(self, table: TableName) -> str:
        """Give the relation of another table.

        Raises:
            UnknownName: If the subject holds no version of it.
        """
        if table not in self.parents:
            raise UnknownName(
                f"{table} has no version to compare with",
                subject=str(table),
                expected="a table that is published or part of this run",
                hint=f"limnos run {table}",
            )
        return self.parents[table]


class RuleShape(StrEnum):
    """Say what a rule judges: each row by itself, rows among each other or against another table, or the table as a whole."""

    ROW = "row"
    SET = "set"
    TABLE = "table"
