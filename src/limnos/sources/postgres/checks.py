"""Say CHECK constraints in the engine's SQL, where both understand exactly the same by them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from limnos.model.names import literal, quoted

_TOKENS = re.compile(
    r"""\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>[0-9]+(?:\.[0-9]+)?)(?![\w.])|(?P<name>"(?:[^"]|"")+"|[a-z_][a-z0-9_]*)(?![\w$.])"""
    r"""|::(?P<cast>character\ varying|double\ precision|timestamp\ with(?:out)?\ time\ zone|[a-z_0-9]+(?:\.[a-z_0-9]+)?)"""
    r"""(?P<many>\[\])?(?![\w(\[])"""
    r"""|(?P<word>[A-Z]+)\b|(?P<sign><=|>=|<>|=|<|>|!~~(?!\*)|~~(?!\*)|[()\[\],]))""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_INSTANTS = {
    "date": (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "DATE"),
    "timestamp without time zone": (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]{8,15}"), "TIMESTAMP"),
    "timestamp with time zone": (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]{8,15}\+00"), "TIMESTAMPTZ"),
}
_LENGTHS = {"length": "length", "char_length": "length", "character_length": "length", "octet_length": "strlen"}


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


_EXACT = frozenset({Kind.INTEGER, Kind.DECIMAL})
_ORDERED = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})
_CASTS: Mapping[str, Kind] = {
    **dict.fromkeys(("smallint", "integer", "bigint"), Kind.INTEGER),
    "numeric": Kind.DECIMAL,
    "double precision": Kind.FLOAT,
    **dict.fromkeys(("text", "character varying"), Kind.TEXT),
    "bpchar": Kind.BLANK,
    "boolean": Kind.TRUTH,
    **{kind.value: kind for kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)},
}


class _Unsaid(Exception):
    """Say that a part of a condition may mean something else to the engine."""


@dataclass(frozen=True, slots=True)
class _Value:
    """Hold a part of a condition: SQL, or for a literal its text; `many` are the members of an array."""

    kind: Kind
    sql: str
    many: tuple[_Value, ...] | None = None


def in_sql(expression: str, columns: Mapping[str, Kind]) -> str:
    r"""Write a condition anew, or nothing if there is more in it than is known to mean the same.

    Args:
        expression: As `pg_get_expr` prints it, in UTC and with dates as ISO.
        columns: What the columns that may stand in it hold.

    Examples:
        >>> in_sql("((price > (0)::numeric) AND (seats <> '-1'::integer))", {"price": Kind.DECIMAL, "seats": Kind.INTEGER})
        '(("price" > (0)) AND ("seats" <> -1))'
        >>> in_sql("((kind)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))", {"kind": Kind.TEXT})
        '(("kind") IN (\'a\', \'b\'))'
        >>> in_sql("(lower(name) = name)", {"name": Kind.TEXT})
        ''
    """
    try:
        return _Reading(_tokens(expression), columns).whole()
    except _Unsaid:
        return ""


def _tokens(expression: str) -> list[tuple[str, str, bool]]:
    found: list[tuple[str, str, bool]] = []
    at = 0
    while at < len(expression.rstrip()):
        token = _TOKENS.match(expression, at)
        if token is None:
            raise _Unsaid
        at = token.end()
        kind = next(name for name in ("string", "number", "name", "cast", "word", "sign") if token[name] is not None)
        found.append((kind, token[kind], token["many"] is not None))
    return [*found, ("end", "", False)]


class _Reading:
    """Read a condition from left to right; PostgreSQL prints parentheses around every part that binds tighter."""

    def __init__(self, tokens: Sequence[tuple[str, str, bool]], columns: Mapping[str, Kind]) -> None:
        self._tokens, self._columns, self._at = tokens, columns, 0

    def whole(self) -> str:
        said = self._joined("OR")
        if self._tokens[self._at][0] != "end":
            raise _Unsaid
        return self._truth(said).sql

    def _taken(self, *texts: str) -> str:
        """Pass one of these words or signs, if it is next."""
        kind, text, _ = self._tokens[self._at]
        if kind not in {"word", "sign"} or text not in texts:
            return ""
        self._at += 1
        return text

    def _demand(self, text: str) -> None:
        if not self._taken(text):
            raise _Unsaid

    def _truth(self, value: _Value) -> _Value:
        if value.kind is not Kind.TRUTH or value.many is not None:
            raise _Unsaid
        return value

    def _joined(self, word: str) -> _Value:
        parts = [self._joined("AND") if word == "OR" else self._negated()]
        while self._taken(word):
            parts.append(self._joined("AND") if word == "OR" else self._negated())
        return parts[0] if len(parts) == 1 else _Value(Kind.TRUTH, f" {word} ".join(self._truth(part).sql for part in parts))

    def _negated(self) -> _Value:
        if self._taken("NOT"):
            return _Value(Kind.TRUTH, f"NOT {self._truth(self._negated()).sql}")
        left = self._operand()
        if self._taken("IS"):
            return self._state(left)
        if sign := self._taken("<=", ">=", "<>", "=", "<", ">", "~~", "!~~"):
            every = self._taken("ANY", "ALL")
            right = self._operand()
            return _members(left, sign, every, right) if every else _compared(left, sign, right)
        return left

    def _state(self, value: _Value) -> _Value:
        negated = "NOT " if self._taken("NOT") else ""
        if self._taken("NULL"):
            return _Value(Kind.TRUTH, f"{_sql(value)} IS {negated}NULL")
        if word := self._taken("TRUE", "FALSE"):
            return _Value(Kind.TRUTH, f"{self._truth(value).sql} IS {negated}{word}")
        raise _Unsaid

    def _operand(self) -> _Value:
        value = self._plain()
        while self._tokens[self._at][0] == "cast":
            _, kind, many = self._tokens[self._at]
            self._at += 1
            if many != (value.many is not None):
                raise _Unsaid
            members = None if value.many is None else tuple(_cast(one, kind) for one in value.many)
            value = _cast(value, kind) if members is None else _Value(value.kind, "", members)
        return value

    def _plain(self) -> _Value:
        if self._taken("("):
            inside = self._joined("OR")
            self._demand(")")
            return inside if inside.many is not None or inside.kind is Kind.LITERAL else _Value(inside.kind, f"({inside.sql})")
        if self._taken("ARRAY"):
            return self._array()
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return _Value(Kind.DECIMAL if "." in text else Kind.INTEGER, text)
        if kind == "string":
            return _Value(Kind.LITERAL, text[1:-1].replace("''", "'"))
        if kind != "name":
            raise _Unsaid
        if text in {"true", "false"}:
            return _Value(Kind.TRUTH, text.upper())
        return self._called(text) if self._taken("(") else self._column(text)

    def _array(self) -> _Value:
        self._demand("[")
        members = [self._operand()]
        while self._taken(","):
            members.append(self._operand())
        self._demand("]")
        return _Value(members[0].kind, "", tuple(members))

    def _column(self, text: str) -> _Value:
        name = text[1:-1].replace('""', '"') if text.startswith('"') else text
        if name not in self._columns:
            raise _Unsaid
        kind = self._columns[name]
        return _Value(kind, f"rtrim({quoted(name)}, ' ')" if kind is Kind.BLANK else quoted(name))

    def _called(self, function: str) -> _Value:
        inside = self._joined("OR")
        self._demand(")")
        if inside.many is not None or inside.kind is not Kind.TEXT:
            raise _Unsaid
        if function in _LENGTHS:
            return _Value(Kind.INTEGER, f"{_LENGTHS[function]}({inside.sql})")
        if function == "btrim":
            return _Value(Kind.TEXT, f"trim({inside.sql}, ' ')")
        raise _Unsaid


def _sql(value: _Value) -> str:
    if value.many is not None or value.kind is Kind.LITERAL:
        raise _Unsaid
    return value.sql


def _cast(value: _Value, name: str) -> _Value:
    kind = _CASTS.get(name)
    if value.kind is Kind.LITERAL:
        return _typed(value.sql, name, kind)
    if kind is None:
        raise _Unsaid
    if kind is value.kind or (value.kind is Kind.BLANK and kind is Kind.TEXT):
        return _Value(kind, value.sql)
    if value.kind is Kind.INTEGER and kind is Kind.DECIMAL:
        return _Value(kind, value.sql)
    number = value.sql.strip("()")
    if value.kind in _EXACT and kind is Kind.FLOAT and _NUMBER.fullmatch(number):
        return _Value(kind, f"CAST({literal(number)} AS DOUBLE)")
    raise _Unsaid


def _typed(text: str, name: str, kind: Kind | None) -> _Value:
    """Write a literal of a type; the name of a type that is none of the known ones is taken for that of an enum."""
    if kind is None:
        return _Value(Kind.LABEL, literal(text))
    if kind in {Kind.TEXT, Kind.BLANK}:
        return _Value(kind, literal(text.rstrip(" ") if kind is Kind.BLANK else text))
    if kind in _EXACT | {Kind.FLOAT} and _NUMBER.fullmatch(text) and (kind is not Kind.INTEGER or "." not in text):
        return _Value(kind, f"CAST({literal(text)} AS DOUBLE)" if kind is Kind.FLOAT else text)
    form, spelled = _INSTANTS.get(name, (None, ""))
    if form is None or not form.fullmatch(text) or text.startswith("0000"):
        raise _Unsaid
    return _Value(kind, f"{spelled} {literal(text)}")


def _compared(left: _Value, sign: str, right: _Value) -> _Value:
    if sign in {"~~", "!~~"}:
        # A backslash escapes in one and not in the other.
        if {left.kind, right.kind} != {Kind.TEXT} or not right.sql.startswith("'") or "\\" in right.sql:
            raise _Unsaid
        return _Value(Kind.TRUTH, f"{_sql(left)} {'NOT ' if sign == '!~~' else ''}LIKE {_sql(right)}")
    same = left.kind is right.kind or {left.kind, right.kind} <= _EXACT
    if not same or left.kind is Kind.OPAQUE or (sign not in {"=", "<>"} and left.kind not in _ORDERED):
        raise _Unsaid
    return _Value(Kind.TRUTH, f"{_sql(left)} {sign} {_sql(right)}")


def _members(left: _Value, sign: str, every: str, right: _Value) -> _Value:
    """Write `= ANY` and `<> ALL` of an array of literals."""
    if (sign, every) not in {("=", "ANY"), ("<>", "ALL")} or right.many is None:
        raise _Unsaid
    for member in right.many:
        _compared(left, "=", member)
    return _Value(Kind.TRUTH, f"{_sql(left)} {'NOT ' if every == 'ALL' else ''}IN ({', '.join(_sql(member) for member in right.many)})")
