"""Rows written as one text each and hashed, in the SQL of any system: what makes two systems comparable without moving their rows.

A row's text is its cells with `|` between them, free text last, and before it the sizes in bytes of all free texts that another follows,
two in one number. A row with a null begins with `|`, has nothing for a null, and each free text has its size before it. So no two
different rows have the same text. A row's number is a hash of its text, and numbers are added up: a sum, unlike an exclusive or, does not
lose rows that occur twice. It finds accidents, not forgeries.
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
_SIZES = 2**31  # more than a text can have of bytes, and its square is less than a whole number can be
_RANGES = 2_000
NUMBER = "_number"
DIGITS = "digits"
"""The form of floating point in systems that do not tell its bits: the fewest digits that only this number has, as MariaDB writes them."""


class Ask(StrEnum):
    """Name what is asked of a side: sums by bucket, keys with the numbers of their rows, or whole rows."""

    BUCKETS = "buckets"
    NUMBERS = "numbers"
    ROWS = "rows"


class Hash(StrEnum):
    """Name what makes a whole number of a text's UTF-8: the first 60 bits of its MD5, which every system has, or all 64 of a cheaper hash.

    Source: Bob Jenkins, lookup3.c, as `hashtextextended` of PostgreSQL has it, with the seed 0 and in a collation that compares bytes.
    """

    MD5 = "md5"
    LOOKUP3 = "lookup3"


@dataclass(frozen=True, slots=True)
class Blocks:
    """Choose buckets by blocks of `width` neighbouring values of one whole-number column, so that an index finds the rows of a bucket.

    `low` and `high` are the least and the greatest value in the lake; a source may have others.
    """

    column: str
    width: int
    low: int
    high: int

    def ranges(self, within: Sequence[int], buckets: int) -> tuple[tuple[int, int], ...]:
        """Give the values between `low` and `high` that fall into some buckets, as (first, last); none where there are too many.

        Division is towards zero, as all the systems do it.

        Examples:
            >>> Blocks("id", 10, 0, 99).ranges((3, 4), 7)
            ((30, 39), (40, 49))
            >>> Blocks("id", 10, -45, 8).ranges((0, -4), 7)
            ((-9, 9), (-49, -40))
        """
        first, last = (_towards_zero(value, self.width) for value in (self.low, self.high))
        if len(within) * (last - first + buckets) > _RANGES * buckets:
            return ()
        found: list[tuple[int, int]] = []
        for bucket in within:
            found += [_block(turn, self.width) for turn in _turns(bucket, first, last, buckets)]
        return tuple(found)


def _towards_zero(value: int, by: int) -> int:
    return value // by if value >= 0 else -(-value // by)


def _turns(bucket: int, first: int, last: int, buckets: int) -> Sequence[int]:
    """Give the blocks from `first` to `last` whose remainder, of the sign of the block, is `bucket`."""
    up = range(max(bucket, first + (bucket - first) % buckets), last + 1, buckets)
    if bucket > 0:
        return up
    down = [-block for block in range(max(-bucket, -last + (last - bucket) % buckets), 1 - first, buckets)]
    return down if bucket else [*up, *(block for block in down if block)]


def _block(at: int, width: int) -> tuple[int, int]:
    if at == 0:
        return 1 - width, width - 1
    return (at * width, at * width + width - 1) if at > 0 else (at * width - width + 1, at * width)


@dataclass(frozen=True, slots=True)
class Question:
    """Ask one thing of one side of a comparison; both sides are asked the same.

    `key` names the columns that tell rows apart, none where the whole row does; `columns` those that are compared, none where rows
    are only counted. `by_value` tells whether the key is of whole numbers, whose values then choose the bucket, by `blocks` of one of them
    if given. `within` limits NUMBERS to buckets (none: all), `keys` gives the keys of ROWS as canonical texts, or their numbers where there
    is no key. `hash` makes the numbers.
    """

    ask: Ask
    key: tuple[str, ...]
    columns: tuple[str, ...]
    buckets: int
    by_value: bool
    within: tuple[int, ...] = ()
    keys: tuple[tuple[str, ...], ...] = ()
    blocks: Blocks | None = None
    hash: Hash = Hash.MD5

    @property
    def schema(self) -> pa.Schema:
        """The answer's columns; a key and the cells of a row come as canonical text."""
        if self.ask is Ask.BUCKETS:
            columns: dict[str, pa.DataType] = {"bucket": pa.int64(), "rows": pa.int64(), "total": pa.string()}
            return pa.schema(columns)
        texts: dict[str, pa.DataType] = dict.fromkeys((*self.key, *(self.columns if self.ask is Ask.ROWS else ())), pa.string())
        return pa.schema({**texts, NUMBER: pa.int64()})


@dataclass(frozen=True, slots=True)
class FileSums:
    """Hold the answer of one data file to BUCKETS, whatever rows of it were deleted since; `content` is a hash of the file's bytes."""

    content: str
    sums: pa.Table


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
    """Say of a table's columns in which form each is written, and of others why they cannot be; `hashes` begins with the cheapest."""

    forms: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    hashes: tuple[Hash, ...] = (Hash.MD5,)


@dataclass(frozen=True, slots=True)
class Digestible:
    """Write a table in a system's SQL: its relation and its cells.

    `join` puts `|` between cells of which none is null, `join_with_nulls` between cells of which a null is nothing; `size` gives the bytes
    of a text, `numbers` has the hashes of a text, `text` turns any cell into text, `literal` quotes a text. `divide` is the operator that
    divides whole numbers, towards zero.
    """

    relation: str
    cells: Mapping[str, Cell]
    join: Callable[[Sequence[str]], str]
    join_with_nulls: Callable[[Sequence[str]], str]
    size: Callable[[str], str]
    numbers: Mapping[Hash, Callable[[str], str]]
    text: Callable[[str], str]
    literal: Callable[[str], str] = literal
    divide: str = "/"

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
        return f"SELECT {self.sums(question)} FROM {self.relation} GROUP BY 1"

    def sums(self, question: Question) -> str:
        """List the bucket and what is added up in it."""
        return f"{self.bucket(question)} AS bucket, count(*) AS n, sum({self._weighed(question)}) AS total"

    def _numbers(self, question: Question) -> str:
        number = self._number(question, question.columns) if question.columns else "0"
        listed = ", ".join([*(self.text(self.cells[name].sql) for name in question.key), number])
        where = f" WHERE {self.near(question)}{self._for_an_index(question)}" if question.within else ""
        return f"SELECT {listed} FROM {self.relation}{where}"

    def near(self, question: Question) -> str:
        """Write the condition that a row is in one of the buckets."""
        return f"{self.bucket(question)} IN ({', '.join(str(int(one)) for one in question.within)})"

    def _for_an_index(self, question: Question) -> str:
        """Say again which values the buckets have, in a form in which an index on the column can find them."""
        blocks = question.blocks
        ranges = blocks.ranges(question.within, question.buckets) if blocks else ()
        if not blocks or not ranges:
            return ""
        value = self.cells[blocks.column].value
        lie = [f"{value} BETWEEN {first} AND {last}" for first, last in ranges]
        return f" AND ({' OR '.join([*lie, f'{value} < {blocks.low}', f'{value} > {blocks.high}', f'{value} IS NULL'])})"

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

    def bucket(self, question: Question) -> str:
        """Write the number of a row's bucket, which has the sign of what it is made of."""
        if blocks := question.blocks:
            return f"(coalesce({self.cells[blocks.column].sql}, 0) {self.divide} {int(blocks.width)}) % {int(question.buckets)}"
        return f"({self._by_key(question)}) % {int(question.buckets)}"

    def _weighed(self, question: Question) -> str:
        return self._number(question, question.columns) if question.columns else self._by_key(question)

    def _by_key(self, question: Question) -> str:
        if not question.by_value:
            told_apart_by = question.key or question.columns
            return self._number(question, told_apart_by) if told_apart_by else "0"
        parts = (f"{_WEIGHT**at} * coalesce({self.cells[name].sql} % {_WIDE}, 0)" for at, name in enumerate(question.key))
        return " + ".join(parts)

    def _number(self, question: Question, columns: Sequence[str]) -> str:
        return self.numbers[question.hash](self._row(columns))

    def _row(self, columns: Sequence[str]) -> str:
        cells = [self.cells[name] for name in columns]
        plain, free = ([cell.sql for cell in cells if cell.is_free is chosen] for chosen in (False, True))
        sizes = [self.size(text) for text in (free[:-1] if plain or len(free) > 1 else free)]
        pairs = [" + ".join([f"{_SIZES} * {one}", *other]) for one, *other in (sizes[at : at + 2] for at in range(0, len(sizes), 2))]
        each = [part for cell in cells for part in ([self.size(cell.sql), cell.sql] if cell.is_free else [cell.sql])]
        whole = " AND ".join(f"{cell.sql} IS NOT NULL" for cell in cells)
        with_nulls = _joined(["''", *each], self.join_with_nulls)
        return f"CASE WHEN {whole} THEN {_joined([*plain, *pairs, *free], self.join)} ELSE {with_nulls} END"


def _joined(parts: list[str], join: Callable[[Sequence[str]], str]) -> str:
    while len(parts) > _PARTS:
        parts = [join(parts[start : start + _PARTS]) for start in range(0, len(parts), _PARTS)]
    return join(parts)


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
