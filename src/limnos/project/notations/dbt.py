"""schema.yml of dbt: tests of columns, models and source tables, constraints, and the freshness of sources.

Source: dbt, "Data tests", "Model constraints" and "Source freshness"; dbt_utils, README; dbt_expectations, README.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import quoted
from limnos.project.nodes import Listed, Mapped, Node, Scalar, parse_nodes
from limnos.project.notations.expectations import expectation
from limnos.project.notations.translation import (
    Arguments,
    Bounds,
    Imported,
    Tables,
    TablesOf,
    collected,
    malformed,
    refused,
    spelled,
    sql_rule,
)
from limnos.project.shape import nearest

_TOP = (
    *("version", "models", "sources", "seeds", "snapshots", "exposures", "metrics", "groups", "macros", "analyses", "semantic_models"),
    *("saved_queries", "unit_tests", "data_tests", "functions", "anchors"),
)
_MODEL = (
    *("name", "description", "docs", "meta", "tags", "latest_version", "access", "group", "deprecation_date", "identifier", "external"),
    *("quoting", "loader", "alias", "time_spine", "agg_time_dimension", "primary_entity", "derived_semantics", "semantic_model"),
)
_COLUMN = (
    *("name", "description", "meta", "data_type", "quote", "tags", "policy_tags", "config", "docs", "granularity", "entity"),
    "dimension",
)
_SOURCE = ("name", "description", "database", "schema", "loader", "meta", "tags", "quoting", "overrides")
_CONFIG = ("enabled", "tags", "meta", "group", "store_failures", "store_failures_as", "limit", "schema", "database", "alias", "sql_header")
_COUNTED = re.compile(r"\s*(>|>=|!=|<>)\s*([0-9]+)\s*")
_REF = re.compile(r"""\s*ref\(\s*(?:'[^'"]+'\s*,\s*|"[^'"]+"\s*,\s*)?['"](?P<model>[^'"]+)['"]\s*\)\s*""")
_FROM_SOURCE = re.compile(r"""\s*source\(\s*['"](?P<source>[^'"]+)['"]\s*,\s*['"](?P<table>[^'"]+)['"]\s*\)\s*""")
_PERIODS = {"minute": "m", "hour": "h", "day": "d", "week": "w"}
_NO_SHARE = "only none may fail: the numbers of warn_if and error_if are counts, not shares"


def read_dbt(text: str, name: str, tables_of: TablesOf) -> tuple[Imported, ...]:
    """Translate a schema.yml, one result for each model, seed, snapshot or source table with tests.

    `tables_of` gives the lake's view from a table, by its name in the file.

    Raises:
        ProjectInvalid: If it is not a schema.yml.
    """
    root = parse_nodes(text, name)
    if not isinstance(root, Mapped):
        raise malformed("The file is not a schema.yml of dbt", root.place, seen=root.form, expected="models: or sources:")
    for key, node in root.entries.items():
        if key not in _TOP:
            raise malformed(f"Unknown key {key!r} at the top of the file", node.place, seen=key, expected=nearest(key, _TOP))
    found: list[Imported] = []
    for section in ("models", "seeds", "snapshots"):
        found += [
            _table(_name(model), Arguments(f"the model {_name(model)}", model), Mapped(model.place, {}), tables_of)
            for model in _mappings(root, section)
        ]
    for source in _mappings(root, "sources"):
        top = Arguments(f"the source {_name(source)}", source)
        top.skip("tables", "freshness", "loaded_at_field", "loaded_at_query", "config", *_SOURCE)
        top.done()
        for table in _mappings(source, "tables"):
            name_ = f"{_name(source)}.{_name(table)}"
            found.append(_table(name_, Arguments(f"the source table {name_}", table), source, tables_of))
    return tuple(one for one in found if one.rules or one.refused)


def _name(node: Mapped) -> str:
    if not node.text("name"):
        raise malformed("An entry has no name", node.place, expected="name: NAME")
    return node.text("name")


def _mappings(node: Mapped, key: str) -> tuple[Mapped, ...]:
    entries = node.entries.get(key)
    if entries is None or (isinstance(entries, Scalar) and entries.value is None):
        return ()
    if not isinstance(entries, Listed) or not all(isinstance(item, Mapped) for item in entries.items):
        raise malformed(f"{key!r} is not a list of mappings", entries.place, seen=entries.form, expected="- name: NAME")
    return node.mappings(key)


def _table(name: str, table: Arguments, source: Mapped, tables_of: TablesOf) -> Imported:
    tables = tables_of(name)
    checks: list[Callable[[], Iterable[RuleSpec]]] = []
    node = table.node
    checks += [partial(_test, test, "", tables) for test in _tests(node)]
    checks += [partial(_constraint, one, "", tables) for one in _mappings(node, "constraints")]
    for column in _mappings(node, "columns"):
        checks.append(partial(_known, Arguments(f"the column {_name(column)}", column), ("data_tests", "tests", "constraints", *_COLUMN)))
        checks += [partial(_test, test, _name(column), tables) for test in _tests(column)]
        checks += [partial(_constraint, one, _name(column), tables) for one in _mappings(column, "constraints")]
    more = ("columns", "data_tests", "tests", "constraints", "config", "freshness", "loaded_at_field", "loaded_at_query", *_MODEL)
    checks.append(partial(_known, table, more))
    if "versions" in node.entries:
        checks.append(partial(_versions, node))
    if source.entries:
        checks.append(lambda: tuple(_freshness(node, source)))
    rules, errors = collected(checks)
    return Imported(name, rules, errors)


def _known(entry: Arguments, names: Iterable[str]) -> tuple[RuleSpec, ...]:
    entry.skip(*names, "versions")
    entry.done()
    return ()


def _versions(node: Mapped) -> tuple[RuleSpec, ...]:
    raise refused("`versions` of a model", node.place_of("versions"), "tests of the model itself: a table of the lake has one contract")


def _tests(node: Mapped) -> Iterator[Node]:
    for key in ("data_tests", "tests"):
        entries = node.entries.get(key)
        if isinstance(entries, Listed):
            yield from entries.items
        elif entries is not None and not (isinstance(entries, Scalar) and entries.value is None):
            raise malformed(f"{key!r} is not a list", entries.place, seen=entries.form, expected="- not_null")


def _test(node: Node, column: str, tables: Tables) -> tuple[RuleSpec, ...]:
    kind, arguments, config = _parts(node)
    _no_jinja(node, kind)
    enabled = config.take("enabled")
    if enabled is False:
        return ()
    if (config.text("fail_calc") or "count(*)") != "count(*)":
        raise refused(f"fail_calc of {kind}", node.place, "the default: how many rows fail")
    name = arguments.text("name")
    where = config.text("where") or arguments.text("where")
    severity = _severity(kind, config, arguments)
    config.skip(*_CONFIG)
    config.done()
    arguments.skip("description", *(key for key in _CONFIG if key != "enabled"))
    rule = _translated(kind, arguments, column, tables)
    arguments.done()
    if where and rule.kind in ("query", "schema_match"):
        raise refused(f"`where` of {kind}", node.place, "no condition")
    where = " AND ".join(f"({one})" for one in (where, rule.where)) if where and rule.where else where or rule.where
    rules = [replace(rule, name=name or rule.name, where=where, severity=severity, place=node.place)]
    if rule.kind == "sequence":
        # A value that comes twice is a step of 0 to dbt, and no gap to `sequence`.
        per = rule.arguments.get("per", [])
        columns = (*(per if isinstance(per, list) else ()), *rule.columns)
        rules.append(RuleSpec("unique", columns, where=where, severity=severity, place=node.place))
    return tuple(rules)


def _parts(node: Node) -> tuple[str, Arguments, Arguments]:
    """Take a test apart: its kind, its arguments, and its config; `arguments:` may hold the former."""
    if isinstance(node, Scalar):
        return node.text, Arguments(node.text, Mapped(node.place, {})), Arguments(node.text, Mapped(node.place, {}))
    if not isinstance(node, Mapped) or not node.entries:
        raise malformed("A test is neither a name nor a mapping", node.place, seen=node.form, expected="- not_null")
    entries = dict(node.entries)
    if "test_name" in entries:
        kind = node.text("test_name")
        del entries["test_name"]
    else:
        kind, inner = next(iter(entries.items()))
        if len(entries) > 1:
            other = list(entries)[1]
            raise malformed(f"The test {kind} stands beside {other!r}", entries[other].place, seen=other, expected="it inside the test")
        if not isinstance(inner, Mapped) and not (isinstance(inner, Scalar) and inner.value is None):
            raise malformed(f"The test {kind} has the wrong form", inner.place, seen=inner.form, expected="a mapping of arguments")
        entries = dict(inner.entries) if isinstance(inner, Mapped) else {}
    config, nested = entries.pop("config", None), entries.pop("arguments", None)
    for part in (config, nested):
        if part is not None and not isinstance(part, Mapped):
            raise malformed(f"The test {kind} has the wrong form", part.place, seen=part.form, expected="a mapping")
    if isinstance(nested, Mapped):
        if twice := set(nested.entries) & set(entries):
            raise malformed(f"{min(twice)!r} is given twice for one test", node.place, seen=min(twice), expected="once")
        entries |= nested.entries
    settings = config if isinstance(config, Mapped) else Mapped(node.place, {})
    return kind, Arguments(kind, Mapped(node.place, entries)), Arguments(f"config of {kind}", settings)


def _no_jinja(node: Node, kind: str) -> None:
    """Refuse what dbt would compute; only a lone ref() or source() is read, where a table is meant."""
    match node:
        case Scalar():
            if "{{" in node.text or "{%" in node.text:
                raise refused(f"The expression {node.text!r} of {kind}", node.place, "a value, ref('model') or source('source', 'table')")
        case Listed():
            for item in node.items:
                _no_jinja(item, kind)
        case Mapped():
            for key, item in node.entries.items():
                if key not in ("description", "meta"):
                    _no_jinja(item, kind)


def _severity(kind: str, config: Arguments, arguments: Arguments) -> Severity | None:
    said = (config.text("severity") or arguments.text("severity")).lower()
    if said not in ("", "error", "warn"):
        raise malformed(f"{kind} has no such severity", config.place, seen=said, expected="error or warn")
    warn_if, error_if = (config.text(word) or arguments.text(word) for word in ("warn_if", "error_if"))
    warns, errors = (not text or _any(kind, text, config) for text in (warn_if, error_if))
    if said == "warn":
        errors = False
    if errors:
        return None
    if not warns or said != "warn":
        raise refused(f"warn_if and error_if of {kind}", config.place, _NO_SHARE)
    return Severity.WARN


def _any(kind: str, text: str, config: Arguments) -> bool:
    """Tell whether a threshold means any failing row at all."""
    match = _COUNTED.fullmatch(text)
    if match is None:
        raise malformed(f"A threshold of {kind} is no comparison", config.place, seen=text, expected="such as >0")
    return (match[1], int(match[2])) in ((">", 0), (">=", 1), ("!=", 0), ("<>", 0))


def _table_named(text: str, arguments: Arguments, tables: Tables) -> str:
    if match := _REF.fullmatch(text):
        return str(tables.find(match["model"], arguments.place))
    if match := _FROM_SOURCE.fullmatch(text):
        return str(tables.find(f"{match['source']}.{match['table']}", arguments.place))
    raise refused(f"{text!r} of {arguments.what}", arguments.place, "ref('model') or source('source', 'table')")


def _translated(kind: str, arguments: Arguments, column: str, tables: Tables) -> RuleSpec:
    package, _, name = kind.rpartition(".")
    if package == "dbt_expectations":
        return _expectation(name, arguments, column, tables)
    if kind in REFUSED:
        raise refused(kind, arguments.place, REFUSED[kind])
    test = _TESTS.get(kind)
    if test is None:
        known = (*_TESTS, *REFUSED)
        if package and package != "dbt_utils":
            raise refused(kind, arguments.place, "tests of dbt itself, dbt_utils or dbt_expectations; import what it compiles to as SQL")
        near = nearest(kind, known) if "did you mean" in nearest(kind, known) else "a test of dbt, dbt_utils or dbt_expectations"
        raise refused(f"The test {kind}", arguments.place, near)
    return test(arguments, column or arguments.text("column_name"), tables)


def _expectation(name: str, arguments: Arguments, column: str, tables: Tables) -> RuleSpec:
    entries = dict(arguments.node.entries)
    where = arguments.text("row_condition")
    if arguments.take("group_by") is not None and not name.endswith(("increasing", "decreasing")):
        raise refused(f"group_by of {name}", arguments.place, "the table as a whole")
    entries.pop("row_condition", None)
    if name == "expression_is_true":
        inner = Arguments(name, Mapped(arguments.place, entries))
        rule = _expression(inner, column, tables)
    else:
        if column:
            entries.setdefault("column", Scalar(arguments.place, column, column))
        if "compare_model" in entries and isinstance(model := entries["compare_model"], Scalar):
            found = _table_named(model.text, arguments, tables)
            entries["compare_model"] = replace(model, text=found, value=found)
        inner = Arguments(name, Mapped(arguments.place, {key: node for key, node in entries.items() if key not in _TAKEN}))
        rule = expectation(name, inner, tables)
        if name.endswith("_exist") or not column:
            inner.skip("column")
    arguments.skip(*arguments.node.entries)
    inner.done()
    return replace(rule, where=where)


_TAKEN = ("name", "where", "severity", "warn_if", "error_if", "description", "row_condition", *_CONFIG)


def _of_column(arguments: Arguments, column: str) -> str:
    if not column:
        raise malformed(f"{arguments.what} is about a column", arguments.place, expected="it under `columns`, or column_name: NAME")
    return column


def _plain(kind: str) -> Callable[[Arguments, str, Tables], RuleSpec]:
    return lambda arguments, column, _: RuleSpec(kind, (_of_column(arguments, column),))


def _values(kind: str) -> Callable[[Arguments, str, Tables], RuleSpec]:
    def made(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
        if not arguments.flag("quote", default=True):
            # Without quotes dbt writes the values as SQL; a number is the same either way.
            values = arguments.values("values")
            if any(isinstance(value, str) and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) for value in values):
                raise arguments.refused("values, not SQL")
            numbers = [(float(value) if "." in value else int(value)) if isinstance(value, str) else value for value in values]
            return RuleSpec(kind, (_of_column(arguments, column),), {"values": numbers})
        values = arguments.values("values")
        if not values or None in values:
            raise arguments.wrong("values", "a list of values")
        return RuleSpec(kind, (_of_column(arguments, column),), {"values": values})

    return made


def _relationship(arguments: Arguments, column: str, tables: Tables) -> RuleSpec:
    table, field = _table_named(arguments.need("to"), arguments, tables), arguments.need("field")
    where = arguments.text("from_condition")
    if arguments.text("to_condition") not in ("", "1=1"):
        raise arguments.refused("no to_condition: every row of the parent counts")
    where = "" if where == "1=1" else where
    return RuleSpec("foreign_key", (_of_column(arguments, column),), {"references": table, "columns": [field]}, where=where)


def _expression(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
    return sql_rule(f"{quoted(column)} {arguments.need('expression')}" if column else arguments.need("expression"), arguments.place)


def _range(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
    strict = not arguments.flag("inclusive", default=True)
    bounds = Bounds(arguments.bound("min_value"), arguments.bound("max_value"), strict, strict)
    if bounds.low is None and bounds.high is None:
        raise malformed(f"{arguments.what} has no bound", arguments.place, expected="min_value, max_value or both")
    name = _of_column(arguments, column)
    texts = [value for value in (bounds.low, bounds.high) if isinstance(value, str)]
    if not texts:
        return RuleSpec("range", (name,), bounds.arguments())
    # A text is SQL to dbt: a literal in quotes, a column, or any expression.
    parts = [f"{quoted(name)} >{'' if strict else '='} {_sql(bounds.low)}"] if bounds.low is not None else []
    parts += [f"{quoted(name)} <{'' if strict else '='} {_sql(bounds.high)}"] if bounds.high is not None else []
    return sql_rule(" AND ".join(parts), arguments.place)


def _sql(value: object) -> str:
    return f"({value})" if isinstance(value, str) else spelled(value)


def _share(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
    least, most = arguments.number("at_least"), arguments.number("at_most")
    if most not in (None, 1) or least is None or not 0 <= least <= 1:
        raise arguments.refused("at_least, from 0 to 1, without at_most")
    return RuleSpec("not_null", (_of_column(arguments, column),), at_least=float(least))


def _combination(arguments: Arguments, _column: str, _: Tables) -> RuleSpec:
    arguments.skip("quote_columns")
    return RuleSpec("unique", arguments.texts("combination_of_columns"))


def _not_empty(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
    name = _of_column(arguments, column)
    if arguments.flag("trim_whitespace", default=True):
        return sql_rule(f"trim({quoted(name)}) <> ''", arguments.place)
    return RuleSpec("length", (name,), {"min": 1})


def _recency(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
    field, part, count = arguments.text("field") or column, arguments.need("datepart"), arguments.number("interval")
    arguments.flag("ignore_time_component")
    if part not in _PERIODS or not isinstance(count, int) or count < 1:
        raise arguments.refused(f"a datepart of {', '.join(_PERIODS)}, and a whole interval")
    if arguments.take("group_by_columns"):
        raise arguments.refused("the table as a whole")
    return RuleSpec("freshness", (_of_column(arguments, field),), {"max": f"{count}{_PERIODS[part]}"})


def _same_count(arguments: Arguments, _column: str, tables: Tables) -> RuleSpec:
    if arguments.take("group_by_columns"):
        raise arguments.refused("the table as a whole")
    other = _table_named(arguments.need("compare_model"), arguments, tables)
    return RuleSpec("aggregate_match", (), {"function": "count", "table": other, "tolerance": 0})


def _some(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
    if arguments.take("group_by_columns"):
        raise arguments.refused("the table as a whole")
    return RuleSpec("distinct_count", (_of_column(arguments, column),), {"min": 1})


def _sequence(arguments: Arguments, column: str, _: Tables) -> RuleSpec:
    step, per = arguments.number("interval"), arguments.take("group_by_columns")
    if arguments.text("datepart"):
        raise arguments.refused("whole numbers, without a datepart")
    if per is not None and not (isinstance(per, list) and all(isinstance(one, str) for one in per)):
        raise arguments.wrong("group_by_columns", "a list of columns")
    if step is not None and (not isinstance(step, int) or step < 1):
        raise arguments.refused("a whole interval from 1")
    said: dict[str, object] = {"step": step or 1}
    return RuleSpec("sequence", (_of_column(arguments, column),), said | ({"per": per} if per else {}))


def _constraint(node: Mapped, column: str, tables: Tables) -> tuple[RuleSpec, ...]:
    kind = node.text("type")
    arguments = Arguments(f"the constraint {kind}", node)
    _no_jinja(node, kind)
    arguments.skip("type", "name", "warn_unenforced", "warn_unsupported")
    columns = (column,) if column else arguments.texts("columns") if "columns" in node.entries else ()
    match kind:
        case "not_null" if columns:
            rules = tuple(RuleSpec("not_null", (one,), place=node.place) for one in columns)
        case "unique" | "primary_key" if columns:
            rules = (RuleSpec(kind, columns, place=node.place),)
        case "check":
            rules = (sql_rule(arguments.need("expression"), node.place),)
        case "foreign_key" if columns and "to" in node.entries:
            table = _table_named(arguments.need("to"), arguments, tables)
            said = {"references": table, "columns": list(arguments.texts("to_columns"))}
            rules = (RuleSpec("foreign_key", columns, said, place=node.place),)
        case _:
            raise arguments.refused("not_null, unique, primary_key, check, or foreign_key with `to` and `to_columns`")
    arguments.done()
    return rules


def _freshness(table: Mapped, source: Mapped) -> Iterator[RuleSpec]:
    """Read how old the newest row may be: the table's own word, or its source's, in `config` or beside it."""
    levels = [level for one in (table, source) for level in (one, one.mapping("config"))]
    holder = next((level for level in levels if "freshness" in level.entries), None)
    column = next((level.text("loaded_at_field") for level in levels if level.text("loaded_at_field")), "")
    if holder is None or not isinstance(said := holder.entries["freshness"], Mapped):
        return
    arguments = Arguments("freshness", said)
    where = arguments.text("filter")
    after = {word: arguments.node_of(word) for word in ("error_after", "warn_after")}
    arguments.done()
    for word, node in after.items():
        if isinstance(node, Mapped):
            if not re.fullmatch(r"\w+", column, re.ASCII):
                raise arguments.refused("loaded_at_field with the name of a column")
            yield _aged(node, word, column, where)


def _aged(node: Mapped, word: str, column: str, where: str) -> RuleSpec:
    arguments = Arguments(word, node)
    count, period = arguments.number("count"), arguments.need("period")
    arguments.done()
    if not isinstance(count, int) or count < 1 or period not in _PERIODS:
        raise malformed(f"{word} is no age", node.place, expected=f"count: N, period: {' or '.join(_PERIODS)}")
    warns = word == "warn_after"
    name = f"freshness:{column}:warn" if warns else ""
    severity = Severity.WARN if warns else Severity.BLOCK
    maximum = {"max": f"{count}{_PERIODS[period]}"}
    return RuleSpec("freshness", (column,), maximum, severity=severity, where=where, name=name, place=node.place)


_NO_KIND = "no rule measures that; write it as `query` under `checks`"
REFUSED: Mapping[str, str] = {
    f"dbt_utils.{name}": why
    for name, why in {
        "equality": "write it as `matches_reference`, which needs the key",
        "fewer_rows_than": "only equal counts",
        "not_constant": "it also passes where there is no value; write distinct_count: {min: 2} if that may not be",
        "cardinality_equality": _NO_KIND,
        "mutually_exclusive_ranges": _NO_KIND,
    }.items()
}
_TESTS: Mapping[str, Callable[[Arguments, str, Tables], RuleSpec]] = {
    "not_null": _plain("not_null"),
    "unique": _plain("unique"),
    "accepted_values": _values("accepted_values"),
    "relationships": _relationship,
    "dbt_utils.accepted_range": _range,
    "dbt_utils.at_least_one": _some,
    "dbt_utils.equal_rowcount": _same_count,
    "dbt_utils.expression_is_true": _expression,
    "dbt_utils.not_accepted_values": _values("rejected_values"),
    "dbt_utils.not_empty_string": _not_empty,
    "dbt_utils.not_null_proportion": _share,
    "dbt_utils.recency": _recency,
    "dbt_utils.relationships_where": _relationship,
    "dbt_utils.sequential_values": _sequence,
    "dbt_utils.unique_combination_of_columns": _combination,
}
