"""Let several connections see a database at one point in time, and say where the binlog stood then.

Source: MariaDB Knowledge Base, "Enhancements for START TRANSACTION WITH CONSISTENT SNAPSHOT"; MySQL Reference Manual, "FLUSH Statement".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limnos.sources.mysql.address import Address, Connection, ask, is_mariadb
from limnos.sources.mysql.driver import pymysql

_ATTEMPTS = 5
_NO_RIGHT, _LOCKED = frozenset({1227, 1044, 1045, 1142}), frozenset({1205})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold connections whose transactions see the same rows; `log` is where the binlog stood (`file`, `pos`, `gtid`), None if unknown."""

    connections: Sequence[Connection]
    log: Mapping[str, object] | None


def take(address: Address, wanted: int) -> Snapshot:
    """Begin `wanted` transactions at one point in time; only one if the server neither shows that they agree nor may be locked."""
    connections = [address.connect() for _ in range(wanted)]
    try:
        with address.refusals():
            for _ in range(_ATTEMPTS):
                _begin(connections)
                logs = [_log(connection) for connection in connections]
                if logs[0] is not None and all(log == logs[0] for log in logs):
                    return Snapshot(connections, logs[0])
            return _locked(connections) or _single(connections)
    except BaseException:
        for connection in connections:
            connection.close()
        raise


def joined(address: Address, log: Mapping[str, object] | None) -> Connection | None:
    """Begin one more transaction, if nothing was written since the snapshot; None if something was, or nobody can tell."""
    connection = address.connect()
    with address.refusals():
        _begin([connection])
        if log is not None and _log(connection) == log:
            return connection
    connection.close()
    return None


def _begin(connections: Sequence[Connection]) -> None:
    for connection in connections:
        ask(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def _log(connection: Connection) -> Mapping[str, object] | None:
    """Say where the binlog stood when this transaction began; only MariaDB and Percona Server tell."""
    said = dict(ask(connection, "SHOW SESSION STATUS LIKE 'Binlog_snapshot_%'"))
    file, pos = said.get("Binlog_snapshot_file"), said.get("Binlog_snapshot_position")
    if not file or not pos:
        return None
    return {"file": file, "pos": int(pos), "gtid": _gtid(connection, str(file), int(pos))}


def _gtid(connection: Connection, file: str, pos: int) -> str:
    if not is_mariadb(connection):
        return ""
    ((gtid,),) = ask(connection, "SELECT BINLOG_GTID_POS(%s, %s)", file, pos)
    return str(gtid or "")


def _locked(connections: Sequence[Connection]) -> Snapshot | None:
    """Hold all writers back for the moment that the transactions take to begin; None without the right to."""
    keeper, *others = connections
    try:
        ask(keeper, "ROLLBACK")
        ask(keeper, "FLUSH TABLES WITH READ LOCK")
    except pymysql.MySQLError as error:
        if error.args and error.args[0] in _NO_RIGHT | _LOCKED:
            return None
        raise
    try:
        _begin(others)
        log = log_end(keeper)
    finally:
        ask(keeper, "UNLOCK TABLES")
    keeper.close()
    return Snapshot(others, log) if others else None


def log_end(connection: Connection) -> Mapping[str, object] | None:
    """Say where the binary log ends now: `file`, `pos` and `gtid`; None where the server does not say."""
    for statement in ("SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"):
        try:
            rows = ask(connection, statement)
        except pymysql.MySQLError:
            continue
        if rows:
            file, pos = str(rows[0][0]), int(rows[0][1])
            gtid = _gtid(connection, file, pos) if is_mariadb(connection) else str(rows[0][4]).replace("\n", "")
            return {"file": file, "pos": pos, "gtid": gtid}
    return None


def _single(connections: Sequence[Connection]) -> Snapshot:
    first, *others = connections
    for connection in others:
        connection.close()
    _begin([first])
    return Snapshot([first], _log(first))
