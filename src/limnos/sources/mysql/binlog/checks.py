"""Whether a server keeps its log in a form that the change stream can read, and lets us read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from limnos.errors import SourceRefused
from limnos.model.position import Position
from limnos.model.run import Finding
from limnos.sources.mysql.address import Address, Connection, ask, is_mariadb
from limnos.sources.mysql.binlog import place
from limnos.sources.mysql.binlog.dump import dump
from limnos.sources.mysql.driver import pymysql

_WANTED: Mapping[str, tuple[frozenset[str], str]] = {
    "log_bin": (frozenset({"ON"}), "`log_bin` and a `server_id` in the section [mysqld] of the server's configuration, then restart it"),
    "binlog_format": (frozenset({"ROW"}), "SET GLOBAL binlog_format = ROW"),
    "binlog_row_image": (frozenset({"FULL"}), "SET GLOBAL binlog_row_image = FULL"),
    "binlog_row_value_options": (frozenset({""}), "SET GLOBAL binlog_row_value_options = ''"),
    "binlog_transaction_compression": (frozenset({"OFF"}), "SET GLOBAL binlog_transaction_compression = OFF"),
}
_NO_RIGHT = frozenset({1227, 1142, 1045})


def prepare(address: Address) -> None:
    """Check settings and rights; nothing is changed at the server, which keeps its log whether it is read or not.

    Raises:
        SourceRefused: If one is missing; the hint is what to type.
    """
    connection = address.connect()
    try:
        for seen, expected, hint in _missing(address, connection):
            raise SourceRefused(
                f'The server of "{address.name}" does not give a change stream',
                subject=f"{address.name} ({address.shown})",
                seen=seen,
                expected=expected,
                hint=hint,
            )
    finally:
        connection.close()


def findings(address: Address, connection: Connection, name: str, known: Mapping[str, Position]) -> Iterator[Finding]:
    """Say what keeps changes from being read, how long the log is kept, and whether what a table still needs of it is there."""
    found = list(_missing(address, connection))
    for seen, _, hint in found:
        yield Finding(f"{name}, change stream", ok=False, detail=seen, hint=hint)
    if found:
        return
    files, kept_s = place.files(connection), _kept_s(connection)
    kept = f"kept for {kept_s / 86400:g} days" if kept_s else "never deleted by age"
    yield Finding(f"{name}, change stream", ok=True, detail=f"{len(files)} log files, {kept}")
    server = place.server_of(connection)
    for table, position in sorted(known.items()):
        if position.kind != place.KIND or position.value["server"] != server:
            continue
        if position.value["file"] not in files:
            detail = f"the server has deleted {position.value['file']}; the next run reads the table anew"
            yield Finding(
                f"{name}, table {table}", ok=False, detail=detail, hint="run more often, or let the server keep its log for longer"
            )
        elif len(files) > 1 and position.value["file"] == files[0]:
            detail = "the oldest log file is the one that its change stream needs next"
            yield Finding(f"{name}, table {table}", ok=True, detail=detail, hint="run before the server deletes it")


def _missing(address: Address, connection: Connection) -> Iterator[tuple[str, str, str]]:
    """Give what was seen, what was expected and what to type, for each thing that is missing."""
    names = ", ".join(["%s"] * len(_WANTED))
    for name, value in ask(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})", *_WANTED):
        wanted, hint = _WANTED[str(name)]
        if value not in wanted:
            yield f"{name} = {value or 'empty'}", f"{name} = {next(iter(wanted)) or 'empty'}", hint
            if name == "log_bin":
                return
    ((user,),) = ask(connection, "SELECT CURRENT_USER()")
    name, _, host = str(user).rpartition("@")
    monitor = "BINLOG MONITOR" if is_mariadb(connection) else "REPLICATION CLIENT"
    grant = f"GRANT REPLICATION SLAVE, {monitor} ON *.* TO '{name}'@'{host}'"
    try:
        last = ask(connection, "SHOW BINARY LOGS")[-1]
        for _ in dump(address.connect, str(last[0]), int(last[1]), None):
            pass
    except pymysql.MySQLError as error:
        if error.args[0] not in _NO_RIGHT:
            raise
        yield address.clean(str(error.args[1])), f"the rights REPLICATION SLAVE and {monitor}", grant


def _kept_s(connection: Connection) -> float:
    """Read for how long the server keeps a log file, in seconds; 0 for ever."""
    found = dict(ask(connection, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('expire_logs_days', 'binlog_expire_logs_seconds')"))
    return float(found.get("binlog_expire_logs_seconds", 0)) or float(found.get("expire_logs_days", 0)) * 86400
