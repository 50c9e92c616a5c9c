"""The change stream: from the positions of tables to the place of a reading's snapshot, every change once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

from limnos.errors import SourceRefused
from limnos.model.changes import Changes
from limnos.model.names import quoted
from limnos.model.position import Position
from limnos.sources.mysql.address import Address, Connection, ask, is_mariadb
from limnos.sources.mysql.binlog import place
from limnos.sources.mysql.binlog.dump import LogDamaged, LogGone, dump
from limnos.sources.mysql.binlog.events import Event, Kind, rotation
from limnos.sources.mysql.binlog.follow import STATEMENTS, Followed, Follower, statement_of
from limnos.sources.mysql.binlog.followable import unfollowable
from limnos.sources.mysql.binlog.shape import Cascade, cascades, shape
from limnos.sources.mysql.binlog.statements import effect
from limnos.sources.mysql.refusals import changed
from limnos.sources.mysql.snapshot import log_end

_BEGINS_4 = 4
_RESHAPING = frozenset({"ALTER", "CREATE", "DROP", "RENAME"})


class ChangeStream:
    """Give the changes of one database's tables up to the place of a reading's snapshot.

    `log` is that place: `file`, `pos` and `gtid`. `connection` may be any, `pin` runs SQL where the snapshot is seen.
    """

    def __init__(self, address: Address, connection: Connection, pin: Callable[[str], object], log: Mapping[str, object] | None) -> None:
        self._address = address
        self._connection = connection
        self._pin = pin
        if log is None:
            raise SourceRefused(
                f'The server of "{address.name}" does not say where its binary log stood when the reading began',
                subject=f"{address.name} ({address.shown})",
                seen="no place",
                expected="the status Binlog_snapshot_position (MariaDB), or a moment's FLUSH TABLES WITH READ LOCK",
                hint=f"limnos doctor {address.name}",
            )
        self._file, self._offset, self._gtid = str(log["file"]), int(str(log["pos"])), str(log["gtid"])
        self._sequence = 0
        with address.refusals():
            self._server = place.server_of(connection)
            # As the log spells it, where names do not mind upper and lower case.
            found = ask(connection, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", address.database)
            self._database = str(found[0][0]) if found else address.database

    def cut(self, table: str) -> Position:
        """Give the place of the snapshot as the position of a table.

        Raises:
            Unsupported: If the log does not tell all that happens to the table.
        """
        with self._address.refusals(table):
            error = unfollowable(self._address, self._connection, table)
        if error is not None:
            raise error
        return place.position(self._file, self._offset, self._gtid, self._server)

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        """Read the log from the least of these positions to the snapshot."""
        with self._address.refusals():
            known = place.files(self._connection)
            here: list[Followed] = []
            elsewhere: list[Followed] = []
            for name, position in since.items():
                value = cast("Mapping[str, Any]", position.value)
                if position.kind != place.KIND:
                    yield Changes(name, reload=f"its position is none of a binary log but of the kind {position.kind}")
                    continue
                # From here to the end of the reading no statement can reshape the table.
                self._pin(f"SELECT 1 FROM {quoted(self._database)}.{quoted(name)} LIMIT 1")
                found = shape(self._connection, self._database, name)
                if place.still_there(self._connection, value, self._server, known):
                    here.append(Followed(name, found, place.at(value["file"], value["pos"]), {}))
                elif value["gtid"] and value["server"] != self._server and is_mariadb(self._connection):
                    elsewhere.append(Followed(name, found, None, place.gtids(value["gtid"])))
                else:
                    yield Changes(name, reload=f"the server has the log file {value['file']} no more, or has begun it anew")
            self._unshaped([each.name for each in (*here, *elsewhere)])
            if here:
                first = min(here, key=lambda each: each.since or 0)
                value = cast("Mapping[str, Any]", since[first.name].value)
                yield from self._read(here, str(value["file"]), int(value["pos"]), None)
            if elsewhere:
                gtid = place.least([str(cast("Mapping[str, Any]", since[each.name].value)["gtid"]) for each in elsewhere])
                yield from self._read(elsewhere, "", _BEGINS_4, gtid)

    def size_bytes(self, file: str, offset: int) -> int:
        """Say how much log there is from a place to the snapshot, of what the server still has."""
        first, last = place.number_of(file), place.number_of(self._file)
        with self._address.refusals():
            sizes = {place.number_of(str(row[0])): int(row[1]) for row in ask(self._connection, "SHOW BINARY LOGS")}
        return sum(size for number, size in sizes.items() if first <= number < last) - offset + self._offset

    def _unshaped(self, tables: Sequence[str]) -> None:
        """Refuse tables that were reshaped between the snapshot and now: the catalog has no snapshots and would misname their columns."""
        if not tables or self._offset >= 1 << 32:
            return
        try:
            with closing(dump(self._address.connect, self._file, self._offset)) as log:
                for found in (effect(statement_of(event), self._database, tables) for event in self._until_now(log)):
                    if found.reshaped and found.verb.split()[0] in _RESHAPING:
                        raise changed(self._address.name, found.reshaped[0], found.verb)
        except (LogGone, LogDamaged) as error:
            raise changed(self._address.name, tables[0], "a log that ends before the snapshot") from error

    def _until_now(self, log: Iterator[Event]) -> Iterator[Event]:
        """Give the statements up to where the log ends now, for under constant writes its end runs ahead of a reader."""
        end = log_end(self._connection)
        bound = place.at(str(end["file"]), int(str(end["pos"]))) if end else None
        base = place.at(self._file, 0)
        for event in log:
            if event.kind == Kind.ROTATE:
                base = place.at(rotation(event.body), 0)
            elif event.kind in STATEMENTS:
                yield event
            if bound is not None and base + event.end >= bound:
                return

    def _read(self, tables: list[Followed], file: str, offset: int, gtid: str | None) -> Iterator[Changes]:
        target = place.at(self._file, self._offset)
        if gtid is None and place.at(file, offset) >= target:
            return
        run = Follower({each.name: each for each in tables}, self._database, self._cascades(tables), self._sequence, place.at(file, 0))
        # The protocol has four bytes for the place; what lies beyond is reached from the beginning of the file.
        log = dump(self._address.connect, file, offset if offset < 1 << 32 else _BEGINS_4, gtid)
        try:
            yield from run.follow(log, target)
        except LogGone as gone:
            run.lost(f"the server does not give its log from there on: {gone.args[0]}")
        except (LogDamaged, zlib.error, ValueError, IndexError) as error:
            run.lost(f"its log cannot be read: {type(error).__name__}")
        finally:
            log.close()
        yield from run.rest()
        self._sequence = run.sequence

    def _cascades(self, tables: list[Followed]) -> Mapping[tuple[str, str], tuple[Cascade, ...]]:
        return cascades(self._connection, self._database, [each.name for each in tables])
