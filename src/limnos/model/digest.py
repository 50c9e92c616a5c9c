"""Rows written as one text each and hashed, in the SQL of any system: what makes two systems comparable without moving their rows.

A row's text is its cells with `|` between them: nothing for a null, and free text with its size in bytes and `|` before it. So no two
different rows have the same text. A row's number is the first 60 bits of the MD5 of its text, and numbers are added up: a sum, unlike an
exclusive or, does not lose rows that occur twice. It finds accidents, not forgeries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from limnos.model.names import literal
from limnos.model.types import type_name

_PARTS = 45  # with separators no more arguments than any system takes
_WIDE, _WEIGHT, _KEYS_OF_NUMBERS = 2_147_483_647, 31, 6
NUMBER = "_number"


class Ask(StrEnum):
    """Name what is asked of a side: sums by bucket, keys with the numbers of their rows, or whole rows."""

    BUCKETS = "buckets"
    NUMBERS = "numbers"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Question:
    """Ask one thing of one side of a comparison; both sides are asked the same.

    `key` names the columns that tell rows apart, none where the whole row does; `columns` those that are compared, none where rows
    are only counted. `by_value` tells whether the key is of whole numbers, whose values then choose the bucket. `within` limits NUMBERS
    to buckets (none: all), `keys` gives the keys of ROWS as canonical texts, or their numbers where there is no key.
    """

    ask: Ask
    key: tuple[str, ...]
    columns: tuple[str, ...]
    buckets: int
    by_value: bool
    within: tuple[int, ...] = ()
    keys: tuple[tuple[str, ...], ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The answer's columns; a key and the cells of a row come as canonical text."""
        if self.ask is Ask.BUCKETS:
            columns: dict[str, pa.DataType] = {"bucket": pa.int64(), "rows": pa.int64(), "total": pa.string()}
            return pa.schema(columns)
        texts: dict[str, pa.DataType] = dict.fromkeys((*self.key, *(self.columns if self.ask is Ask.ROWS else ())), pa.string())
        return pa.schema({**texts, NUMBER: pa.int64()})


@dataclass(frozen=True, slots=True)
class Cell:
    """Write one column in a system's SQL: `sql` is a value that this system prints in the canonical form, null for null.

    `form` names that form: two columns can be compared where it is the same. `value` is what literals are compared with; that may find
    more rows than those of the same text.
    """

    sql: str
    form: str
    value: str

    @property
    def is_free(self) -> bool:
        """Whether the text may hold any character."""
        return self.form == "string"


@dataclass(frozen=True, slots=True)
class Comparable:
    """Say of a table's columns in which form each is written, and of others why they cannot be."""

    forms: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Digestible:
    """Write a table in a system's SQL: its relation and its cells.

    `join` puts `|` between cells, of which a null is nothing; `size` gives the bytes of a text, `number` the first 60 bits of the MD5 of a
    text as a whole number, `text` turns any cell into text, `literal` quotes a text.
    """

    relation: str
    cells: Mapping[str, Cell]
    join: Callable[[Sequence[str]], str]
    size: Callable[[str], str]
    number: Callable[[str], str]
    text: Callable[[str], str]
    literal: Callable[[str], str] = literal

    def select(self, question: Question) -> str:
        """Write the SELECT that answers a question, with the columns of its schema."""
        match question.ask:
            case Ask.BUCKETS:
                return self._buckets(question)
            case Ask.NUMBERS:
                return self._numbers(question)
            case Ask.ROWS:
                return self._rows(question)

    def _buckets(self, question: Question) -> str:
        total = f"sum({self._weighed(question)})"
        return f"SELECT {self._bucket(question)} AS bucket, count(*) AS n, {total} AS total FROM {self.relation} GROUP BY 1"

    def _numbers(self, question: Question) -> str:
        number = self._number(question.columns) if question.columns else "0"
        listed = ", ".join([*(self.text(self.cells[name].sql) for name in question.key), number])
        within = ", ".join(str(int(one)) for one in question.within)
        where = f" WHERE {self._bucket(question)} IN ({within})" if within else ""
        return f"SELECT {listed} FROM {self.relation}{where}"

    def _rows(self, question: Question) -> str:
        shown = dict.fromkeys((*question.key, *question.columns))
        listed = ", ".join([*(self.text(self.cells[name].sql) for name in shown), "0" if question.key else self._weighed(question)])
        return f"SELECT {listed} FROM {self.relation} WHERE {self._chosen(question)}"

    def _chosen(self, question: Question) -> str:
        if not question.key:
            return f"{self._weighed(question)} IN ({', '.join(str(int(number)) for (number,) in question.keys)})"
        say = str if question.by_value else self.literal
        columns = ", ".join(self.cells[name].value for name in question.key)
        chosen = ", ".join(f"({', '.join(say(part) for part in key)})" for key in question.keys)
        return f"({columns}) IN ({chosen})"

    def _bucket(self, question: Question) -> str:
        return f"({self._by_key(question)}) % {int(question.buckets)}"

    def _weighed(self, question: Question) -> str:
        return self._number(question.columns) if question.columns else self._by_key(question)

    def _by_key(self, question: Question) -> str:
        if not question.by_value:
            told_apart_by = question.key or question.columns
            return self._number(told_apart_by) if told_apart_by else "0"
        parts = (f"{_WEIGHT**at} * coalesce({self.cells[name].sql} % {_WIDE}, 0)" for at, name in enumerate(question.key))
        return " + ".join(parts)

    def _number(self, columns: Sequence[str]) -> str:
        return self.number(self._row(columns))

    def _row(self, columns: Sequence[str]) -> str:
        parts: list[str] = []
        for cell in (self.cells[name] for name in columns):
            parts += [self.size(cell.sql), cell.sql] if cell.is_free else [cell.sql]
        while len(parts) > _PARTS:
            parts = [self.join(parts[start : start + _PARTS]) for start in range(0, len(parts), _PARTS)]
        return self.join(parts)


def by_value(kinds: Sequence[pa.DataType]) -> bool:
    """Tell whether a key of these types chooses its bucket by its values and not by a hash of them, which costs much more.

    Examples:
        >>> by_value([pa.int64(), pa.int32()]), by_value([pa.string()]), by_value([])
        (True, False, False)
    """
    return 0 < len(kinds) <= _KEYS_OF_NUMBERS and all(pa.types.is_integer(kind) for kind in kinds)


def form(kind: pa.DataType) -> str:
    """Name the canonical form of a type's values: equal forms print equal values as the same text.

    Examples:
        >>> form(pa.int32()) == form(pa.int64()), form(pa.decimal128(12, 2)), form(pa.date32())
        (True, 'decimal(2)', 'date')
    """
    if pa.types.is_decimal(kind):
        return f"decimal({kind.scale})"
    return "integer" if pa.types.is_integer(kind) else type_name(kind)
