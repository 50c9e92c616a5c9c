"""The JSON Schema of limnos.yml, made from the words that the reader itself uses."""

from __future__ import annotations

from collections.abc import Mapping

from limnos.model.project import Option
from limnos.project.shape import json_schema, record_schema
from limnos.project.words import PROJECT, SOURCE, SOURCE_TABLE


def schema(options: Mapping[str, tuple[Option, ...]]) -> dict[str, object]:
    """Write the JSON Schema, draft 2020-12, given the options of each source type; equal input gives equal text.

    Examples:
        >>> sorted(schema({"sqlite": (Option("path", required=True),)})["$defs"])
        ['sqlite']
    """
    whole = json_schema(PROJECT)
    properties = whole["properties"]
    if isinstance(properties, dict):
        kinds = sorted(options)
        properties["sources"]["additionalProperties"] = {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": kinds}},
            "allOf": [{"if": {"properties": {"type": {"const": kind}}}, "then": {"$ref": f"#/$defs/{kind}"}} for kind in kinds],
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "limnos.yml",
        **whole,
        "$defs": {kind: _source(options[kind]) for kind in sorted(options)},
    }


def _source(options: tuple[Option, ...]) -> dict[str, object]:
    table = record_schema(SOURCE_TABLE) | {"additionalProperties": False}
    _add(table, tuple(option for option in options if option.per_table))
    source = record_schema(SOURCE) | {"additionalProperties": False}
    _add(source, tuple(option for option in options if not option.per_table))
    source["properties"]["tables"]["anyOf"][1]["additionalProperties"] = {"anyOf": [table, {"type": "null"}]}  # type: ignore[index]
    return source


def _add(schema: dict[str, object], options: tuple[Option, ...]) -> None:
    properties, required = schema["properties"], schema.setdefault("required", [])
    for option in options:
        shape: dict[str, object] = {"type": option.kind}
        shape |= {"enum": list(option.choices)} if option.choices else {}
        shape |= {"description": option.description} if option.description else {}
        shape |= {"default": option.default} if option.default is not None else {}
        properties[option.name] = shape  # type: ignore[index]
        if option.required:
            required.append(option.name)  # type: ignore[attr-defined]
    if not required:
        del schema["required"]
