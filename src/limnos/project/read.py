"""limnos.yml and contracts/ as one `Project`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from limnos.errors import LimnosError, ProjectMissing, UnknownName
from limnos.model.contract import Column, Drift, DriftPolicy, Partition, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.model.place import Place
from limnos.model.project import Project, SourceConfig, StorageConfig, TableConfig, VerifyConfig
from limnos.model.retention import Retention
from limnos.model.secret import Secret
from limnos.model.types import parse_type
from limnos.project.checks import read_checks
from limnos.project.nodes import Listed, Mapped, Node, invalid, plain, read_nodes
from limnos.project.odcs import read_contracts
from limnos.project.options import read_source
from limnos.project.secrets import resolve
from limnos.project.shape import check, located, nearest
from limnos.project.words import PROJECT

FILE = "limnos.yml"
_CONTRACTS = "contracts/*.odcs.yaml"


def load_project(directory: Path, *, environment: str = "") -> Project:
    """Read limnos.yml and the contracts of a project; no source is touched and no source's secret resolved.

    `environment` names a part of `environments`; the variable LIMNOS_ENV stands in where it is empty.

    Raises:
        ProjectMissing: If there is no limnos.yml.
        ProjectInvalid: If a file breaks a rule of its format; the subject is `file:line`.
        Unsupported: If it declares what this version does not have.
        UnknownName: If there is no such environment.
        SecretMissing: If a secret of the lake or the state database is nowhere to be found.
    """
    root = directory.absolute()
    path = root / FILE
    if not os.path.isfile(path):  # noqa: PTH113 the method raises where the directory may not be searched
        raise ProjectMissing(
            "There is no project here", subject=str(path), seen="no limnos.yml", expected="a limnos.yml", hint=f"limnos init {directory}"
        )
    node = read_nodes(path, FILE)
    check(node, PROJECT)
    if not isinstance(node, Mapped):
        raise invalid("The file has the wrong form", node.place, seen=node.form, expected="a mapping")
    environment = environment or os.environ.get("LIMNOS_ENV", "")
    if environment:
        node = _overlaid(node, environment)
        check(node, PROJECT)
    sources = tuple(read_source(name, entry, root) for name, entry in node.mapping("sources").entries.items() if isinstance(entry, Mapped))
    tables = _tables(node, root)
    verify = _verify(node)
    _check_targets(sources, tables, verify)
    _check_cycles(tables)
    return Project(
        name=node.text("project") or root.name,
        root=root,
        lake=_lake(node, root),
        state=_state(node, root),
        sources=sources,
        tables=tables,
        verify=verify,
        retention=Retention().told(node.mapping("upkeep").text("keep"), node.mapping("upkeep").text("grace")),
        environment=environment,
        place=Place(FILE),
    )


def _overlaid(project: Mapped, environment: str) -> Mapped:
    environments = project.mapping("environments").entries
    overlay = environments.get(environment)
    if not isinstance(overlay, Mapped):
        raise UnknownName.among("environment", environment, environments, hint="limnos explain project")
    known = project.mapping("sources").entries
    for name, entry in overlay.mapping("sources").entries.items():
        if name not in known:
            what = f"Environment {environment} changes a source that does not exist"
            raise invalid(what, entry.place, seen=name, expected=nearest(name, known))
    return _merged(project, overlay)


def _merged(below: Mapped, above: Mapped) -> Mapped:
    entries = dict(below.entries)
    for key, node in above.entries.items():
        old = entries.get(key)
        entries[key] = _merged(old, node) if isinstance(old, Mapped) and isinstance(node, Mapped) else node
    return replace(below, entries=entries)


def _lake(project: Mapped, root: Path) -> StorageConfig:
    node = project.mapping("lake")
    place = project.place_of("lake")
    uri = node.text("uri") or project.text("lake") or ".limnos/lake"
    options: dict[str, object] = {key: plain(value) for key, value in node.entries.items() if key != "uri"}
    for key in ("access_key", "secret_key"):
        if key in node.entries:
            options[key] = resolve(node.text(key), root=root, place=node.place_of(key), name=key)
    if "://" not in uri:
        if options:
            raise invalid("A lake in a directory has no options", place, seen=", ".join(options), expected="only uri")
        return StorageConfig(str(_path(uri, root, place)))
    if not uri.startswith("s3://") or not uri.removeprefix("s3://").strip("/"):
        raise invalid("The lake cannot be there", place, seen=uri, expected="a directory or s3://bucket/prefix")
    return StorageConfig(uri.rstrip("/"), options)


def _path(text: str, root: Path, place: Place) -> Path:
    try:
        return (root / Path(text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise invalid("There is no such path", place, seen=str(error), expected="a path on this machine") from error


def _state(project: Mapped, root: Path) -> Secret:
    """Write the state database as an SQLAlchemy URL."""
    place = project.place_of("state")
    said = resolve(project.text("state") or ".limnos/state.db", root=root, place=place, name="state")
    scheme, separator, rest = said.reveal().partition("://")
    if not separator:
        return Secret(f"sqlite:///{quote(str(_path(said.reveal(), root, place)))}", name=said.name)
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise invalid("The state database cannot be of that kind", place, seen=f"{scheme}://...", expected="a path or postgresql://...")
    return Secret(f"postgresql+psycopg://{rest}", name=said.name)


def _tables(project: Mapped, root: Path) -> Mapping[TableName, TableConfig]:
    promised: dict[TableName, TableConfig] = {}
    for config in read_contracts([read_nodes(root / name, name) for name in _contract_files(project, root)]):
        if config.table in promised:
            first = promised[config.table].place
            raise invalid(
                f"Two contracts are about {config.table}", config.place, seen=f"also {first}", expected="one contract for each table"
            )
        promised[config.table] = config
    for name, entry in project.mapping("tables").entries.items():
        config = _table(TableName.parse(name), entry)
        promised[config.table] = _with_contract(config, promised[config.table]) if config.table in promised else config
    return {table: replace(config, rules=_distinct(config.rules)) for table, config in promised.items()}


def contract_files(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the patterns of a project's contracts, and the files that match them, relative to it.

    Raises:
        ProjectInvalid: If limnos.yml cannot be read.
    """
    node = read_nodes(root / FILE, FILE)
    project = node if isinstance(node, Mapped) else Mapped(node.place, {})
    return project.texts("contracts") or (_CONTRACTS,), _contract_files(project, root)


def _contract_files(project: Mapped, root: Path) -> tuple[str, ...]:
    found: dict[str, None] = {}
    place = project.place_of("contracts")
    for pattern in project.texts("contracts") or (_CONTRACTS,):
        if pattern.startswith("/") or ".." in Path(pattern).parts:
            raise invalid("Contracts lie outside the project", place, seen=pattern, expected="a path in the project")
        try:
            files = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file())
        except (OSError, ValueError) as error:
            raise invalid("The pattern of the contracts cannot be followed", place, seen=str(error), expected=_CONTRACTS) from error
        if not files and "contracts" in project.entries:
            raise invalid("No contract is there", place, seen=f"no file {pattern}", expected="at least one file")
        found |= dict.fromkeys(files)
    return tuple(found)


def _table(table: TableName, node: Node) -> TableConfig:
    said = node if isinstance(node, Mapped) else Mapped(node.place, {})
    columns = tuple(_column(column) for column in said.mappings("columns"))
    return TableConfig(
        table,
        columns,
        key=said.texts("key"),
        rules=tuple(_rules(said, table)),
        partitions=tuple(_partition(text) for text in said.texts("partition")),
        drift=_drift(said.mapping("drift")),
        on_fail=Severity(said.text("on_fail") or Severity.QUARANTINE),
        history=bool(said.text("history")),
        owner=said.text("owner"),
        description=said.text("description"),
        place=said.place,
    )


def _drift(node: Mapped) -> DriftPolicy:
    def words(said: Mapped) -> dict[str, Any]:
        return {word: Drift(said.text(word)) for word in said.entries if word != "columns"}

    of_table = DriftPolicy(**words(node))
    columns = {name: replace(of_table, **words(said)) for name, said in node.mapping("columns").entries.items() if isinstance(said, Mapped)}
    return replace(of_table, columns=columns)


def _verify(project: Mapped) -> Mapping[TableName, VerifyConfig]:
    found: dict[TableName, VerifyConfig] = {}
    for name, entry in project.mapping("verify").entries.items():
        said = entry if isinstance(entry, Mapped) else Mapped(entry.place, {})
        words = {"all": ("*",), "none": (), "": ("*",)}
        content = words.get(said.text("content"), ()) if not isinstance(said.entries.get("content"), Listed) else said.texts("content")
        table = TableName.parse(name)
        found[table] = VerifyConfig(table, content, every_run=said.text("every") == "run", place=said.place)
    return found


def _column(node: Mapped) -> Column:
    try:
        kind = parse_type(node.text("type"))
    except LimnosError as error:
        raise located(error, node.place_of("type")) from error
    return Column(node.text("name"), kind, node.value("required") is True, node.text("description"), node.text("classification"))


def _rules(said: Mapped, table: TableName) -> Iterator[RuleSpec]:
    if key := said.texts("key"):
        yield RuleSpec("primary_key", key, place=said.place_of("key"))
    seen: dict[str, Place] = {}
    for column in said.mappings("columns"):
        name = column.text("name")
        if name in seen:
            raise invalid(f"The column {name!r} is given twice", column.place, seen=f"first on line {seen[name].line}", expected="once")
        seen[name] = column.place
        if column.value("required") is True:
            yield RuleSpec("not_null", (name,), place=column.place_of("required"))
        if isinstance(checks := column.entries.get("checks"), Listed):
            yield from read_checks(checks, table, name)
    if isinstance(checks := said.entries.get("checks"), Listed):
        yield from read_checks(checks, table)


def _partition(text: str) -> Partition:
    transform, bracket, inner = text.rstrip(") ").partition("(")
    if not bracket:
        return Partition(text.strip())
    width, comma, column = inner.partition(",")
    return Partition(column.strip(), transform, int(width)) if comma else Partition(inner.strip(), transform)


def _with_contract(said: TableConfig, contract: TableConfig) -> TableConfig:
    """Add what limnos.yml says of a table to what its contract says; they may repeat each other, not contradict."""
    for what in ("key", "partitions"):
        ours, theirs = getattr(said, what), getattr(contract, what)
        if ours and theirs and ours != theirs:
            raise _contradiction(f"{what} of {said.table}", said.place, ours, contract.place, theirs)
    columns = {column.name: column for column in contract.columns}
    for column in said.columns:
        known = columns.get(column.name, column)
        if known.type != column.type:
            raise _contradiction(f"type of {said.table}.{column.name}", said.place, (column.type,), contract.place, (known.type,))
        columns[column.name] = replace(
            known,
            required=known.required or column.required,
            description=column.description or known.description,
            classification=column.classification or known.classification,
        )
    return replace(
        said,
        columns=tuple(columns.values()),
        declared=contract.declared,
        key=said.key or contract.key,
        rules=(*contract.rules, *said.rules),
        partitions=said.partitions or contract.partitions,
        owner=said.owner or contract.owner,
        description=said.description or contract.description,
    )


def _contradiction(what: str, place: Place, ours: Iterable[object], other: Place, theirs: Iterable[object]) -> LimnosError:
    def shown(values: Iterable[object]) -> str:
        return ", ".join(str(value) for value in values)

    return invalid(
        f"Two files contradict each other about the {what}", place, seen=shown(ours), expected=f"{shown(theirs)}, as {other} says"
    )


def _distinct(rules: Iterable[RuleSpec]) -> tuple[RuleSpec, ...]:
    """Let a rule that says the same again stand for the first, so that it may add a severity to what a key or `required` implies."""
    named: dict[str, RuleSpec] = {}
    for rule in rules:
        first = named.get(rule.name, rule)
        same = rule.version == first.version and (first.severity in (None, rule.severity) or rule.place.file != first.place.file)
        if not same:
            raise invalid(
                f"Two rules are called {rule.name!r}", rule.place, seen=f"also {first.place}", expected="a `name` for one of them"
            )
        named[rule.name] = rule
    return tuple(named.values())


def _check_targets(
    sources: Iterable[SourceConfig], tables: Mapping[TableName, TableConfig], verify: Mapping[TableName, VerifyConfig]
) -> None:
    """See that no two sources fill one table, and that whatever is promised or referred to is filled by one."""
    filled: dict[TableName, Place] = {}
    every = {source.namespace for source in sources if source.every}
    for source in sources:
        for table in source.tables:
            if table.target in filled:
                raise invalid(
                    f"Two tables of sources land in {table.target}",
                    table.place,
                    seen=f"also {filled[table.target]}",
                    expected="another `table:`",
                )
            filled[table.target] = table.place
    for compared in verify.values():
        _check_filled(compared.table, compared.place, filled, every)
    for config in tables.values():
        _check_filled(config.table, config.place, filled, every)
        for rule in config.rules:
            for word in {"references", "table"} & set(rule.arguments):
                _check_filled(TableName.parse(str(rule.arguments[word])), rule.place, filled, every)


def _check_filled(table: TableName, place: Place, filled: Mapping[TableName, Place], every: set[str]) -> None:
    if table not in filled and table.namespace not in every:
        known = [*map(str, filled), *(f"{namespace}.*" for namespace in every)]
        raise invalid(
            f"No source fills the table {table}", place, seen=str(table), expected=nearest(str(table), known) or "a source that does"
        )


def _check_cycles(tables: Mapping[TableName, TableConfig]) -> None:
    """Refuse rules that look at tables in a circle: no order of judging would know which rows of the others are published."""
    parents: dict[str, set[str]] = {}
    for config in tables.values():
        for rule in config.rules:
            if (rule.severity or config.on_fail) is not Severity.WARN:
                parents.setdefault(str(config.table), set()).update(rule.others - {str(config.table)})
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle: list[str] = list(reversed(error.args[1]))
        place = next(rule.place for rule in tables[TableName.parse(circle[0])].rules if circle[1] in rule.others)
        raise invalid(
            "Foreign keys lead in a circle", place, seen=" -> ".join(circle), expected="`severity: warn` on one of them"
        ) from error
