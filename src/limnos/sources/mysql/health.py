"""Ask how a server is: how long it takes for something trivial, and how far a replica lags behind.

Source: MariaDB Knowledge Base, "SHOW REPLICA STATUS"; MySQL Reference Manual, "SHOW REPLICA STATUS Statement".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from limnos.errors import LimnosError
from limnos.model.project import Mode, SourceConfig
from limnos.model.run import Finding
from limnos.sources.mysql.address import Address, Connection, ask
from limnos.sources.mysql.driver import pymysql

_SAMPLES: Final = 5
# The server takes the time itself, so that ours, busy with decoding, does not count.
_PROBE = "SELECT BENCHMARK(10000, MD5('x')), TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6))"
_RUNNING: Final = ("Slave_IO_Running", "Slave_SQL_Running"), ("Replica_IO_Running", "Replica_SQL_Running")
_BEHIND: Final = ("Seconds_Behind_Master", "Seconds_Behind_Source")
_UNKNOWN: Final = frozenset({1064, 1193})


@dataclass(frozen=True, slots=True)
class Choice:
    """Say which server is read, and why, where a replica was declared."""

    address: Address
    note: str = ""
    replica: bool = False


def choose(config: SourceConfig) -> Choice:
    """Choose the replica while it lags no more than `max_lag_s` by its own word, else the primary.

    The log of changes has its positions at the primary, and all tables of a reading are read at one point in time: a source with tables of
    mode `cdc` is read there.

    Raises:
        SourceUnreachable: If an address is none.
    """
    primary = Address(config)
    if config.protect.replica is None:
        return Choice(primary)
    if any(table.mode is Mode.CDC for table in config.tables):
        return Choice(primary, "the primary is read, not the replica: tables of mode cdc need its log")
    replica = Address(config, config.protect.replica)
    try:
        with closing(replica.connect()) as connection, replica.refusals():
            lag_s = _lag_s(connection)
    except LimnosError as error:
        return Choice(primary, f"the primary is read, not the replica: {error.what}")
    if lag_s is None:
        return Choice(primary, f"the primary is read, not the replica: {replica.shown} does not replicate")
    if lag_s > config.protect.max_lag_s:
        return Choice(primary, f"the primary is read, not the replica: it lags {lag_s:.0f} s behind")
    return Choice(replica, f"the replica {replica.shown} is read; it lags {lag_s:.0f} s behind", replica=True)


def _lag_s(connection: Connection) -> float | None:
    """Give how far a replica says that it lags; None if it is none, or has stopped."""
    for statement in ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"):
        try:
            with connection.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(statement)
                rows: list[dict[str, Any]] = list(cursor.fetchall())
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in _UNKNOWN:
                continue
            raise
        said = rows[0] if rows else {}
        runs = any(all(said.get(word) == "Yes" for word in words) for words in _RUNNING)
        lag = next((said[word] for word in _BEHIND if said.get(word) is not None), None)
        return float(lag) if runs and lag is not None else None
    return None


def findings(config: SourceConfig, name: str) -> Iterator[Finding]:
    """Say how long the server that is read takes for something trivial, and whether that is the replica."""
    choice = choose(config)
    if choice.note:
        wanted = choice.replica or any(table.mode is Mode.CDC for table in config.tables)
        hint = "" if wanted else f"mend the replica, or raise `max_lag` under `protect` of {config.name}"
        yield Finding(f"{name}, replica", ok=wanted, detail=choice.note, hint=hint)
    with closing(Probe(choice.address)) as probe:
        latency_ms = median(probe() for _ in range(_SAMPLES)) * 1000
    yield Finding(name, ok=True, detail=f"answers a trivial question in {latency_ms:.1f} ms")


class Probe:
    """Measure how long the server takes for something trivial, in seconds, over one connection that opens with the first question."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None

    def __call__(self) -> float:
        """Ask once.

        Raises:
            LimnosError: If the server does not answer.
        """
        with self._address.refusals():
            if self._connection is None or not self._connection.open:
                self._connection = self._address.connect()
            ((_, latency_us),) = ask(self._connection, _PROBE)
        return float(latency_us) / 1e6

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None and self._connection.open:
            self._connection.close()
