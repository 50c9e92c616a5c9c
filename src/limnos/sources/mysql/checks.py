"""Say CHECK constraints of MySQL and MariaDB in the engine's SQL, where both understand exactly the same by them.

Source: MariaDB Knowledge Base, "CHECK_CONSTRAINTS Table", "Type Conversion"; MySQL Reference Manual, "Operator Precedence".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from limnos.model.names import literal, quoted
from limnos.sources.conditions import EXACT, NUMBER, Kind, Reading, Unsaid, Value, among, compared, like, tokens, typed

_TOKENS = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|''|\\')*'|_utf8mb[34]\\'[^\\'\x00-\x1f\x7f-\U0010ffff]*\\')|(?P<date>DATE\\?'[0-9-]{10}\\?')"""
    r"""|(?P<number>[0-9]+(?:\.[0-9]+)?)(?![\w.])|(?P<name>"(?:[^"]|"")+"|`(?:[^`]|``)+`)"""
    r"""|(?P<word>[A-Za-z]\w*)|(?P<sign><=(?!>)|>=|<>|=|<|>|[(),-]))"""
)
_LITERALS = {Kind.TEXT, Kind.BLANK, Kind.DATE, Kind.TIMESTAMP}
_CHARACTERS, _BYTES = frozenset({"CHAR_LENGTH", "CHARACTER_LENGTH"}), frozenset({"LENGTH", "OCTET_LENGTH"})
_MOST_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Operand:
    """Say what a column is compared as, and whether it is text (`characters` can be counted) that has as many bytes in UTF-8."""

    kind: Kind
    characters: bool = False
    bytes: bool = False


def of_text(character_set: str, collation: str) -> Operand:
    """Tell how text is compared: by code points as in the engine, in most such collations but for blanks at the end, or otherwise.

    Examples:
        >>> [of_text("utf8mb4", f"utf8mb4_{name}").kind.value for name in ("general_ci", "bin", "nopad_bin", "0900_bin")]
        ['opaque', 'blank', 'text', 'text']
    """
    kind = Kind.OPAQUE
    if collation.endswith("_bin"):
        kind = Kind.TEXT if collation.endswith(("_nopad_bin", "_0900_bin")) else Kind.BLANK
    return Operand(kind, characters=True, bytes=character_set in {"utf8", "utf8mb3", "utf8mb4", "ascii"})


def in_sql(clause: str, columns: Mapping[str, Operand]) -> tuple[str, tuple[str, ...]]:
    r"""Write a condition anew, and name its columns; nothing if there is more in it than is known to mean the same.

    Args:
        clause: As `information_schema.check_constraints` has it.
        columns: The columns that may stand in it.

    Examples:
        >>> in_sql('"a" between -5 and 10 or "a" is null', {"a": Operand(Kind.INTEGER)})
        ('("a" >= -5 AND "a" <= 10) OR "a" IS NULL', ('a',))
        >>> in_sql(r"(`w` in (_utf8mb4\'x\',_utf8mb4\'y\'))", {"w": Operand(Kind.TEXT)})
        ('("w" IN (\'x\', \'y\'))', ('w',))
        >>> in_sql("`w` = lcase(`w`)", {"w": Operand(Kind.TEXT)})
        ('', ())
    """
    try:
        reading = _Reading(clause, columns)
        return reading.whole(), reading.names
    except Unsaid:
        return "", ()


class _Reading(Reading):
    """Read a condition by the precedence of its words; chains of comparisons are not read."""

    def __init__(self, clause: str, columns: Mapping[str, Operand]) -> None:
        super().__init__(tokens(clause, _TOKENS), {name: operand.kind for name, operand in columns.items()})
        self._operands = columns
        self._seen: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that were met, in the order of the table."""
        return tuple(name for name in self._operands if name in self._seen)

    def _negated(self) -> Value:
        """Pass what stands between AND and OR; `IS` binds less tightly than comparisons."""
        value = super()._negated()
        while self._taken("IS"):
            value = self._state(Value(Kind.TRUTH, f"({self._truth(value).sql})"))
        return value

    def _predicate(self, left: Value) -> Value:
        if sign := self._taken("<=", ">=", "<>", "=", "<", ">"):
            return _compared(left, sign, self._operand())
        negated = bool(self._taken("NOT"))
        if self._taken("LIKE"):
            pattern = self._operand()
            return like(left, typed(pattern.sql, Kind.TEXT) if pattern.kind is Kind.LITERAL else pattern, negated=negated)
        if self._taken("IN"):
            self._demand("(")
            members = [self._operand()]
            while self._taken(","):
                members.append(self._operand())
            self._demand(")")
            return among(left, [_alike(left, member) for member in members], negated=negated)
        if self._taken("BETWEEN"):
            least = _compared(left, ">=", self._operand())
            self._demand("AND")
            most = _compared(left, "<=", self._operand())
            return Value(Kind.TRUTH, f"{'NOT ' if negated else ''}({least.sql} AND {most.sql})")
        if negated:
            raise Unsaid
        return left

    def _operand(self) -> Value:
        if self._taken("("):
            return self._enclosed()
        if self._taken("-"):
            return _negative(self._operand())
        if word := self._taken("TRUE", "FALSE"):
            return Value(Kind.TRUTH, word)
        if word := self._taken(*_CHARACTERS, *_BYTES):
            return self._length(word)
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        if kind == "number" and len(text) <= _MOST_DIGITS:
            return Value(Kind.DECIMAL if "." in text else Kind.INTEGER, text)
        if kind == "date":
            return _instant(text.replace("\\", "")[5:-1], Kind.DATE)
        if kind == "string":
            return Value(Kind.LITERAL, text[text.index("'") + 1 : -1].removesuffix("\\").replace("\\'", "'").replace("''", "'"))
        if kind == "name":
            return self._column(_name(text))
        raise Unsaid

    def _column(self, name: str) -> Value:
        self._seen.add(name)
        return super()._column(name)

    def _length(self, word: str) -> Value:
        """Count characters or bytes of a column: blanks at its end count."""
        self._demand("(")
        kind, text, _ = self._tokens[self._at]
        operand = self._operands.get(_name(text)) if kind == "name" else None
        if operand is None or not (operand.bytes if word in _BYTES else operand.characters):
            raise Unsaid
        self._at += 1
        self._demand(")")
        self._seen.add(_name(text))
        return Value(Kind.INTEGER, f"{'strlen' if word in _BYTES else 'length'}({quoted(_name(text))})")


def _name(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _negative(value: Value) -> Value:
    number = value.sql.strip("()")
    if value.kind not in EXACT or not NUMBER.fullmatch(number) or number.startswith("-"):
        raise Unsaid
    return Value(value.kind, f"-{number}")


def _compared(left: Value, sign: str, right: Value) -> Value:
    return compared(_alike(right, left), sign, _alike(left, right))


def _alike(other: Value, value: Value) -> Value:
    """Read a literal as what it is compared with: a number beside floating point is one, too."""
    if other.kind is Kind.FLOAT and value.kind in EXACT and NUMBER.fullmatch(value.sql):
        return Value(Kind.FLOAT, f"CAST({literal(value.sql)} AS DOUBLE)")
    if value.kind is not Kind.LITERAL:
        return value
    if other.kind not in _LITERALS:
        raise Unsaid
    return typed(value.sql, other.kind) if other.kind in {Kind.TEXT, Kind.BLANK} else _instant(value.sql, other.kind)


def _instant(text: str, kind: Kind) -> Value:
    """Write a day or an instant that is in the calendar; the server compares others as something else."""
    with suppress(ValueError):
        datetime.fromisoformat(text)
        return typed(text, kind)
    raise Unsaid
