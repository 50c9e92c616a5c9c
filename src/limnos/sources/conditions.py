"""Say conditions of a database in the engine's SQL, where both understand exactly the same by them: what all dialects share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from limnos.model.names import literal, quoted

NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_CLOCK = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]{8,15}"


class Kind(StrEnum):
    """Tell what a value is compared as; a `blank` is text whose blanks at the end do not count, of an `opaque` one only null is known."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    BLANK = "blank"
    LABEL = "label"
    TRUTH = "truth"
    DATE = "date"
    TIMESTAMP = "timestamp without time zone"
    TIMESTAMPTZ = "timestamp with time zone"
    LITERAL = "literal"
    OPAQUE = "opaque"


EXACT: Final = frozenset({Kind.INTEGER, Kind.DECIMAL})
ORDERED: Final = EXACT | {Kind.FLOAT, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ}
_INSTANTS: Mapping[Kind, tuple[re.Pattern[str], str]] = {
    Kind.DATE: (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "DATE"),
    Kind.TIMESTAMP: (re.compile(_CLOCK), "TIMESTAMP"),
    Kind.TIMESTAMPTZ: (re.compile(rf"{_CLOCK}\+00"), "TIMESTAMPTZ"),
}
Token: TypeAlias = tuple[str, str, bool]
"""What sort of token it is, its text, and whether an array is meant; words are in capitals, and the last one is an `end`."""


class Unsaid(Exception):
    """Say that a part of a condition may mean something else to the engine."""


@dataclass(frozen=True, slots=True)
class Value:
    """Hold a part of a condition: SQL, or for a literal its text; `many` are the members of an array."""

    kind: Kind
    sql: str
    many: tuple[Value, ...] | None = None


class Reading(ABC):
    """Read a condition from left to right; a dialect says what an operand is, and what may be said of one."""

    def __init__(self, tokens: Sequence[Token], columns: Mapping[str, Kind]) -> None:
        self._tokens, self._columns, self._at = tokens, columns, 0

    def whole(self) -> str:
        """Give the condition in the engine's SQL.

        Raises:
            Unsaid: If there is more in it than is known to mean the same.
        """
        said = self._joined("OR")
        if self._tokens[self._at][0] != "end":
            raise Unsaid
        return self._truth(said).sql

    @abstractmethod
    def _operand(self) -> Value:
        """Pass what is compared."""

    @abstractmethod
    def _predicate(self, left: Value) -> Value:
        """Pass what is said of an operand, but for `IS`; gives the operand if nothing is."""

    def _taken(self, *texts: str) -> str:
        """Pass one of these words or signs, if it is next."""
        kind, text, _ = self._tokens[self._at]
        if kind not in {"word", "sign"} or text not in texts:
            return ""
        self._at += 1
        return text

    def _demand(self, text: str) -> None:
        if not self._taken(text):
            raise Unsaid

    def _truth(self, value: Value) -> Value:
        if value.kind is not Kind.TRUTH or value.many is not None:
            raise Unsaid
        return value

    def _joined(self, word: str) -> Value:
        parts = [self._joined("AND") if word == "OR" else self._negated()]
        while self._taken(word):
            parts.append(self._joined("AND") if word == "OR" else self._negated())
        return parts[0] if len(parts) == 1 else Value(Kind.TRUTH, f" {word} ".join(self._truth(part).sql for part in parts))

    def _negated(self) -> Value:
        if self._taken("NOT"):
            return Value(Kind.TRUTH, f"NOT {self._truth(self._negated()).sql}")
        left = self._operand()
        return self._state(left) if self._taken("IS") else self._predicate(left)

    def _state(self, value: Value) -> Value:
        negated = "NOT " if self._taken("NOT") else ""
        if self._taken("NULL"):
            return Value(Kind.TRUTH, f"{sql_of(value)} IS {negated}NULL")
        if word := self._taken("TRUE", "FALSE"):
            return Value(Kind.TRUTH, f"{self._truth(value).sql} IS {negated}{word}")
        raise Unsaid

    def _enclosed(self) -> Value:
        """Pass what parentheses enclose, after the first of them."""
        inside = self._joined("OR")
        self._demand(")")
        return inside if inside.many is not None or inside.kind is Kind.LITERAL else Value(inside.kind, f"({inside.sql})")

    def _column(self, name: str) -> Value:
        if name not in self._columns:
            raise Unsaid
        kind = self._columns[name]
        return Value(kind, f"rtrim({quoted(name)}, ' ')" if kind is Kind.BLANK else quoted(name))


def tokens(expression: str, form: re.Pattern[str]) -> list[Token]:
    """Take an expression apart into the named groups of `form`, of which `many` says that an array is meant.

    Raises:
        Unsaid: If something stands in it that is none of them.
    """
    found: list[Token] = []
    at = 0
    while at < len(expression.rstrip()):
        token = form.match(expression, at)
        if token is None:
            raise Unsaid
        at = token.end()
        groups = token.groupdict()
        many = groups.pop("many", None) is not None
        kind = next(name for name, text in groups.items() if text is not None)
        found.append((kind, groups[kind].upper() if kind == "word" else groups[kind], many))
    return [*found, ("end", "", False)]


def sql_of(value: Value) -> str:
    """Give the SQL of one value that has a type."""
    if value.many is not None or value.kind is Kind.LITERAL:
        raise Unsaid
    return value.sql


def typed(text: str, kind: Kind) -> Value:
    """Write a literal as one of a kind."""
    if kind in {Kind.TEXT, Kind.BLANK}:
        return Value(kind, literal(text.rstrip(" ") if kind is Kind.BLANK else text))
    if kind in EXACT | {Kind.FLOAT} and NUMBER.fullmatch(text) and (kind is not Kind.INTEGER or "." not in text):
        return Value(kind, f"CAST({literal(text)} AS DOUBLE)" if kind is Kind.FLOAT else text)
    form, spelled = _INSTANTS.get(kind, (None, ""))
    if form is None or not form.fullmatch(text) or text.startswith("0000"):
        raise Unsaid
    return Value(kind, f"{spelled} {literal(text)}")


def compared(left: Value, sign: str, right: Value) -> Value:
    """Compare two values of one kind; order is known only of numbers, days and instants."""
    same = left.kind is right.kind or {left.kind, right.kind} <= EXACT
    if not same or left.kind is Kind.OPAQUE or (sign not in {"=", "<>"} and left.kind not in ORDERED):
        raise Unsaid
    return Value(Kind.TRUTH, f"{sql_of(left)} {sign} {sql_of(right)}")


def like(left: Value, pattern: Value, *, negated: bool) -> Value:
    """Match a text with a pattern; in it a backslash escapes in one and not in the other."""
    if {left.kind, pattern.kind} != {Kind.TEXT} or not pattern.sql.startswith("'") or "\\" in pattern.sql:
        raise Unsaid
    return Value(Kind.TRUTH, f"{sql_of(left)} {'NOT ' if negated else ''}LIKE {sql_of(pattern)}")


def among(left: Value, members: Sequence[Value], *, negated: bool) -> Value:
    """Look a value up in a list."""
    for member in members:
        compared(left, "=", member)
    return Value(Kind.TRUTH, f"{sql_of(left)} {'NOT ' if negated else ''}IN ({', '.join(sql_of(member) for member in members)})")
