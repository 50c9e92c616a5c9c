"""Soda: data contracts of version 4 (`dataset:`), and checks of version 3 (`checks for TABLE:`).

A value that counts as missing is not judged as invalid; a count may only be held to 0, a percentage becomes a share.

Source: Soda, "Contract language reference" (v4), "SodaCL metrics and checks" (v3); soda_data_contract_json_schema_1_0_0.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from limnos.model.contract import RuleSpec
from limnos.project.nodes import Listed, Mapped, Node, Scalar, parse_nodes
from limnos.project.notations.soda_checks import NEEDED, OF_COLUMN, OF_TABLE, REFUSED, VALIDITY, Check, Threshold, no_variables
from limnos.project.notations.sodacl import read_line
from limnos.project.notations.translation import Arguments, Imported, Tables, TablesOf, collected, malformed, refused
from limnos.project.shape import nearest

_TOP = ("dataset", "columns", "checks", "filter", "description", "variables", "check_attributes", "soda_agent", "soda_runner")
_COLUMN = (
    *("name", "description", "data_type", "optional", "checks", "character_maximum_length", "numeric_precision", "numeric_scale"),
    *("datetime_precision", "attributes", "check_attributes"),
)


def read_soda(text: str, name: str, tables_of: TablesOf) -> tuple[Imported, ...]:
    """Translate a contract of version 4, or the checks of version 3.

    Raises:
        ProjectInvalid: If it is neither.
    """
    root = parse_nodes(text, name)
    if not isinstance(root, Mapped):
        raise malformed("The file is not Soda's", root.place, seen=root.form, expected="dataset: or checks for TABLE:")
    if "dataset" in root.entries:
        return (_contract(root, tables_of),)
    found: list[Imported] = []
    for key, node in root.entries.items():
        match = re.fullmatch(r"checks for\s+(\S+)", key)
        if match is None:
            what = f"{key!r} cannot be translated" if key.startswith(("filter ", "for each ", "checks for ", "automated ")) else ""
            raise malformed(what or f"Unknown key {key!r}", node.place, seen=key, expected="dataset: or checks for TABLE:")
        if not isinstance(node, Listed):
            raise malformed(f"{key!r} is not a list", node.place, seen=node.form, expected="- row_count > 0")
        tables = tables_of(match[1])
        rules, errors = collected(partial(read_line, item, tables) for item in node.items)
        found.append(Imported(match[1], rules, errors))
    return tuple(found)


def _contract(root: Mapped, tables_of: TablesOf) -> Imported:
    top = Arguments("a Soda contract", root)
    dataset = top.need("dataset")
    table, where, tables = dataset.rpartition("/")[2], top.text("filter"), tables_of(dataset.rpartition("/")[2])
    top.skip(*_TOP)
    top.done()
    checks: list[Callable[[], Iterable[RuleSpec]]] = []
    columns = _mappings(root, "columns")
    for column in columns:
        entry = Arguments(f"the column {column.text('name')}", column)
        checks.append(partial(_known, entry))
        defaults = {key: column.entries[key] for key in VALIDITY if key in column.entries}
        checks += [partial(_check, one, column.text("name"), defaults, where, columns, tables) for one in _mappings(column, "checks")]
    checks += [partial(_check, one, "", {}, where, columns, tables) for one in _mappings(root, "checks")]
    rules, errors = collected(checks)
    return Imported(table, rules, errors)


def _mappings(node: Mapped, key: str) -> tuple[Mapped, ...]:
    entries = node.entries.get(key)
    if entries is None or (isinstance(entries, Scalar) and entries.value is None):
        return ()
    if not isinstance(entries, Listed) or not all(isinstance(item, Mapped) for item in entries.items):
        raise malformed(f"{key!r} is not a list of mappings", entries.place, seen=entries.form, expected="a list of mappings")
    return node.mappings(key)


def _known(entry: Arguments) -> tuple[RuleSpec, ...]:
    entry.need("name")
    entry.skip(*_COLUMN, *VALIDITY)
    entry.done()
    return ()


def _check(
    node: Mapped, column: str, defaults: Mapping[str, Node], where: str, columns: tuple[Mapped, ...], tables: Tables
) -> tuple[RuleSpec, ...]:
    if len(node.entries) != 1:
        raise malformed("A check has one key", node.place, seen=", ".join(node.entries), expected="such as missing:")
    ((kind, inner),) = node.entries.items()
    if kind in REFUSED:
        raise refused(kind, node.place, REFUSED[kind])
    known = OF_COLUMN if column else OF_TABLE
    if kind not in known:
        raise malformed(f"Unknown check {kind!r}", node.place, seen=kind, expected=nearest(kind, (*known, *REFUSED)))
    if not isinstance(inner, Mapped) and not (isinstance(inner, Scalar) and inner.value is None):
        raise malformed(f"The check {kind} has the wrong form", inner.place, seen=inner.form, expected="a mapping, or nothing")
    entries = dict(inner.entries) if isinstance(inner, Mapped) else {}
    no_variables(kind, Mapped(node.place, entries))
    if kind in ("missing", "invalid"):
        entries = {key: one for key, one in defaults.items() if key in NEEDED[kind]} | entries
    arguments = Arguments(kind, Mapped(node.place, entries))
    threshold = Threshold(Arguments(f"threshold of {kind}", _threshold_node(arguments)))
    name, own = arguments.text("name"), arguments.text("filter")
    arguments.skip("qualifier", "attributes")
    rules = known[kind](Check(arguments, column, threshold, tables, columns))
    arguments.done()
    threshold.arguments.done()
    condition = " AND ".join(f"({one})" for one in (where, own)) if where and own else where or own
    if condition and any(rule.kind == "query" for rule in rules):
        raise refused(f"`filter` of {kind}", node.place, "the condition inside its query")
    place = node.place
    single = name if name and len(rules) == 1 else ""
    return tuple(
        replace(
            rule,
            name=single or rule.name,
            where="" if rule.kind == "schema_match" else condition,
            severity=threshold.severity,
            place=place,
        )
        for rule in rules
    )


def _threshold_node(arguments: Arguments) -> Mapped:
    node = arguments.node_of("threshold")
    if node is not None and not isinstance(node, Mapped):
        raise arguments.wrong("threshold", "a mapping")
    return node if isinstance(node, Mapped) else Mapped(arguments.place, {})
