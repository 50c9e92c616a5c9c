"""ODCS v3 contracts: columns, keys and rules of tables, from the open standard's own files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from limnos.errors import LimnosError, ProjectInvalid
from limnos.model.contract import Column, Partition, RuleSpec
from limnos.model.names import TableName
from limnos.model.place import Place
from limnos.model.project import TableConfig
from limnos.model.types import parse_type
from limnos.project.nodes import Mapped, Node, invalid
from limnos.project.odcs_quality import quality_rule
from limnos.project.odcs_words import CONTRACT, PROPERTY
from limnos.project.shape import check, located, nearest

_LOGICAL = {"string": "string", "date": "date", "time": "time", "number": "double", "integer": "long", "boolean": "boolean"}
_FORMATS = {
    "i8": "int",
    "i16": "int",
    "i32": "int",
    "i64": "long",
    "u8": "int",
    "u16": "int",
    "u32": "long",
    "f32": "float",
    "f64": "double",
}
_UNCHECKED_OPTIONS = (
    *("multipleOf", "minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties", "required"),
)
_BOUNDS = (
    ("range", "minimum", "maximum"),
    ("range", "exclusiveMinimum", "exclusiveMaximum"),
    ("length", "minLength", "maxLength"),
)
_ONLY_AT_THE_TOP = ("required", "unique", "primaryKey", "partitioned", "enum", "relationships", "quality")


def read_contracts(files: Sequence[Node]) -> tuple[TableConfig, ...]:
    """Read all contracts of a project together: a relationship may lead from one to another.

    Raises:
        ProjectInvalid: If one is not an ODCS v3 contract, or holds a rule that cannot be checked.
    """
    schemas: list[tuple[Mapped, str]] = []
    for file in files:
        check(file, CONTRACT)
        if isinstance(file, Mapped):
            schemas += [(schema, _owner(file)) for schema in file.mappings("schema")]
    tables: dict[str, str] = {}
    for schema, _ in schemas:
        for name in (schema.text("physicalName"), schema.text("name")):
            tables[name] = (
                "" if tables.get(name, schema.text("physicalName")) != schema.text("physicalName") else schema.text("physicalName")
            )
    return tuple(_table(schema, owner, tables) for schema, owner in schemas)


def _owner(contract: Mapped) -> str:
    team = contract.mapping("team")
    members = contract.mappings("team") or team.mappings("members")
    owners = [member.text("username") for member in members if member.text("role").lower() == "owner"]
    return team.text("name") or next(iter(owners), "")


def _table(schema: Mapped, owner: str, tables: Mapping[str, str]) -> TableConfig:
    properties = schema.mappings("properties")
    columns = tuple(_column(node) for node in properties)
    seen: dict[str, Place] = {}
    for column, node in zip(columns, properties, strict=True):
        if column.name in seen:
            raise invalid(
                f"The column {column.name!r} is given twice", node.place, seen=f"first on line {seen[column.name].line}", expected="once"
            )
        seen[column.name] = node.place
    keyed = sorted((node.value("primaryKeyPosition") or 0, _name(node)) for node in properties if node.value("primaryKey"))
    key = tuple(name for _, name in keyed)
    split = sorted((node.value("partitionKeyPosition") or 0, _name(node)) for node in properties if node.value("partitioned"))
    rules = [RuleSpec("primary_key", key, place=schema.place)] if key else []
    for node in properties:
        rules += _rules(node, schema, tables)
    rules += [_reference(link, "", schema, tables) for link in schema.mappings("relationships")]
    rules += [rule for quality in schema.mappings("quality") for rule in quality_rule(quality, "")]
    return TableConfig(
        TableName.parse(schema.text("physicalName")),
        columns,
        declared=bool(columns),
        key=key,
        rules=tuple(rules),
        partitions=tuple(Partition(name) for _, name in split),
        owner=owner,
        description=schema.text("description"),
        place=schema.place,
    )


def _name(node: Mapped) -> str:
    name = node.text("physicalName") or node.text("name")
    if not name:
        raise invalid("A property has no name", node.place, expected="name: NAME")
    return name


def _column(node: Mapped) -> Column:
    name = _name(node)
    if node.text("semanticType") not in ("", "column"):
        raise _uncompiled(f"semanticType: {node.text('semanticType')}", node.place_of("semanticType"))
    return Column(name, _type(node, name), bool(node.value("required")), node.text("description"), node.text("classification"))


def _uncompiled(what: str, place: Place) -> ProjectInvalid:
    return invalid(f"{what!r} of an ODCS contract cannot be checked", place, seen=what, expected="a check under `tables:` in limnos.yml")


def _type(node: Mapped, name: str) -> pa.DataType:
    """Read a type: the physical one if it is given, else the logical one with its options."""
    logical, options = node.text("logicalType"), node.mapping("logicalTypeOptions")
    if spelled := node.text("physicalType"):
        try:
            return parse_type(spelled)
        except LimnosError as error:
            raise located(error, node.place_of("physicalType")) from error
    if logical == "timestamp":
        return parse_type("timestamptz" if options.value("timezone") else "timestamp")
    if logical in ("integer", "number") and "format" in options.entries:
        if options.text("format") not in _FORMATS:
            raise invalid(
                f"The column {name!r} has no type that fits",
                options.place_of("format"),
                seen=options.text("format"),
                expected=", ".join(_FORMATS),
            )
        return parse_type(_FORMATS[options.text("format")])
    if logical in _LOGICAL:
        return parse_type(_LOGICAL[logical])
    match logical:
        case "array" if "items" in node.entries:
            return pa.list_(pa.field("element", _nested(node.mapping("items"), name)))
        case "map":
            both = node.mapping("map")
            return pa.map_(_nested(both.mapping("key"), name), _nested(both.mapping("value"), name))
        case "object" if "properties" in node.entries:
            return pa.struct([pa.field(_name(part), _nested(part, name)) for part in node.mappings("properties")])
        case _:
            raise invalid(
                f"The column {name!r} has no type",
                node.place,
                seen=logical or "neither",
                expected="physicalType, or logicalType with its parts",
            )


def _nested(node: Mapped, name: str) -> pa.DataType:
    check(node, PROPERTY, name)
    for word in (*_ONLY_AT_THE_TOP, "logicalTypeOptions"):
        inert = word == "logicalTypeOptions" and set(node.mapping(word).entries) <= {"format", "timezone", "defaultTimezone"}
        if word in node.entries and node.value(word) is not False and not inert:
            raise _uncompiled(f"{word} inside {name}", node.place_of(word))
    return _type(node, name)


def _rules(node: Mapped, schema: Mapped, tables: Mapping[str, str]) -> Iterator[RuleSpec]:
    name = _name(node)
    for word, kind in (("required", "not_null"), ("unique", "unique")):
        if node.value(word):
            yield RuleSpec(kind, (name,), place=node.place_of(word))
    yield from _option_rules(node.mapping("logicalTypeOptions"), name)
    if "enum" in node.entries:
        values = [entry.value("value") for entry in node.mappings("enum")]
        yield RuleSpec("accepted_values", (name,), {"values": values}, place=node.place_of("enum"))
    yield from (_reference(link, name, schema, tables) for link in node.mappings("relationships"))
    for quality in node.mappings("quality"):
        yield from quality_rule(quality, name)


def _option_rules(options: Mapped, name: str) -> Iterator[RuleSpec]:
    for word in _UNCHECKED_OPTIONS:
        if word in options.entries:
            raise _uncompiled(word, options.place_of(word))
    for kind, least, most in _BOUNDS:
        given = {word: options.value(option) for word, option in (("min", least), ("max", most)) if option in options.entries}
        if given and least.startswith("exclusive"):
            yield RuleSpec(kind, (name,), given | {"exclusive": True}, name=f"{kind}:{name}:exclusive", place=options.place)
        elif given:
            yield RuleSpec(kind, (name,), given, place=options.place)
    if "pattern" in options.entries:
        yield RuleSpec("regex", (name,), {"pattern": options.text("pattern")}, place=options.place_of("pattern"))


def _reference(link: Mapped, column: str, schema: Mapped, tables: Mapping[str, str]) -> RuleSpec:
    """Read a relationship: `table.column`, by the table's name in any contract, or its name in the lake."""
    own = schema.text("physicalName")
    if column:
        if "from" in link.entries:
            raise invalid(
                "A relationship under a property leads from that property", link.place_of("from"), seen="from", expected="only `to`"
            )
        columns: tuple[str, ...] = (column,)
    else:
        if "from" not in link.entries:
            raise invalid("A relationship of a table has no 'from'", link.place, expected="from: table.column")
        columns = tuple(_end(link, "from", text, tables)[1] for text in link.texts("from"))
        if any(_end(link, "from", text, tables)[0] != own for text in link.texts("from")):
            raise invalid(
                "A relationship leads from another table",
                link.place_of("from"),
                seen=", ".join(link.texts("from")),
                expected=f"columns of {own}",
            )
    ends = [_end(link, "to", text, tables) for text in link.texts("to")]
    if len({table for table, _ in ends}) != 1 or len(ends) != len(columns):
        raise invalid(
            "A relationship pairs each column with one column of one table",
            link.place_of("to"),
            seen=", ".join(link.texts("to")),
            expected="one each",
        )
    return RuleSpec("foreign_key", columns, {"references": ends[0][0], "columns": [parent for _, parent in ends]}, place=link.place)


def _end(link: Mapped, word: str, text: str, tables: Mapping[str, str]) -> tuple[str, str]:
    table, _, column = text.rpartition(".")
    if "/" in text or not table:
        raise invalid(f"{text!r} does not name a column", link.place_of(word), seen=text, expected="table.column")
    if not (found := tables.get(table, "")):
        seen = f"{table} in several namespaces" if table in tables else table
        raise invalid(
            f"No contract is about a table {table}",
            link.place_of(word),
            seen=seen,
            expected=nearest(table, (t for t in tables if tables[t])),
        )
    return found, column
