"""Keep a publication and a replication slot at the server, so that it keeps its log for us, and no more of it than it may."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from limnos.errors import LimnosError, SourceRefused, Unsupported
from limnos.model.names import literal, quoted
from limnos.model.position import Position
from limnos.model.project import LogLimit, Mode, SourceConfig
from limnos.model.run import Finding
from limnos.sources.postgres import catalog
from limnos.sources.postgres.refusals import Address
from limnos.sources.postgres.stream.snapshot import Snapshot, place, spelled
from limnos.sources.postgres.stream.tables import Streamed, streamed

KIND = "postgres-stream"
_UNSAFE = re.compile("[^a-z0-9_]")
_NOWHERE = Position("", {})
_WAIT_S = 0.05
_NO_RIGHT, _IN_USE, _ALL_IN_USE, _STOPPED = "42501", "55006", "53400", "57014"

SLOT = """
SELECT plugin, database = current_database(), active_pid, coalesce(wal_status, ''), confirmed_flush_lsn::text, restart_lsn::text
FROM pg_replication_slots WHERE slot_name = %s
"""
_RETAINED = """
SELECT (pg_current_wal_lsn() - restart_lsn)::int8 FROM pg_replication_slots WHERE slot_name = %s AND restart_lsn IS NOT NULL
"""
_PUBLICATION = "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot FROM pg_publication WHERE pubname = %s"
_SETTINGS = """
SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
       current_setting('max_slot_wal_keep_size'), (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
"""


def slot_name(config: SourceConfig) -> str:
    """Name the slot: as configured, or after the source."""
    return str(config.options.get("slot") or f"limnos_{_UNSAFE.sub('_', config.name.lower())}"[:63])


def publication_name(config: SourceConfig) -> str:
    """Name the publication: as configured, or as the slot."""
    return str(config.options.get("publication") or slot_name(config))


def schema_name(config: SourceConfig) -> str:
    """Name the schema whose tables are read."""
    return str(config.options.get("schema") or "public")


def wanted(config: SourceConfig) -> tuple[str, ...]:
    """Name the tables of mode `cdc`."""
    return tuple(table.name for table in config.tables if table.mode is Mode.CDC)


def facts(connection: psycopg.Connection[Any], config: SourceConfig, names: Iterable[str]) -> dict[str, Streamed]:
    """Describe tables of this source as the change stream needs them, those that there are."""
    return streamed(connection, schema_name(config), publication_name(config), names)


def retained_bytes(connection: psycopg.Connection[Any], slot: str) -> int:
    """Measure how much log the server keeps for a slot; 0 if there is no such slot."""
    found = catalog.ask(connection, _RETAINED, slot)
    return int(found[0][0]) if found else 0


def prepare(config: SourceConfig) -> None:
    """Make sure of publication and slot for the tables of mode `cdc`.

    A table that joins waits until every transaction has ended that may have begun to write before the table was published. A table
    that is not sound is never published: its owner's own updates would fail.

    Raises:
        SourceRefused: If a right or a setting is missing; the hint is what to type.
    """
    if not wanted(config):
        return
    with _connected(config) as connection:
        tables = {name: table for name, table in facts(connection, config, wanted(config)).items() if unsound(config, table) is None}
        if not tables:
            return
        ((level,),) = catalog.ask(connection, "SELECT current_setting('wal_level')")
        if level != "logical":
            raise _no_log(config, level)
        fresh = _publish(connection, config, tables)
        _keep_slot(connection, config, fresh=fresh)
        if any(config.known.get(name, _NOWHERE).kind != KIND or table.membership is None for name, table in tables.items()):
            _wait(connection, config)


def acknowledge(config: SourceConfig, positions: Mapping[str, Position]) -> None:
    """Let the server forget its log up to what every table of mode `cdc` was published with."""
    slot, published = slot_name(config), {**config.known, **positions}
    ours = [published[name].value for name in wanted(config) if published.get(name, _NOWHERE).kind == KIND]
    if not ours or any(value["slot"] != slot for value in ours):
        return
    least = min(place(str(value["lsn"])) for value in ours)
    with _connected(config) as connection:
        found = catalog.ask(connection, SLOT, slot)
        if found and place(found[0][4] or "0/0") < least:
            catalog.ask(connection, "SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", slot, spelled(least))


def unsound(config: SourceConfig, table: Streamed) -> LimnosError | None:
    """Say why the changes of a table would not tell which row they happened to, or what it is now; None if they do."""
    name, subject = f"{quoted(schema_name(config))}.{quoted(table.name)}", f"{config.name}.{table.name}"
    if not table.logged:
        return Unsupported(
            "The changes of this table are not in PostgreSQL's log",
            subject=subject,
            seen="a view, or a table that is foreign, unlogged or temporary",
            expected="a logged table",
            hint=f"set `mode: full` for {table.name} in limnos.yml",
        )
    if not table.identity:
        return Unsupported(
            "The changes of this table do not say which row they happened to",
            subject=subject,
            seen=f"no primary key, and REPLICA IDENTITY {_IDENTITIES.get(table.identities, 'of several kinds in its partitions')}",
            expected="a primary key, or REPLICA IDENTITY FULL (for each partition of a partitioned table)",
            hint=f"ALTER TABLE {name} REPLICA IDENTITY FULL;",
        )
    if table.uneven or not table.generated.isdisjoint(table.identity):
        return Unsupported(
            "PostgreSQL's log does not hold generated columns, and those of this table cannot be computed from it",
            subject=subject,
            seen=f"{', '.join(sorted(table.generated))}: in the identity of its rows, or generated differently in its partitions",
            expected="a key of columns that are written, and one expression for all partitions",
            hint=f"set `mode: incremental` or `mode: full` for {table.name} in limnos.yml",
        )
    if table.partial:
        return SourceRefused(
            "The publication leaves rows or columns of this table out",
            subject=subject,
            seen="a row filter or a column list",
            expected="the whole table",
            hint=f"ALTER PUBLICATION {quoted(publication_name(config))} DROP TABLE {name}; the next run adds it whole",
        )
    return None


_IDENTITIES = {"d": "DEFAULT", "f": "FULL", "i": "USING INDEX", "n": "NOTHING"}


def findings(connection: psycopg.Connection[Any], config: SourceConfig, name: str) -> Iterator[Finding]:
    """Examine for `doctor` what the change stream needs; without a table of mode `cdc`, only whether a slot was left behind."""
    slot = slot_name(config)
    found = catalog.ask(connection, SLOT, slot)
    tables = facts(connection, config, wanted(config))
    if not tables:
        if found:
            detail = f"keeps back {retained_bytes(connection, slot):,} bytes of log for no table"
            yield Finding(f"{name}, slot {slot}", ok=False, detail=detail, hint=f"SELECT pg_drop_replication_slot({literal(slot)});")
        return
    ((level, most, used, keep, allowed),) = catalog.ask(connection, _SETTINGS)
    yield Finding(f"{name}, wal_level", ok=level == "logical", detail=level, hint="" if level == "logical" else _no_log(config, level).hint)
    if not allowed:
        grant = f"ALTER ROLE {quoted(connection.info.user)} REPLICATION;"
        yield Finding(f"{name}, replication", ok=False, detail="this user has not the attribute REPLICATION", hint=grant)
    if not found:
        hint = f"ALTER SYSTEM SET max_replication_slots = {most + 5}; then restart the server"
        yield Finding(f"{name}, slots", ok=used < most, detail=f"{used} of {most} replication slots are in use", hint=hint)
    else:
        yield _slot_finding(connection, config, f"{name}, slot {slot}", found[0][3], keep)
    for table in tables.values():
        yield _table_finding(config, f"{name}, table {table.name}", table)


def _slot_finding(connection: psycopg.Connection[Any], config: SourceConfig, subject: str, status: str, keep: str) -> Finding:
    slot, limit = slot_name(config), config.protect.max_log_bytes
    kept = retained_bytes(connection, slot)
    if status == "lost":
        return Finding(subject, ok=False, detail="the server has thrown its log away", hint="limnos run (reads the tables anew)")
    if limit and kept > limit:
        hint = f"limnos run, or give the log up: SELECT pg_drop_replication_slot({literal(slot)});"
        return Finding(subject, ok=False, detail=f"keeps back {kept:,} bytes of log, more than {limit:,} (max_log)", hint=hint)
    bound = "without bound (max_slot_wal_keep_size = -1)" if keep == "-1" else f"at most {keep}"
    return Finding(subject, ok=True, detail=f"keeps back {kept:,} bytes of log; {bound}")


def _table_finding(config: SourceConfig, subject: str, table: Streamed) -> Finding:
    if error := unsound(config, table):
        return Finding(subject, ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)
    published = "is published" if table.membership else "is not published yet; the next run does it"
    return Finding(subject, ok=True, detail=f"{published}; rows are told apart by {', '.join(table.identity)}")


def _publish(connection: psycopg.Connection[Any], config: SourceConfig, tables: Mapping[str, Streamed]) -> bool:
    """Make or extend the publication; tells whether it is new, so that an older slot is of no use."""
    publication, schema = publication_name(config), schema_name(config)
    found = catalog.ask(connection, _PUBLICATION, publication)
    if found and found[0] != (True, True):
        raise SourceRefused(
            f"The publication {publication} leaves changes out",
            subject=config.name,
            seen="not every operation, or partitions under their own names",
            expected="every operation, under the name of the partitioned table",
            hint=f"ALTER PUBLICATION {quoted(publication)} SET "
            "(publish = 'insert, update, delete, truncate', publish_via_partition_root = true);",
        )
    absent = ", ".join(f"{quoted(schema)}.{quoted(name)}" for name, table in tables.items() if table.membership is None)
    if not absent:
        return False
    statement = (
        f"ALTER PUBLICATION {quoted(publication)} ADD TABLE {absent}"
        if found
        else f"CREATE PUBLICATION {quoted(publication)} FOR TABLE {absent} WITH (publish_via_partition_root = true)"
    )
    try:
        catalog.ask(connection, statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceRefused(
            f'postgres "{config.name}" does not let this user publish its tables',
            subject=config.name,
            seen=str(error).splitlines()[0],
            expected="a publication that their owner makes, or a user who owns them and may CREATE in the database",
            hint=f"{statement};",
        ) from error
    return not found


def _keep_slot(connection: psycopg.Connection[Any], config: SourceConfig, *, fresh: bool) -> None:
    """Make the slot if there is none, and anew if it is of no use any more."""
    slot, limit = slot_name(config), config.protect.max_log_bytes
    if found := catalog.ask(connection, SLOT, slot):
        ((plugin, here, pid, status, *_),) = found
        if plugin != "pgoutput" or not here:
            raise SourceRefused(
                f"The replication slot {slot} is somebody else's",
                subject=config.name,
                seen=f"plugin {plugin or 'none'}, {'this' if here else 'another'} database",
                expected="a slot of the plugin pgoutput in this database",
                hint="name another one under `slot:` of this source in limnos.yml",
            )
        over = config.protect.on_log_limit is LogLimit.DROP and 0 < limit < retained_bytes(connection, slot)
        if not (fresh or over or status == "lost"):
            return
        if pid:
            raise _in_use(config, f"process {pid}")
        catalog.ask(connection, "SELECT pg_drop_replication_slot(%s)", slot)
    catalog.ask(connection, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)


def _wait(connection: psycopg.Connection[Any], config: SourceConfig) -> None:
    """Wait until every transaction that runs now has ended; what it wrote before its table was published is not in the stream."""
    ((now,),) = catalog.ask(connection, "SELECT pg_current_snapshot()::text")
    open_ = set(Snapshot.parse(now).running)
    until = time.monotonic() + (config.protect.statement_timeout_s or float("inf"))
    while open_:
        ((now,),) = catalog.ask(connection, "SELECT pg_current_snapshot()::text")
        still = Snapshot.parse(now)
        open_ &= set(still.running)
        if open_ and time.monotonic() > until:
            raise _held_up(config, f"{len(open_)} open transactions, the oldest is {min(open_)}")
        time.sleep(_WAIT_S if open_ else 0)


@contextmanager
def _connected(config: SourceConfig) -> Generator[psycopg.Connection[Any]]:
    """Connect so that each statement commits by itself, as making a slot demands."""
    address = Address(config)
    with address.refusals():
        connection = psycopg.connect(address.conninfo, autocommit=True, prepare_threshold=None)
    with closing(connection):
        try:
            for name, limit_s in (
                ("statement_timeout", config.protect.statement_timeout_s),
                ("lock_timeout", config.protect.lock_timeout_s),
            ):
                catalog.ask(connection, f"SET {name} = {round(limit_s * 1000)}")
            yield connection
        except psycopg.Error as error:
            raise refusal(config, address, error) from None


def refusal(config: SourceConfig, address: Address, error: Exception) -> LimnosError:
    """Choose the error for what a function of logical decoding says."""
    state, text = getattr(error, "sqlstate", "") or "", address.clean(str(error))
    if state == _IN_USE or "is active for PID" in text:
        return _in_use(config, text)
    if state == _STOPPED:
        return _held_up(config, text)
    if state == _ALL_IN_USE:
        hint = "ALTER SYSTEM SET max_replication_slots = 20; then restart the server"
        return SourceRefused(
            f'postgres "{config.name}" has no free replication slot', subject=config.name, seen=text, expected="one more", hint=hint
        )
    if state == _NO_RIGHT or "must be superuser or replication role" in text:
        return SourceRefused(
            f'postgres "{config.name}" does not let this user read its log',
            subject=config.name,
            seen=text,
            expected="a user with the attribute REPLICATION",
            hint=f"ALTER ROLE {quoted(_user(address))} REPLICATION;",
        )
    return address.error(error, "")


def _user(address: Address) -> str:
    return str(conninfo_to_dict(address.conninfo).get("user") or "")


def _no_log(config: SourceConfig, level: str) -> SourceRefused:
    return SourceRefused(
        f'postgres "{config.name}" does not keep a log of row changes',
        subject=config.name,
        seen=f"wal_level = {level}",
        expected="wal_level = logical",
        hint="ALTER SYSTEM SET wal_level = logical; then restart the server",
    )


def _in_use(config: SourceConfig, seen: str) -> SourceRefused:
    return SourceRefused(
        f"The replication slot {slot_name(config)} is in use",
        subject=config.name,
        seen=seen,
        expected="a slot that nobody else reads",
        hint="end the other reader, or name another slot under `slot:` of this source in limnos.yml",
    )


def _held_up(config: SourceConfig, seen: str) -> SourceRefused:
    return SourceRefused(
        f'postgres "{config.name}" still runs a transaction that began before its tables were published',
        subject=config.name,
        seen=seen,
        expected=f"an end within statement_timeout ({config.protect.statement_timeout_s:.0f} s)",
        hint="SELECT pid, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL; then run again",
    )
