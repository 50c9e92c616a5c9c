"""Whether the log tells all that happens to a table."""

from __future__ import annotations

from limnos.errors import Unsupported
from limnos.sources.mysql.address import Address, Connection, ask

_TRANSACTIONAL = frozenset({"innodb", "rocksdb"})
_OLD_TEMPORAL = "mariadb-5.3"
_TABLE = "SELECT TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
_COLUMNS = "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"


def unfollowable(address: Address, connection: Connection, table: str) -> Unsupported | None:
    """Say why the log does not tell all that happens to a table; None if it does."""
    found = ask(connection, _TABLE, address.database, table)
    kind, engine = found[0] if found else ("no table", "")
    if kind != "BASE TABLE":
        return _unsupported(address, table, str(kind).lower(), "a base table")
    if str(engine).lower() not in _TRANSACTIONAL:
        return _unsupported(address, table, f"engine {engine}, whose rows no snapshot ties to a place in the log", "engine InnoDB")
    for name, data_type, spelled in ask(connection, _COLUMNS, address.database, table):
        if _OLD_TEMPORAL in spelled:
            wanted = "a temporal type in its present form; ALTER TABLE ... FORCE rewrites it"
            return _unsupported(address, f"{table}.{name}", str(spelled), wanted)
        if data_type in {"json", "vector"}:
            seen = f"column {name} of type {data_type}, which the log holds in a form of its own"
            return _unsupported(address, f"{table}.{name}", seen, "any other type")
    return None


def _unsupported(address: Address, subject: str, seen: str, expected: str) -> Unsupported:
    return Unsupported(
        "The binary log does not tell all that happens to this table",
        subject=f"{address.name}.{subject}",
        seen=seen,
        expected=expected,
        hint="take `mode: cdc` from this table in limnos.yml; it is then read in full",
    )
