"""Draft a project out of what a database says of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from limnos.discovery.classification import classify
from limnos.discovery.spellings import words
from limnos.errors import LimnosError, RequestError
from limnos.flow.resolve import references
from limnos.flow.select import parents_first
from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import TableName
from limnos.model.project import Capability, SourceConfig
from limnos.model.secret import Secret
from limnos.ports import Engine, FollowableReading, Reading, Source
from limnos.project.odcs_write import write_contract, write_yaml

SAMPLE_ROWS = 1_000
_TYPES = {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql", "mariadb": "mariadb", "sqlite": "sqlite"}
_ANY = "database"
_NOT_NAME = re.compile(r"\W+", re.ASCII)
_CHANGED = frozenset("updated modified changed lastmodified geaendert modifie actualizado modificado aggiornato gewijzigd".split())
_HEAD = """\
# Drafted out of what the database says of itself: read it, and the contracts, before the first run.
# What the contracts leave unsaid still comes from the source. All words: `limnos explain project`.
version: 1

sources:
"""


@runtime_checkable
class Sampled(Protocol):
    """Give a few rows without reading the table."""

    def sample(self, table: str, rows: int) -> pa.Table:
        """Give some rows."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Say which source a URL stands for; `secret` is what keeps the URL, empty where nothing in it has to be kept."""

    config: SourceConfig
    secret: str = ""
    text: Secret | None = None


def address(url: Secret, schema: str, root: Path, kinds: Collection[str]) -> Address:
    """Read a database URL as a source of one of the registered `kinds`; a URL that came out of a secret keeps the secret's name.

    Raises:
        RequestError: If it is no URL.
    """
    text = url.reveal()
    scheme, _, rest = text.partition("://")
    if not rest or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+.-]*", scheme):
        raise RequestError(
            "The address of the database is not a URL",
            subject="--from",
            seen="a text without a scheme",
            expected="postgresql://user@host/database, mysql://..., mariadb://..., sqlite:///path, or a URL of SQLAlchemy",
            hint="limnos init --from URL DIRECTORY",
        )
    kind = _TYPES.get(scheme.lower(), _ANY)
    kind = kind if kind in kinds else _ANY
    path = unquote(urlsplit(text).path)
    name = _plain(Path(path).stem) or _plain(scheme)
    options: dict[str, object] = {"schema": schema} if schema else {}
    if kind == "sqlite":
        file = Path(path.removeprefix("/")).absolute()
        shown = file.relative_to(root) if file.is_relative_to(root) else file
        return Address(SourceConfig(name, kind, root, name, options | {"path": str(shown)}, every=True))
    file = Path(path.removeprefix("/"))
    if kind == _ANY and file.is_file() and f":///{file}" in text:
        # A run may start in another directory than this one.
        url = Secret(text.replace(f":///{file}", f":///{file.absolute()}", 1), name=url.name)
    secret = url.name or f"{name.upper()}_DSN"
    return Address(SourceConfig(name, kind, root, name, options | {"url": url.reveal()}, every=True), secret, None if url.name else url)


def _plain(text: str) -> str:
    name = _NOT_NAME.sub("_", text).strip("_").lower()
    return f"_{name}" if name[:1].isdigit() else name[:100]


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    contract: Contract
    evidence: Mapping[str, str]
    notes: tuple[str, ...] = ()
    followed: bool = True
    late: tuple[RuleSpec, ...] = ()


def draft(directory: Path, found: Address, source: Source, engine: Engine, *, sample: bool) -> None:
    """Write limnos.yml, contracts, and the secret for its owner only; reads the catalog and, with `sample`, a few rows of each table.

    Raises:
        WorldError: If the source cannot be read.
        RequestError: If it has no tables, or its address cannot be kept.
    """
    with source.open() as reading:
        targets = _targets(reading.tables(), found.config.namespace)
        if not targets:
            raise RequestError(
                "There are no tables to draft",
                subject=found.config.name,
                seen="no table that this user may see",
                expected="at least one table or view",
                hint="limnos init --from URL --schema SCHEMA DIRECTORY",
            )
        tables = [_table(reading, name, target, targets, engine if sample else None) for name, target in targets.items()]
    bare = [table.name for table in tables if not table.contract.columns]
    tables = _without_circles([table for table in tables if table.contract.columns])
    (directory / "contracts").mkdir()
    for table in tables:
        written = write_contract(table.contract, table.evidence)
        (directory / f"contracts/{table.contract.table.name}.odcs.yaml").write_text(written, encoding="utf-8")
    if found.text is not None:
        _keep(directory, found.secret, found.text)
    (directory / "limnos.yml").write_text("".join(_project(found, source, tables, bare)), encoding="utf-8")


def _targets(names: Sequence[str], namespace: str) -> dict[str, TableName]:
    """Give each table a plain name in the lake that no other has, whatever the case; its own where that is plain."""
    given: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names, key=lambda name: (not TableName.fits(namespace, name), name != name.lower(), name)):
        plain = candidate = name if TableName.fits(namespace, name) else _plain(name) or "table"
        count = 1
        while candidate.lower() in taken:
            count += 1
            candidate = f"{plain}_{count}"
        taken.add(candidate.lower())
        given[name] = candidate
    return {name: TableName(namespace, given[name]) for name in names}


def _table(reading: Reading, name: str, target: TableName, targets: Mapping[str, TableName], engine: Engine | None) -> _Table:
    contract = reading.describe(name, target)
    rules = tuple(_among(rule, targets) for rule in contract.rules)
    contract = contract.with_rules(tuple(rule for rule in rules if rule is not None))
    notes: tuple[str, ...] = ()
    rows: pa.Table | None = None
    try:
        rows = _sample(reading, name, contract, engine) if engine else None
    except LimnosError as error:
        notes = (f"its rows were not looked at: {error.what} ({error.seen})",)
    unfollowable = reading.unfollowable(name) if contract.key and isinstance(reading, FollowableReading) else None
    if unfollowable is not None:
        notes = (*notes, f"not for mode: cdc: {unfollowable.what} ({unfollowable.seen})")
    proposals = [classify(column.name, column.type, _values(rows, column.name)) for column in contract.columns]
    found = {one.column: one for one in proposals if one}
    columns = (
        replace(column, classification=found[column.name].classification) if column.name in found else column for column in contract.columns
    )
    evidence = {column: f"{one.evidence} (confidence {one.confidence})" for column, one in found.items()}
    return _Table(name, replace(contract, columns=tuple(columns)), evidence, notes, followed=unfollowable is None)


def _among(rule: RuleSpec, targets: Mapping[str, TableName]) -> RuleSpec | None:
    """Let a foreign key refer to the parent's name in the lake; nothing where the parent is not drafted."""
    if rule.kind != "foreign_key":
        return rule
    parent = targets.get(str(rule.arguments["references"]).partition(".")[2])
    return replace(rule, arguments={**rule.arguments, "references": str(parent)}) if parent else None


def _sample(reading: Reading, name: str, contract: Contract, engine: Engine) -> pa.Table:
    if isinstance(reading, Sampled):
        return reading.sample(name, SAMPLE_ROWS)
    extract = reading.read(name, contract)
    if extract.scan:
        with engine.session() as session:
            return session.run(f"SELECT * FROM ({extract.scan}) LIMIT {SAMPLE_ROWS}")
    batches: list[pa.RecordBatch] = []
    for batch in extract.batches or ():
        batches.append(batch.slice(0, SAMPLE_ROWS - sum(one.num_rows for one in batches)))
        if sum(one.num_rows for one in batches) == SAMPLE_ROWS:
            break
    # A batch may carry a column in a narrower form than the one announced.
    return (
        pa.concat_tables([pa.table(batch) for batch in batches], promote_options="permissive") if batches else extract.schema.empty_table()
    )


def _values(rows: pa.Table | None, column: str) -> Sequence[str]:
    if rows is None or column not in rows.column_names or pa.types.is_nested(rows.schema.field(column).type):
        return ()
    return [str(value) for value in rows.column(column).to_pylist() if value is not None and not isinstance(value, bytes)]


def _without_circles(tables: Sequence[_Table]) -> list[_Table]:
    """Take out the foreign keys that would be judged before their parent is published, for foreign keys lead in a circle."""
    order = parents_first({table.contract.table: references(table.contract) for table in tables})
    made: list[_Table] = []
    for table in tables:
        own = order.index(table.contract.table)
        late = [rule for rule in table.contract.rules if rule.kind == "foreign_key" and order.index(_parent(rule)) > own]
        rules = tuple(rule for rule in table.contract.rules if rule not in late)
        made.append(replace(table, contract=table.contract.with_rules(rules), late=tuple(late)))
    return made


def _parent(rule: RuleSpec) -> TableName:
    return TableName.parse(str(rule.arguments["references"]))


def _keep(directory: Path, name: str, text: Secret) -> None:
    """Write a secret where `secret://` finds it, and keep it out of version control whatever is ignored there already."""
    if elsewhere := os.environ.get("LIMNOS_SECRETS_DIR"):
        raise RequestError(
            "Secrets are kept elsewhere, where init writes nothing",
            subject=f"secret {name}",
            seen=f"LIMNOS_SECRETS_DIR={elsewhere}",
            expected="an address that is a secret already",
            hint=f"write it to {Path(elsewhere) / name}, then run limnos init --from secret://{name} DIRECTORY",
        )
    place = directory / ".limnos" / "secrets"
    place.mkdir(parents=True, mode=0o700)
    (directory / ".limnos" / ".gitignore").write_text("*\n", encoding="utf-8")
    with os.fdopen(os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{text.reveal()}\n")


def _project(found: Address, source: Source, tables: Sequence[_Table], bare: Sequence[str]) -> Iterable[str]:
    config = found.config
    yield _HEAD
    yield f"  {config.name}:\n    type: {config.type}\n"
    for name, value in config.options.items():
        if name != "url":
            yield f"    {name}: {write_yaml([value], flow=True)[1:-1]}\n"
    if found.secret:
        yield f"    url: secret://{found.secret}  # the environment variable {found.secret}, or the file .limnos/secrets/{found.secret}\n"
    yield "    tables:\n"
    for table in tables:
        for note in table.notes:
            yield f"      # {_line(note)}\n"
        said = {"mode": "full"} | ({"table": table.contract.table.name} if table.contract.table.name != table.name else {})
        others = " or ".join(_line(write_yaml(mode, flow=True)) for mode in _modes(source, table))
        entry = write_yaml({table.name: said}, flow=True)[1:-1]
        yield f"      {entry}{f'  # or {others}' if others else ''}\n"
    for name in bare:
        yield f"      # {_line(name)} has no columns\n"
    if any(table.late for table in tables):
        yield "\n# These foreign keys lead in a circle, so they are judged by the parents of the run before, and only told.\ntables:\n"
    for table in tables:
        if table.late:
            yield f"  {table.contract.table}:\n    checks:\n"
            yield from (f"      - {write_yaml(_told(rule), flow=True)}\n" for rule in table.late)


def _modes(source: Source, table: _Table) -> Iterable[Mapping[str, str]]:
    """Propose what could be read instead of everything."""
    contract = table.contract
    if Capability.CHANGES in source.capabilities and contract.key and table.followed:
        yield {"mode": "cdc"}
    if Capability.INCREMENTAL in source.capabilities and contract.key:
        for column in contract.columns:
            if pa.types.is_timestamp(column.type) and _CHANGED & set(words(column.name)):
                yield {"mode": "incremental", "cursor": column.name}


def _told(rule: RuleSpec) -> Mapping[str, object]:
    parents = {"table": rule.arguments["references"], "columns": rule.arguments["columns"]}
    return {"foreign_key": {"columns": list(rule.columns), "references": parents, "severity": "warn"}}


def _line(text: str) -> str:
    return " ".join(text.split())
