"""The rules under `checks`, as `RuleSpec`s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import TableName
from limnos.project.nodes import Listed, Mapped, Node, Scalar, invalid, plain
from limnos.project.words import ROW_RULES, RULES


def read_checks(entries: Listed, table: TableName, column: str = "") -> Iterator[RuleSpec]:
    """Read a list of checks of a table that has its right shape; under a column, `column` is what they are about.

    Raises:
        ProjectInvalid: If what an entry says does not go together.
    """
    for entry in entries.items:
        if isinstance(entry, Mapped) and "dqdl" in entry.entries:
            yield from _dqdl(entry, table)
        elif isinstance(entry, Mapped):
            kind = next(key for key in entry.entries if key in RULES)
            beside = {key: value for key, value in entry.entries.items() if key != kind}
            yield from _rules(kind, entry.entries[kind], beside, column)
        elif isinstance(entry, Scalar):
            yield from _rules(entry.text, Mapped(entry.place, {}), {}, column)


def _dqdl(entry: Mapped, table: TableName) -> Iterator[RuleSpec]:
    """Read one line of DQDL; beside it may stand only what DQDL has no word for."""
    from limnos.project.notations import Tables, distinct  # noqa: PLC0415 start-up: few projects hold DQDL
    from limnos.project.notations.dqdl import read_dqdl_rule  # noqa: PLC0415 start-up

    for word in ("where", "at_least"):
        if word in entry.entries:
            raise invalid(f"{word!r} stands beside DQDL", entry.place_of(word), seen=word, expected="it in the DQDL itself")
    rules = distinct(read_dqdl_rule(entry.text("dqdl"), entry.place_of("dqdl"), Tables(table)))
    if "name" in entry.entries and len(rules) > 1:
        raise invalid("One name cannot be that of several rules", entry.place_of("name"), seen=entry.text("name"), expected="no name")
    severity = Severity(entry.text("severity")) if "severity" in entry.entries else None
    yield from (replace(rule, severity=severity, name=entry.text("name") or rule.name) for rule in rules)


def _rules(kind: str, node: Node, beside: Mapping[str, Node], column: str) -> Iterator[RuleSpec]:
    words = RULES[kind]
    inside = dict(node.entries) if isinstance(node, Mapped) else {words.bare or "columns": node}
    if twice := sorted(set(inside) & set(beside)):
        place, first = beside[twice[0]].place, inside[twice[0]].place
        raise invalid(f"{twice[0]!r} is given twice for one rule", place, seen=f"also on line {first.line}", expected="once")
    said = Mapped(node.place, inside | dict(beside))
    columns = () if words.columns == "none" else (column,) if column else said.texts("column") or said.texts("columns")
    if len(set(columns)) < len(columns):
        raise invalid(f"The rule {kind!r} names a column twice", node.place, seen=", ".join(columns), expected="each column once")
    arguments = {name: plain(said.entries[name]) for name in words.arguments if name in said.entries}
    if kind == "referenced_by":
        paired = _references(said, columns, "by")
        arguments = {"table": paired["references"], "columns": paired["columns"]}
    elif kind == "any_of":
        arguments = {"rules": list(_alternatives(said.mappings("rules")))}
    if "min" in words.arguments and not {"min", "max"} & set(arguments):
        raise invalid(f"The rule {kind!r} has no bound", node.place, expected="min, max or both")
    spec = RuleSpec(
        kind,
        columns,
        _references(said, columns) if kind == "foreign_key" else arguments,
        severity=Severity(said.text("severity")) if "severity" in said.entries else None,
        at_least=read_share(said.text("at_least")),
        where=said.text("where"),
        name=said.text("name") or (f"sql:{' '.join(said.text('expression').split())}" if kind == "sql" else ""),
        place=node.place,
    )
    spec = spec if said.text("name") else replace(spec, name=_name(spec))
    if words.columns == "each" and len(columns) > 1:
        if "name" in said.entries:
            raise invalid(
                "One name cannot be that of several rules", said.place_of("name"), seen=spec.name, expected="one rule for each name"
            )
        yield from (replace(spec, columns=(name,), name="") for name in columns)
    else:
        yield spec


def _alternatives(entries: Iterable[Mapped]) -> Iterator[dict[str, object]]:
    """Read the rules of which one is enough, as mappings."""
    for entry in entries:
        kind = next(key for key in entry.entries if key in ROW_RULES)
        beside = {key: value for key, value in entry.entries.items() if key != kind}
        for spec in _rules(kind, entry.entries[kind], beside, ""):
            said = {"kind": kind, "columns": list(spec.columns), "arguments": dict(spec.arguments), "where": spec.where}
            yield {word: value for word, value in said.items() if value}


def _name(spec: RuleSpec) -> str:
    """Give the name of a rule that is not known by its kind and columns alone."""
    said = spec.arguments
    match spec.kind:
        case "quantile":
            return f"{spec.name}:{said['q']}"
        case "aggregate_match":
            return ":".join([spec.kind, str(said["function"]), *spec.columns, str(said["table"])])
        case "query":
            return f"query:{' '.join(str(said['sql']).split())}"
        case "any_of":
            rules = said["rules"]
            parts = [f"{rule['kind']}({', '.join(rule.get('columns', ()))})" for rule in rules] if isinstance(rules, list) else []
            return f"any_of:{' or '.join(parts)}"
        case _:
            return spec.name


def _references(said: Mapped, columns: tuple[str, ...], word: str = "references") -> dict[str, object]:
    split = said.mapping(word)
    table, parents = split.text("table"), split.texts("columns")
    if not table:
        parts = said.text(word).split(".", 2)
        table, parents = ".".join(parts[:2]), tuple(parts[2:]) or columns
    if len(parents) != len(columns):
        seen = f"{len(columns)} here and {len(parents)} in {table}"
        raise invalid("A foreign key pairs each column with one column", said.place_of(word), seen=seen, expected="equally many columns")
    return {"references": table, "columns": list(parents)}


def read_share(text: str) -> float:
    """Read a share: a number, a percentage, or all of them where nothing is said."""
    return float(text.rstrip("% ")) / 100 if text.endswith("%") else float(text or 1)
