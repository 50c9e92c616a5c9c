"""Read the changes of tables from PostgreSQL's own log, between two MVCC snapshots: no gap, no overlap, whatever commits meanwhile.

A position is a snapshot and not a place in the log: transactions become visible in another order than the log has them in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import psycopg

from limnos.errors import SourceRefused, UnknownName
from limnos.model.changes import Changes
from limnos.model.names import literal, quoted
from limnos.model.position import Position
from limnos.model.project import SourceConfig
from limnos.sources.postgres import catalog
from limnos.sources.postgres.refusals import Address
from limnos.sources.postgres.stream import slot
from limnos.sources.postgres.stream.follow import Followed, Follower
from limnos.sources.postgres.stream.generated import Generated
from limnos.sources.postgres.stream.pgoutput import Messages
from limnos.sources.postgres.stream.snapshot import Snapshot, place, spelled
from limnos.sources.postgres.stream.tables import Streamed
from limnos.sources.postgres.wire import Wire

__all__ = ["ChangeStream"]

_TRACES = {
    "oid": "it was dropped and made anew",
    "columns": "its columns were altered",
    "partitions": "partitions of it were attached, detached, truncated or rewritten, which the log does not tell",
    "published": "it was taken out of the publication for a while",
}


class ChangeStream:
    """Read the log up to the snapshot of one reading, whose connection it asks; it streams over one of its own.

    `settings` are the statements that make the server write values as the reading's own streams do.
    """

    def __init__(self, connection: psycopg.Connection[Any], address: Address, config: SourceConfig, settings: Sequence[str]) -> None:
        self._connection, self._address, self._config = connection, address, config
        self._settings = settings
        self._slot = slot.slot_name(config)
        ((said,),) = catalog.ask(connection, "SELECT pg_current_snapshot()::text")
        self._said, self._snapshot = str(said), Snapshot.parse(said)
        self._system = _system(connection)
        self._read_to = 0

    def cut(self, table: str) -> Position:
        """Say that this table was read up to the snapshot; `lsn` is a place in the log before which it leaves nothing unread.

        Raises:
            Unsupported: If changes of this table do not tell which row they happened to.
            SourceRefused: If it is not published, or there is no slot.
        """
        with self._address.refusals(table):
            known, confirmed = self._facts(table), self._confirmed()
        if error := slot.unsound(self._config, known):
            raise error
        if known.membership is None or confirmed is None:
            raise SourceRefused(
                f'postgres "{self._config.name}" keeps no log for this table',
                subject=f"{self._config.name}.{table}",
                seen=f"no slot {self._slot}" if known.membership else f"it is not in the publication {slot.publication_name(self._config)}",
                expected="a slot and a publication, which a run prepares",
                hint="run again",
            )
        lsn = spelled(max(self._read_to, confirmed))
        return Position(slot.KIND, {"snapshot": self._said, "lsn": lsn, "slot": self._slot, "system": self._system, **known.trace})

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        """Hand over what the snapshot sees and the positions did not, in one pass over the log for all tables."""
        with self._address.refusals():
            confirmed = self._confirmed()
            known = slot.facts(self._connection, self._config, since)
            gaps = {name: self._gap(known.get(name), position, confirmed) for name, position in since.items()}
            followed = [self._followed(known[name], position) for name, position in since.items() if not gaps[name]]
            upto = place(catalog.ask(self._connection, "SELECT pg_current_wal_insert_lsn()::text")[0][0])
        yield from (Changes(name, reload=why) for name, why in gaps.items() if why)
        if followed:
            follower = Follower(self._snapshot, {one.table.oid: one for one in followed})
            yield from follower.over(self._messages(upto))
            self._read_to = upto if follower.left_out is None else follower.left_out

    def _facts(self, table: str) -> Streamed:
        if found := slot.facts(self._connection, self._config, [table]):
            return found[table]
        there = catalog.tables(self._connection, slot.schema_name(self._config))
        raise UnknownName.among("table", table, there, hint=f"limnos doctor {self._config.name}")

    def _confirmed(self) -> int | None:
        found = catalog.ask(self._connection, slot.SLOT, self._slot)
        return place(found[0][4]) if found and found[0][4] else None

    def _gap(self, table: Streamed | None, position: Position, confirmed: int | None) -> str:
        """Say why the log does not lead on from a position; empty if it does."""
        value = position.value
        if table is None:
            return "it is not in the source any more"
        if position.kind != slot.KIND:
            return "it was not read from the log before"
        if value["system"] != self._system:
            return "the server is another one, or was restored, or another one took over"
        if confirmed is None or confirmed > place(str(value["lsn"])):
            return "the server does not have the log any more that follows the last reading"
        if error := slot.unsound(self._config, table):
            return error.what
        return next((why for key, why in _TRACES.items() if value[key] != table.trace[key]), "")

    def _followed(self, table: Streamed, position: Position) -> Followed:
        described = catalog.columns(self._connection, catalog.Table(table.oid, table.name, "r", versioned=True, description=""))
        columns = tuple((column.name, column.kind) for column in described if column.name not in table.generated)
        generated = Generated.of(self._connection, self._address, table.oid, described) if table.generated else None
        return Followed(table, Snapshot.parse(str(position.value["snapshot"])), columns, generated)

    def _messages(self, upto: int) -> Iterator[Messages]:
        options = f"'proto_version', '1', 'publication_names', {literal(quoted(slot.publication_name(self._config)))}"
        peek = f"pg_logical_slot_peek_binary_changes({literal(self._slot)}, {literal(spelled(upto))}, NULL, {options})"
        try:
            with closing(psycopg.connect(self._address.conninfo, autocommit=True, prepare_threshold=None)) as connection:
                _flush(connection, upto)
                catalog.ask(connection, "BEGIN READ ONLY")
                for statement in self._settings:
                    catalog.ask(connection, statement)
                with closing(Wire(connection)) as wire:
                    for rows in wire.copy(f"SELECT data FROM {peek}"):
                        yield Messages.of(rows.buffer, rows.starts)
        except (psycopg.Error, OSError) as error:
            raise slot.refusal(self._config, self._address, error) from None


def _flush(connection: psycopg.Connection[Any], upto: int) -> None:
    """Have the log written to disk up to there: what was committed asynchronously is visible before it can be decoded."""
    ((flushed,),) = catalog.ask(connection, "SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", spelled(upto))
    if not flushed:
        catalog.ask(connection, "SET synchronous_commit = 'local'")
        # A transaction with an entry in the log has the log up to its end written when it commits; this entry says nothing.
        catalog.ask(connection, "SELECT pg_logical_emit_message(true, 'limnos', '')")


def _system(connection: psycopg.Connection[Any]) -> str:
    """Name the server's data, and which line of its history they are on."""
    ((allowed,),) = catalog.ask(connection, "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")
    asked = "(SELECT system_identifier::text FROM pg_control_system())" if allowed else "''"
    ((system, line),) = catalog.ask(connection, f"SELECT {asked}, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)")
    return f"{system}/{line}"
