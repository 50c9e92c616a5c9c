"""What a statement in the log does to tables: nothing, empties one, or what rows in the log do not tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from limnos.sources.mysql.binlog.events import Statement

_COMMENT = re.compile(r"/\*(?!M?!).*?\*/|--[ \t][^\n]*|#[^\n]*", re.DOTALL)
_EXECUTABLE = re.compile(r"/\*M?!\d*")
_NAME = r"(?:`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[\w$]+)"
_HARMLESS = re.compile(
    r"(?ix) (?: BEGIN | COMMIT | START\s+TRANSACTION | SAVEPOINT | RELEASE\s+SAVEPOINT | FLUSH | ANALYZE | GRANT | REVOKE | SET"
    r" | (?:CREATE|DROP|ALTER) \s+ (?:OR\s+REPLACE\s+)?"
    r"   (?:(?:DEFINER\s*=\s*\S+|ALGORITHM\s*=\s*\w+|SQL\s+SECURITY\s+\w+|AGGREGATE) \s+)*"
    r"   (?: VIEW | TRIGGER | PROCEDURE | FUNCTION | PACKAGE | EVENT | USER | ROLE | SERVER | SEQUENCE"
    r"   | (?:UNIQUE\s+|FULLTEXT\s+|SPATIAL\s+)?INDEX )"
    r" | (?:CREATE|DROP) \s+ (?:OR\s+REPLACE\s+)? TEMPORARY | CREATE \s+ (?:DATABASE|SCHEMA) ) \b"
)
_TRUNCATE = re.compile(rf"(?is)TRUNCATE\s+(?:TABLE\s+)?(?:({_NAME})\s*\.\s*)?({_NAME})\s*(?:(?:NO)?WAIT\b.*)?;?\s*")
_DATABASE = re.compile(rf"(?is)(?:DROP)\s+(?:DATABASE|SCHEMA)\s+(?:IF\s+EXISTS\s+)?({_NAME})")
_ROUTINE = re.compile(r"(?i)(SELECT|CALL|DO|EXECUTE)\b")
_WORDS = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Effect:
    """Say what a statement did to which tables: `truncated`, or `reshaped` in a way that `verb` names; its values are not repeated."""

    truncated: str = ""
    reshaped: tuple[str, ...] = ()
    verb: str = ""


def effect(said: Statement, database: str, tables: Iterable[str]) -> Effect:
    """Judge a statement for the tables of a database; one that cannot be told apart counts as reshaping the tables that it names.

    Examples:
        >>> effect(Statement("shop", "TRUNCATE orders"), "shop", ["orders"]).truncated
        'orders'
        >>> effect(Statement("shop", "ALTER TABLE orders ADD COLUMN note TEXT"), "shop", ["orders", "items"]).reshaped
        ('orders',)
        >>> effect(Statement("shop", "CREATE VIEW v AS SELECT * FROM orders"), "shop", ["orders"])
        Effect(truncated='', reshaped=(), verb='')
    """
    text = _EXECUTABLE.sub(" ", _COMMENT.sub(" ", said.text)).replace("*/", " ").strip()
    if _HARMLESS.match(text):
        return Effect()
    verb = " ".join(_WORDS.findall(text)[:2]).upper()
    if found := _TRUNCATE.fullmatch(text):
        where = _plain(found[1]) if found[1] else said.database
        named = [table for table in tables if table.lower() == _plain(found[2]).lower()]
        return Effect(truncated=named[0]) if named and where.lower() == database.lower() else Effect()
    if found := _DATABASE.match(text):
        return Effect(reshaped=tuple(tables), verb=verb) if _plain(found[1]).lower() == database.lower() else Effect()
    if _ROUTINE.match(text):
        # What a routine does to tables is not written where it was called.
        return Effect(reshaped=tuple(tables), verb=verb)
    if said.database.lower() != database.lower() and database.lower() not in text.lower():
        return Effect()
    return Effect(reshaped=tuple(table for table in tables if _mentions(text, table)), verb=verb)


def _plain(name: str) -> str:
    quote = name[0]
    return name[1:-1].replace(quote * 2, quote) if quote in '`"' else name


def _mentions(text: str, table: str) -> bool:
    spellings = {table, table.replace("`", "``"), table.replace('"', '""')}
    return any(re.search(rf"(?<![\w$]){re.escape(spelling)}(?![\w$])", text, re.IGNORECASE) for spelling in spellings)
