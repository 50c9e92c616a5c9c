"""The embedded engine."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import duckdb
import pyarrow as pa

from limnos.access.functions import READING_MACROS
from limnos.access.gate import TableReference
from limnos.engines.duckdb.errors import in_our_words, is_damaged, storage_failed, tells_values, translated
from limnos.engines.duckdb.footers import FileGroup, file_groups
from limnos.engines.duckdb.parsing import parsed
from limnos.engines.duckdb.session import BATCH_ROWS, DuckSession, guarded
from limnos.engines.duckdb.spill import spill_directory, sweep
from limnos.engines.duckdb.storage import Storage
from limnos.engines.duckdb.views import governed, live_rows
from limnos.errors import LimnosError, QueryInvalid, Refused, UnknownName
from limnos.model.data import Relation
from limnos.model.decision import Action, Decision
from limnos.model.names import literal, quoted

_KEPT_INSTANCES = 4
_KEPT_FILES = 10_000
_KEPT_SPELLINGS = 256
# These namespaces are also the engine's own catalogs, so the engine calls `system.runs` ambiguous.
_AMBIGUOUS = frozenset({"system", "temp", "memory"})


class DuckEngine:
    """Run SQL with DuckDB, in this process.

    `s3` takes the options of `StorageConfig` for object storage. A query runs in a database instance that can open the files its principal
    was allowed to read and nothing else, and whose settings cannot be changed.
    """

    name: ClassVar[str] = "duckdb"

    def __init__(
        self, *, memory_bytes: int = 0, threads: int = 0, temp_directory: str = "", s3: Mapping[str, object] | None = None
    ) -> None:
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._temp_directory = Path(temp_directory or tempfile.gettempdir())
        sweep(self._temp_directory)
        self._storage = Storage(s3 or {})
        self._spellings: dict[tuple[str, ...], tuple[FileGroup, ...]] = {}
        self._lock = threading.Lock()
        self._instances: OrderedDict[frozenset[str], tuple[duckdb.DuckDBPyConnection, frozenset[str]]] = OrderedDict()

    @contextmanager
    def session(self, *, memory_bytes: int = 0) -> Generator[DuckSession]:
        """Open a database of its own for trusted SQL; with `memory_bytes`, what does not fit goes to disk, and rows come in any order."""
        connection = self._connect(memory_bytes)
        try:
            yield DuckSession(connection, self._storage.reach(connection), bounded=memory_bytes > 0)
        finally:
            connection.interrupt()
            connection.close()

    def tables_of(self, sql: str, known: Iterable[str] = ()) -> frozenset[str]:
        """Name the relations that one SELECT reads, as written; `known` names serve "did you mean".

        Raises:
            QueryInvalid: If it is not exactly one SELECT, or uses a relation or function that is not on the allow-list.
        """
        return frozenset(str(each) for each in self._references(sql, known))

    @contextmanager
    def query(
        self, sql: str, relations: Mapping[str, Relation | pa.Table], decisions: Mapping[str, Decision]
    ) -> Generator[pa.RecordBatchReader]:
        """Run one SELECT over `relations` and nothing else, under `decisions`; leaving the context cancels what still runs.

        Raises:
            QueryInvalid: If it does not parse, bind or run.
            Refused: If a decision on a relation it reads is missing or a refusal.
            StorageFailed: If a file of a relation cannot be read.
        """
        uses = self._references(sql, relations)
        read = {str(use): _find(str(use), relations) for use in uses}
        views = {name: (relations[name], _allowed(name, decisions)) for name in read.values()}
        ours = _ours([decision for _, decision in views.values()])
        catalog = f"q_{secrets.token_hex(16)}"
        principals = frozenset(decision.principal.name for _, decision in views.values())
        instance = self._instance(principals, _files(relation for relation, _ in views.values()))
        cursor = instance.cursor()
        try:
            with in_our_words(cursor, lambda error: ours(error, catalog)):
                cursor.execute(f"ATTACH ':memory:' AS {catalog}; USE {catalog}")
                for name, (relation, decision) in views.items():
                    self._create(cursor, catalog, name, relation, decision)
                reader = cursor.execute(_unambiguous(sql, uses, catalog)).to_arrow_reader(BATCH_ROWS)
            yield guarded(reader, lambda error: ours(error, catalog))
        finally:
            cursor.interrupt()
            cursor.close()
            with instance.cursor() as closing:
                closing.execute(f"DETACH DATABASE IF EXISTS {catalog}")

    def _create(
        self, cursor: duckdb.DuckDBPyConnection, catalog: str, name: str, relation: Relation | pa.Table, decision: Decision
    ) -> None:
        namespace, _, table = name.partition(".")
        if isinstance(relation, Relation):
            rows = live_rows(relation, self._groups(cursor, relation.files))
        else:
            hidden = f"t_{secrets.token_hex(16)}"
            cursor.register(hidden, relation)
            rows = f"SELECT * FROM temp.main.{hidden}"
        schema = f"{catalog}.{quoted(namespace)}"
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        cursor.execute(f"CREATE VIEW {schema}.{quoted(table)} AS {governed(rows, relation.schema.names, decision)}")
        if name in READING_MACROS:
            cursor.execute(f"CREATE {READING_MACROS[name].format(relation=f'{schema}.{quoted(table)}')}")

    def _groups(self, cursor: duckdb.DuckDBPyConnection, files: tuple[str, ...]) -> tuple[FileGroup, ...]:
        """Group the files of a version, which never change, so once is enough."""
        if files not in self._spellings:
            if len(self._spellings) >= _KEPT_SPELLINGS:
                self._spellings.clear()
            self._spellings[files] = file_groups(cursor, files)
        return self._spellings[files]

    def _references(self, sql: str, known: Iterable[str]) -> tuple[TableReference, ...]:
        with self._instance(frozenset(), frozenset()).cursor() as cursor:
            return parsed(cursor, sql, known)

    def _instance(self, principals: frozenset[str], files: frozenset[str]) -> duckdb.DuckDBPyConnection:
        """Give the locked database instance of these principals; it can open what they were allowed to read and nothing else.

        An instance keeps what it read in memory, so it lasts until a file is asked for that it cannot open.
        """
        with self._lock:
            found, allowed = self._instances.pop(principals, (None, frozenset[str]()))
            if found is None or not files <= allowed:
                allowed = files | allowed if len(allowed) < _KEPT_FILES else files
                found = self._locked(allowed)
            self._instances[principals] = found, allowed
            if len(self._instances) > _KEPT_INSTANCES:
                self._instances.popitem(last=False)
            return found

    def _locked(self, files: frozenset[str]) -> duckdb.DuckDBPyConnection:
        connection = self._connect()
        reach = self._storage.reach(connection)
        for file in files:
            reach(file)
        paths = ", ".join(literal(file) for file in sorted(files))
        connection.execute(
            f"SET GLOBAL parquet_metadata_cache = true; SET GLOBAL allowed_paths = [{paths}]; SET GLOBAL allowed_directories = []; "
            "SET GLOBAL enable_external_access = false; SET GLOBAL lock_configuration = true"
        )
        return connection

    def _connect(self, memory_bytes: int = 0) -> duckdb.DuckDBPyConnection:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": str(spill_directory(self._temp_directory)),
        }
        if memory_bytes:
            # To keep the order of rows, many of them would be held back.
            config["preserve_insertion_order"] = "false"
        if bounds := [bound for bound in (self._memory_bytes, memory_bytes) if bound]:
            config["memory_limit"] = f"{min(bounds)}B"
        if self._threads:
            config["threads"] = str(self._threads)
        connection = duckdb.connect(":memory:", config=config)
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # Where Python looks interactive, the engine would draw on the output of whoever calls us.
        connection.execute("SET enable_progress_bar = false")
        return connection


def _find(name: str, relations: Mapping[str, Relation | pa.Table]) -> str:
    """Find a relation as SQL does: an exact name first, else one that differs only in case."""
    if name in relations:
        return name
    same = [known for known in relations if known.casefold() == name.casefold()]
    if len(same) != 1:
        error = UnknownName.among("table", name, relations, hint="limnos status")
        raise QueryInvalid(error.what, subject="query", seen=error.seen, expected=error.expected, hint=error.hint)
    return same[0]


def _allowed(name: str, decisions: Mapping[str, Decision]) -> Decision:
    decision = decisions.get(name)
    if decision is not None and decision.allowed and decision.action is Action.READ and str(decision.table or name) == name:
        return decision
    reasons = "; ".join(decision.reasons) if decision and not decision.allowed else "no decision allows it"
    who = decision.principal.name if decision else "this principal"
    raise Refused(f"{who} may not read {name}", subject=name, seen=reasons, expected="a policy that allows it", hint=f"limnos why {name}")


def _files(relations: Iterable[Relation | pa.Table]) -> frozenset[str]:
    return frozenset(file for relation in relations if isinstance(relation, Relation) for file in (*relation.files, *relation.deletes))


def _unambiguous(sql: str, uses: Iterable[TableReference], catalog: str) -> str:
    """Put the catalog before the names that the engine would call ambiguous; what a query may read was decided before."""
    offsets = {use.offset for use in uses if use.namespace.casefold() in _AMBIGUOUS and use.offset >= 0}
    for offset in sorted(offsets, reverse=True):
        sql = f"{sql[:offset]}{catalog}.{sql[offset:]}"
    return sql


def _ours(decisions: list[Decision]) -> Callable[[duckdb.Error, str], LimnosError]:
    """Translate errors so that neither hidden names nor, under a filter or mask, values of rows show."""
    obliged = any(decision.row_filter or decision.masks for decision in decisions)

    def translate(error: duckdb.Error, catalog: str) -> LimnosError:
        if is_damaged(error):
            return storage_failed("a data file of the lake", str(error))
        if obliged and (tells_values(error) or type(error) is duckdb.Error):
            error = duckdb.Error("a value does not fit the operation; which one is not shown under a row filter or mask")
        ours = translated(error, "query")
        ours.seen = ours.seen.replace(f"{catalog}.", "")
        return ours

    return translate
