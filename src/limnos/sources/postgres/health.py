"""Ask how a server is: how long it takes for something trivial, and how far a replica lags behind."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

import psycopg

from limnos.errors import LimnosError
from limnos.model.project import Mode, SourceConfig
from limnos.model.run import Finding
from limnos.sources.postgres import catalog
from limnos.sources.postgres.refusals import Address

_WAIT_S: Final = 5
_CATCH_UP_S: Final = 2.0
_TURN_S: Final = 0.02
_SAMPLES: Final = 5
# The server takes the time itself, so that ours, busy with decoding, does not count.
_PROBE = "SELECT count(*), extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 FROM generate_series(1, 10000)"
_REPLAYED = """
SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false),
       coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 'infinity')::float8
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Say which server is read, and why, where a replica was declared."""

    address: Address
    note: str = ""
    replica: bool = False


def choose(config: SourceConfig) -> Choice:
    """Choose the replica while it lags no more than `max_lag_s`, else the primary.

    The replica is sure to be that near if it has replayed what the primary had written a moment ago, or has replayed a transaction that
    is no older. The log of changes is at the primary only, and all tables of a reading are read at one point in time: a source with
    tables of mode `cdc` is read there.

    Raises:
        SourceUnreachable: If an address is none.
    """
    primary = Address(config)
    if config.protect.replica is None:
        return Choice(primary)
    if any(table.mode is Mode.CDC for table in config.tables):
        return Choice(primary, "the primary is read, not the replica: tables of mode cdc need its log")
    replica = Address(replace(config, options={**config.options, "url": config.protect.replica}))
    try:
        lag_s = _lag_s(primary, replica)
    except LimnosError as error:
        return Choice(primary, f"the primary is read, not the replica: {error.what}")
    if lag_s is None:
        return Choice(primary, f"the primary is read, not the replica: {replica.shown} is not a replica")
    if lag_s > config.protect.max_lag_s:
        return Choice(primary, f"the primary is read, not the replica: it lags {_shown(lag_s)} behind")
    return Choice(replica, f"the replica {replica.shown} is read; it lags {_shown(lag_s)} behind at most", replica=True)


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


def _shown(lag_s: float) -> str:
    return f"{lag_s:.1f} s" if lag_s < float("inf") else "nobody knows how far"


def _lag_s(primary: Address, replica: Address) -> float | None:
    """Bound how far the replica lags behind; None if it is none."""
    written, since = "FFFFFFFF/FFFFFFFF", time.monotonic()
    with suppress(LimnosError), _connected(primary) as connection:
        ((written,),) = catalog.ask(connection, "SELECT pg_current_wal_lsn()::text")
    with _connected(replica) as connection:
        while True:
            ((recovering, reached, oldest_s),) = catalog.ask(connection, _REPLAYED, written)
            waited_s = time.monotonic() - since
            if not recovering:
                return None
            if reached or waited_s > _CATCH_UP_S:
                return min(float(oldest_s), waited_s) if reached else float(oldest_s)
            time.sleep(_TURN_S)


@contextmanager
def _connected(address: Address) -> Generator[psycopg.Connection[Any]]:
    with address.refusals(), closing(psycopg.connect(address.conninfo, autocommit=True, prepare_threshold=None)) as connection:
        catalog.ask(connection, f"SET statement_timeout = {_WAIT_S * 1000}")
        yield connection


class Probe:
    """Measure how long the server takes for something trivial, in seconds, over one connection that opens with the first question."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: psycopg.Connection[Any] | None = None

    def __call__(self) -> float:
        """Ask once.

        Raises:
            LimnosError: If the server does not answer.
        """
        with self._address.refusals():
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._address.conninfo, autocommit=True, prepare_threshold=None)
                catalog.ask(self._connection, f"SET statement_timeout = {_WAIT_S * 1000}")
            ((_, latency_s),) = catalog.ask(self._connection, _PROBE)
        return float(latency_s)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
