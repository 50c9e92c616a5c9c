"""Columns and types as declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from limnos.errors import LimnosError
from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import TableName, literal, quoted
from limnos.model.subject import Subject
from limnos.model.types import parse_type, sql_type
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration, whole_table
from limnos.quality.rules.shape import Row, TableRule


@dataclass(frozen=True, slots=True)
class SchemaMatch(TableRule):
    """Insist on columns and their types, as listed or as another table has them, whatever that table's are in this run.

    `have` and `want` map names to types as SQL spells them, empty where any will do; `want` is empty where `table` says it.
    """

    kind: ClassVar[str] = "schema_match"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    have: Mapping[str, str]
    want: Mapping[str, str]
    table: TableName | None
    extra: bool
    order: bool

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> SchemaMatch:
        """Build from `columns`, names alone or with their types, or a `table`; `extra: refuse` and `order: true` ask for more."""
        declaration = Declaration.read(spec, contract, "columns", "table", "extra", "order")
        declaration.no_columns()
        if spec.where:
            raise declaration.invalid("schema_match judges columns, not rows", spec.where, "no where")
        if ("columns" in spec.arguments) == ("table" in spec.arguments):
            raise declaration.invalid("schema_match needs columns or a table", ", ".join(spec.arguments) or "neither", "one of the two")
        table = declaration.another_table() if "table" in spec.arguments else None
        have = {column.name: sql_type(column.type) for column in contract.columns}
        extra = declaration.choice("extra", ("allow", "refuse"), "allow") == "allow"
        return cls(whole_table(declaration), have, {} if table else _wanted(declaration), table, extra, declaration.flag("order"))

    def promise(self) -> str:
        """Say what must hold."""
        these = f"those of {self.table}" if self.table else ", ".join(self.want)
        more = "" if self.extra else " and no others"
        return f"the columns must be {these}{more}{', in this order' if self.order else ''}"

    def measure(self, subject: Subject) -> str:
        """Compare the names and types as the engine has them.

        Raises:
            UnknownName: If the subject holds no version of the table.
        """
        want = f"SELECT * FROM {subject.other(self.table)}" if self.table else _of_types(self.want)
        untyped = ", ".join(literal(name) for name, kind in self.want.items() if not kind) or "NULL"
        fields = f"column_name AS name, column_type AS type, (column_name IN ({untyped})) IS NOT TRUE AS typed"
        sides = ", ".join(
            f"{side} AS (SELECT row_number() OVER () AS place, {fields} FROM (DESCRIBE {select}))"
            for side, select in (("have", _of_types(self.have)), ("want", want))
        )
        differ = "want.name || ' is ' || have.type || ' and not ' || want.type"
        differs = [
            "SELECT want.place, want.name || ' is missing' AS what FROM want ANTI JOIN have USING (name)",
            f"SELECT want.place, {differ} FROM want JOIN have USING (name) WHERE want.type <> have.type AND want.typed",
        ]
        if not self.extra:
            differs.append("SELECT 1000000 + have.place, have.name || ' is one more' FROM have ANTI JOIN want USING (name)")
        if self.order:
            moved = "rank() OVER (ORDER BY have.place) <> rank() OVER (ORDER BY want.place)"
            places = f"SELECT want.place, name, {moved} AS moved FROM want JOIN have USING (name)"
            differs.append(f"SELECT place, name || ' has another place' FROM ({places}) WHERE moved")
        return (
            f"WITH {sides}, seen AS (SELECT string_agg(what, ', ' ORDER BY place) AS what FROM ({' UNION ALL '.join(differs)})) "
            f"SELECT CAST(what IS NULL AS BIGINT) AS numerator, 1::BIGINT AS denominator, "
            f"{literal(self.promise())} || coalesce('; ' || what, '') AS detail FROM seen"
        )

    def oracle(self, rows: Sequence[Row], parents: Mapping[TableName, Sequence[Row]], now: datetime) -> set[int]:
        """Compare the lists; of a table the rows tell the names only."""
        names = list(self.want) if self.table is None else list(parents[self.table][0] if parents[self.table] else self.have)
        held = [name for name in self.have if name in names]
        same = all(self.want.get(name, "") in ("", self.have.get(name)) for name in names)
        complete = set(names) <= set(self.have) and (self.extra or set(names) == set(self.have))
        return set() if same and complete and (not self.order or held == names) else {-1}


def _of_types(columns: Mapping[str, str]) -> str:
    fields = (f"CAST(NULL AS {kind or 'INTEGER'}) AS {quoted(name)}" for name, kind in columns.items())
    return f"SELECT {', '.join(fields)}"


def _wanted(declaration: Declaration) -> dict[str, str]:
    said: Any = declaration.spec.arguments["columns"]
    if not said or not isinstance(said, Mapping):
        if names := declaration.listed("columns"):
            return dict.fromkeys(names, "")
        raise declaration.invalid("columns is empty", str(said), "names, or a mapping of names to types")
    wanted: dict[str, str] = {}
    for name, spelled in said.items():
        try:
            wanted[str(name)] = sql_type(parse_type(str(spelled)))
        except LimnosError as error:
            raise declaration.invalid(error.what, error.seen, error.expected) from error
    return wanted
