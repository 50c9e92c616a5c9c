"""Say CHECK constraints of PostgreSQL in the engine's SQL, where both understand exactly the same by them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from limnos.model.names import literal
from limnos.sources.conditions import EXACT, NUMBER, Kind, Reading, Unsaid, Value, among, compared, like, tokens, typed

_TOKENS = re.compile(
    r"""\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>[0-9]+(?:\.[0-9]+)?)(?![\w.])|(?P<name>"(?:[^"]|"")+"|[a-z_][a-z0-9_]*)(?![\w$.])"""
    r"""|::(?P<cast>character\ varying|double\ precision|timestamp\ with(?:out)?\ time\ zone|[a-z_0-9]+(?:\.[a-z_0-9]+)?)"""
    r"""(?P<many>\[\])?(?![\w(\[])"""
    r"""|(?P<word>[A-Z]+)\b|(?P<sign><=|>=|<>|=|<|>|!~~(?!\*)|~~(?!\*)|[()\[\],]))""",
    re.VERBOSE,
)
_LENGTHS = {"length": "length", "char_length": "length", "character_length": "length", "octet_length": "strlen"}


_CASTS: Mapping[str, Kind] = {
    **dict.fromkeys(("smallint", "integer", "bigint"), Kind.INTEGER),
    "numeric": Kind.DECIMAL,
    "double precision": Kind.FLOAT,
    **dict.fromkeys(("text", "character varying"), Kind.TEXT),
    "bpchar": Kind.BLANK,
    "boolean": Kind.TRUTH,
    **{kind.value: kind for kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)},
}


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
        return _Reading(tokens(expression, _TOKENS), columns).whole()
    except Unsaid:
        return ""


class _Reading(Reading):
    """Read a condition from left to right; PostgreSQL prints parentheses around every part that binds tighter."""

    def _predicate(self, left: Value) -> Value:
        if sign := self._taken("<=", ">=", "<>", "=", "<", ">", "~~", "!~~"):
            every = self._taken("ANY", "ALL")
            right = self._operand()
            if every:
                return _members(left, sign, every, right)
            return like(left, right, negated=sign == "!~~") if "~~" in sign else compared(left, sign, right)
        return left

    def _operand(self) -> Value:
        value = self._plain()
        while self._tokens[self._at][0] == "cast":
            _, kind, many = self._tokens[self._at]
            self._at += 1
            if many != (value.many is not None):
                raise Unsaid
            members = None if value.many is None else tuple(_cast(one, kind) for one in value.many)
            value = _cast(value, kind) if members is None else Value(value.kind, "", members)
        return value

    def _plain(self) -> Value:
        if self._taken("("):
            return self._enclosed()
        if self._taken("ARRAY"):
            return self._array()
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return Value(Kind.DECIMAL if "." in text else Kind.INTEGER, text)
        if kind == "string":
            return Value(Kind.LITERAL, text[1:-1].replace("''", "'"))
        if kind != "name":
            raise Unsaid
        if text in {"true", "false"}:
            return Value(Kind.TRUTH, text.upper())
        if self._taken("("):
            return self._called(text)
        return self._column(text[1:-1].replace('""', '"') if text.startswith('"') else text)

    def _array(self) -> Value:
        self._demand("[")
        members = [self._operand()]
        while self._taken(","):
            members.append(self._operand())
        self._demand("]")
        return Value(members[0].kind, "", tuple(members))

    def _called(self, function: str) -> Value:
        inside = self._joined("OR")
        self._demand(")")
        if inside.many is not None or inside.kind is not Kind.TEXT:
            raise Unsaid
        if function in _LENGTHS:
            return Value(Kind.INTEGER, f"{_LENGTHS[function]}({inside.sql})")
        if function == "btrim":
            return Value(Kind.TEXT, f"trim({inside.sql}, ' ')")
        raise Unsaid


def _cast(value: Value, name: str) -> Value:
    kind = _CASTS.get(name)
    if value.kind is Kind.LITERAL:
        # The name of a type that is none of the known ones is taken for that of an enum.
        return Value(Kind.LABEL, literal(value.sql)) if kind is None else typed(value.sql, kind)
    if kind is None:
        raise Unsaid
    if kind is value.kind or (value.kind is Kind.BLANK and kind is Kind.TEXT):
        return Value(kind, value.sql)
    if value.kind is Kind.INTEGER and kind is Kind.DECIMAL:
        return Value(kind, value.sql)
    number = value.sql.strip("()")
    if value.kind in EXACT and kind is Kind.FLOAT and NUMBER.fullmatch(number):
        return Value(kind, f"CAST({literal(number)} AS DOUBLE)")
    raise Unsaid


def _members(left: Value, sign: str, every: str, right: Value) -> Value:
    """Write `= ANY` and `<> ALL` of an array of literals."""
    if (sign, every) not in {("=", "ANY"), ("<>", "ALL")} or right.many is None:
        raise Unsaid
    return among(left, right.many, negated=every == "ALL")
