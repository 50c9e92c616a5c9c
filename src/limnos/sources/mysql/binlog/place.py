"""Where a reading of the log stands, and how two places compare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from limnos.model.position import Position
from limnos.sources.mysql.address import Connection, ask, is_mariadb

KIND = "mysql-stream"
_NUMBER = re.compile(r"(.*)\.(\d+)")


def at(file: str, offset: int) -> int:
    """Make one number of a place, so that later places are greater."""
    return number_of(file) << 48 | offset


def number_of(file: str) -> int:
    """Read the number of a log file.

    Examples:
        >>> number_of("mariadb-bin.000012")
        12
    """
    found = _NUMBER.fullmatch(file)
    return int(found[2]) if found else 0


def gtids(text: str) -> dict[int, int]:
    """Read a GTID position of MariaDB: the last number of each domain.

    Examples:
        >>> gtids("0-1-100,3-2-7")
        {0: 100, 3: 7}
    """
    parts = [each.strip().split("-") for each in text.split(",") if each.strip()]
    return {int(domain): int(number) for domain, _, number in parts}


def least(texts: list[str]) -> str:
    """Give the GTID position from which all of these can be reached; a domain that one of them lacks begins at its first group.

    Examples:
        >>> least(["0-1-100,3-2-7", "0-1-90"])
        '0-1-90'
    """
    parts = [{int(each.split("-")[0]): each.strip() for each in text.split(",") if each.strip()} for text in texts]
    shared = set(parts[0]).intersection(*parts) if parts else set()
    return ",".join(min((part[domain] for part in parts), key=lambda each: int(each.split("-")[2])) for domain in sorted(shared))


def position(file: str, offset: int, gtid: str, server: str) -> Position:
    """Make the position of a table."""
    return Position(KIND, {"file": file, "pos": offset, "gtid": gtid, "server": server})


def server_of(connection: Connection) -> str:
    """Name the server in a way that a copy of it, or another one at its address, does not share where it can tell."""
    name = "server_uid" if is_mariadb(connection) else "server_uuid"
    found = ask(connection, f"SHOW GLOBAL VARIABLES LIKE '{name}'") or ask(connection, "SHOW GLOBAL VARIABLES LIKE 'server_id'")
    return str(found[0][1])


def files(connection: Connection) -> tuple[str, ...]:
    """Name the log files that the server still has, oldest first."""
    return tuple(str(row[0]) for row in ask(connection, "SHOW BINARY LOGS"))


def still_there(connection: Connection, value: Mapping[str, Any], server: str, known: tuple[str, ...]) -> bool:
    """Tell whether the log has the place of a position, with the same history before it."""
    if value["server"] != server or value["file"] not in known:
        return False
    if not is_mariadb(connection):
        return True
    ((found,),) = ask(connection, "SELECT BINLOG_GTID_POS(%s, %s)", value["file"], value["pos"])
    # After RESET MASTER another history stands in files of the same names.
    return found is not None and gtids(str(found)) == gtids(str(value["gtid"]))
