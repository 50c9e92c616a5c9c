"""Find the columns whose values are keys of another table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from limnos.discovery.distribution import DISTRIBUTION
from limnos.discovery.spellings import words
from limnos.model.names import TableName, quoted
from limnos.model.profile import ColumnProfile, Inclusion
from limnos.ports import Session

_FAMILIES = {"int": "whole", "long": "whole", "string": "text", "uuid": "uuid"}
_NAMED, _UNNAMED = 0.5, 0.95
_TELLING = 3
_TELLING_NUMBERS = 20
_ABOUT_KEYS = frozenset("id key code no nr num number uuid ref fk pk".split())


@dataclass(frozen=True, slots=True)
class ParentKey:
    """Offer the key of a table as what others may refer to; `relation` gives the SQL of its rows, and is asked only when it is needed."""

    table: TableName
    column: str
    type: str
    relation: Callable[[], str]


@dataclass(slots=True)
class Parents:
    """Hold the keys of other tables, each read once, when a column may refer to it."""

    session: Session
    keys: Sequence[ParentKey]
    _read: dict[int, int]

    @classmethod
    def of(cls, session: Session, keys: Sequence[ParentKey]) -> Parents:
        """Begin with nothing read."""
        return cls(session, keys, {})

    def included(self, column: ColumnProfile, declared: frozenset[tuple[TableName, str]]) -> Iterator[Inclusion]:
        """Compare the column whose distribution is at hand with each key that its values may be of.

        Whole numbers are included in any long row of numbers, so they count only where names speak for it, or most keys are used.
        """
        if "distinct" in column.approximate or not column.distinct or column.type not in _FAMILIES:
            return
        for at, key in enumerate(self.keys):
            if _FAMILIES.get(key.type) != _FAMILIES[column.type]:
                continue
            said, told = (key.table, key.column) in declared, names_it(column.name, key)
            if not (said or told) and column.distinct < (_TELLING if column.type == "string" else _TELLING_NUMBERS):
                continue
            found = self._compared(at, column, named=told, declared=said)
            if said or _tells(found, column.type):
                yield found

    def _compared(self, at: int, column: ColumnProfile, *, named: bool, declared: bool) -> Inclusion:
        key = self.keys[at]
        if at not in self._read:
            chosen = f"SELECT DISTINCT {quoted(key.column)} AS v FROM {key.relation()} WHERE {quoted(key.column)} IS NOT NULL"
            self.session.run(f"CREATE TEMP TABLE limnos_parent_{at} AS {chosen}")
            self._read[at] = int(self.session.run(f"SELECT count(*) AS n FROM limnos_parent_{at}").to_pylist()[0]["n"])
        counted = "CAST(coalesce(sum(n), 0) AS BIGINT) AS n_rows, count(*) AS n_values"
        found = self.session.run(f"SELECT {counted} FROM {DISTRIBUTION} SEMI JOIN limnos_parent_{at} USING (v)").to_pylist()[0]
        return Inclusion(
            column.name,
            key.table,
            key.column,
            rows=int(found["n_rows"]),
            filled=column.filled,
            values=int(found["n_values"]),
            distinct=column.distinct,
            parent_values=self._read[at],
            named=named,
            declared=declared,
        )


def names_it(column: str, key: ParentKey) -> bool:
    """Tell whether a column is named after a key or its table: `customer_id` and `customer` after `customers.id`.

    Examples:
        >>> orders = ParentKey(TableName("shop", "customers"), "id", "long", str)
        >>> [names_it(name, orders) for name in ("customer_id", "customer", "id", "customer_name")]
        [True, True, False, False]
    """
    said = words(column)
    if said == words(key.column):
        return not set(said) <= _ABOUT_KEYS
    table = "".join(words(key.table.name))
    bare = "".join(said[:-1] if len(said) > 1 and (said[-1] in _ABOUT_KEYS or said[-1:] == words(key.column)[-1:]) else said)
    return bare in {table, table.removesuffix("s"), table.removesuffix("es"), f"{table.removesuffix('ies')}y"}


def _tells(found: Inclusion, kind: str) -> bool:
    share = found.rows / found.filled
    if found.named:
        return share >= _NAMED
    used = kind != "string" and found.values * 2 < found.parent_values
    return share >= _UNNAMED and not used
