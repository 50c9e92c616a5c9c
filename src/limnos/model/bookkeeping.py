"""The columns that Limnos keeps in a table beside the source's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa

from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.project import Deletes, Mode, SourceTable, TableConfig

DELETED_AT = "_deleted_at"
VALID_FROM, VALID_TO = "valid_from", "valid_to"
KEPT_NAMES = (DELETED_AT, VALID_FROM, VALID_TO)
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """Say what is kept of rows that were deleted or replaced at their source.

    `marks_deletes` keeps a deleted row with the instant in `_deleted_at`. `history` keeps every version of a row, valid from `valid_from`
    until before `valid_to`, which is null for the one that is valid now.

    Source: for history, Kimball and Ross, "The Data Warehouse Toolkit", slowly changing dimensions of type 2.
    """

    marks_deletes: bool = False
    history: bool = False

    @classmethod
    def of(cls, table: SourceTable, config: TableConfig) -> Bookkeeping:
        """Read what was declared."""
        return cls(table.mode is Mode.CDC and table.deletes is Deletes.SOFT and not config.history, config.history)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns kept.

        Examples:
            >>> Bookkeeping(history=True).names
            ('valid_from', 'valid_to')
        """
        return (VALID_FROM, VALID_TO) if self.history else (DELETED_AT,) if self.marks_deletes else ()

    @property
    def fields(self) -> tuple[pa.Field[pa.DataType], ...]:
        """The columns kept, as Arrow fields: instants, null where nothing happened yet."""
        return tuple(pa.field(name, _INSTANT) for name in self.names)

    @property
    def current(self) -> str:
        """The condition, in SQL, of a row that stands for what the source has now."""
        if self.history:
            return f"{quoted(VALID_TO)} IS NULL"
        return f"{quoted(DELETED_AT)} IS NULL" if self.marks_deletes else "TRUE"

    def kept_in(self, contract: Contract) -> Contract:
        """Add the columns to a contract; rules that promise one row a key then speak of the current rows."""
        if not self.names:
            return contract
        columns = tuple(Column(name, _INSTANT, description=_MEANINGS[name]) for name in self.names)
        rules = tuple(self._current_only(rule) for rule in contract.rules)
        return replace(contract, columns=(*contract.columns, *columns), rules=rules)

    def _current_only(self, rule: RuleSpec) -> RuleSpec:
        if rule.kind not in {"primary_key", "unique", "foreign_key"}:
            return rule
        return replace(rule, where=f"({rule.where}) AND {self.current}" if rule.where else self.current)


_MEANINGS = {
    DELETED_AT: "When the row was deleted at its source; null while it is there.",
    VALID_FROM: "Since when this version of the row holds.",
    VALID_TO: "Until before when this version of the row held; null for the one that holds now.",
}
