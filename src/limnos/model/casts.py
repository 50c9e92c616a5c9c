"""A whole raw row made into a typed one, as SQL of the embedded engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from limnos.model.contract import Contract
from limnos.model.conversion import Conversion, convert
from limnos.model.names import quoted
from limnos.model.types import sql_type

RECORD = "_record"


@dataclass(frozen=True, slots=True)
class Casts:
    """Hold the conversion of each column of a contract from the raw schema; a column that the source lacks is null."""

    contract: Contract
    columns: Mapping[str, Conversion]

    @classmethod
    def of(cls, raw: pa.Schema, contract: Contract) -> Casts:
        """Pair each column of the contract with the raw column of its name, or with the one it stands beside.

        A column beside which another one stands holds the values that fit it, and fails for none. A refused column has a conversion
        that fails for every value.
        """
        types, drifted = {field.name: field.type for field in raw}, contract.drifted
        columns: dict[str, Conversion] = {}
        for column in contract.columns:
            name = drifted.beside.get(column.name, column.name)
            one = convert(quoted(name), types[name], column.type) if name in types else Conversion("NULL", "FALSE")
            columns[column.name] = Conversion(one.value, "FALSE") if column.name in drifted.beside.values() else one
        columns |= {name: Conversion("NULL", f"({quoted(name)} IS NOT NULL)") for name in drifted.refused if name in types}
        return cls(contract, columns)

    @property
    def select(self) -> str:
        """The select list that makes the contract's columns of raw ones."""
        return ", ".join(
            f"CAST({self.columns[column.name].value} AS {sql_type(column.type)}) AS {quoted(column.name)}"
            for column in self.contract.columns
        )

    @property
    def fails(self) -> str:
        """The condition, never null, of a row that does not fit; empty where nothing can fail."""
        return " OR ".join(f"({one.fails})" for one in self.columns.values() if not one.certain)

    def fitting(self, relation: str) -> str:
        """Write the SELECT of the typed rows of `relation` in which every value fits."""
        if not self.fails:
            return f"SELECT {self.select} FROM {relation}"
        # A volatile term keeps the engine from pulling the condition below the values, where it would compute every value twice.
        judged = f"SELECT {self.select}, ({self.fails}) OR random() < 0 AS _misfit FROM {relation}"
        return f"SELECT * EXCLUDE (_misfit) FROM ({judged}) WHERE NOT _misfit"

    @property
    def uncertain(self) -> tuple[str, ...]:
        """The columns in which a value may fail."""
        return tuple(name for name, one in self.columns.items() if not one.certain)


def numbered(scan: str) -> str:
    """Give the rows of a scan with their ordinal from 0 as `_record`; a scan has the same order each time."""
    return f"(SELECT row_number() OVER () - 1 AS {RECORD}, * FROM ({scan}))"


def names(columns: Iterable[str], table: str = "") -> str:
    """List columns for SQL, each quoted and with its table's alias.

    Examples:
        >>> names(["a", "b"], "t")
        't."a", t."b"'
    """
    return ", ".join(f"{table}.{quoted(name)}" if table else quoted(name) for name in columns)
