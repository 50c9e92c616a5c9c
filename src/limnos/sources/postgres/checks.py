"""Say CHECK constraints in the engine's SQL, where both understand exactly the same by them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from limnos.model.names import quoted

_TOKENS = re.compile(
    r"""\s*(?:(?P<word>AND|OR|NOT)\b|(?P<name>"(?:[^"]|"")+"|[a-z_][a-z0-9_]*)(?![\w$(])|'?(?P<number>-?[0-9]+(?:\.[0-9]+)?)'?(?![\w.'])"""
    r"""|(?P<cast>::(?:smallint|integer|bigint|numeric)\b)|(?P<sign><=|>=|<>|=|<|>|\(|\)))"""
)


def in_sql(expression: str, exact: Iterable[str]) -> str:
    """Write a condition anew, or nothing if there is more in it than comparisons of exact numbers joined by AND, OR and NOT.

    Args:
        expression: As `pg_get_expr` prints it.
        exact: The columns that hold integers or decimals.

    Examples:
        >>> in_sql("((price > (0)::numeric) AND (seats <> '-1'::integer))", ["price", "seats"])
        '( ( "price" > ( 0 ) ) AND ( "seats" <> -1 ) )'
        >>> in_sql("(lower(name) = name)", ["name"])
        ''
    """
    columns: Mapping[str, str] = {name: quoted(name) for name in exact}
    written: list[str] = []
    at = 0
    while at < len(expression):
        token = _TOKENS.match(expression, at)
        if token is None:
            return ""
        at = token.end()
        if name := token["name"]:
            plain = name[1:-1].replace('""', '"') if name.startswith('"') else name
            if plain not in columns:
                return ""
            written.append(columns[plain])
        elif not token["cast"]:
            written.append(token["word"] or token["number"] or token["sign"])
    return " ".join(written)
