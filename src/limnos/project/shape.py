"""Shapes that a part of a project file may have: one description, from which it is checked and its JSON Schema is made."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from limnos.errors import LimnosError, ProjectInvalid, Unsupported
from limnos.model.place import Place
from limnos.project.nodes import Listed, Mapped, Node, Scalar, invalid


@dataclass(frozen=True, slots=True)
class Text:
    """A text: any, one of `choices`, or one that matches `pattern`; `later` are choices of a version to come; `hidden` is never shown."""

    pattern: str = ""
    choices: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    hidden: bool = False
    words: str = "a text"


@dataclass(frozen=True, slots=True)
class Number:
    """A number, whole or not, between bounds that may themselves be reached."""

    whole: bool = False
    minimum: float | None = None
    maximum: float | None = None
    words: str = "a number"


@dataclass(frozen=True, slots=True)
class Flag:
    """A truth value."""

    words: str = "true or false"


@dataclass(frozen=True, slots=True)
class Value:
    """Any scalar but nothing."""

    words: str = "a text, number or truth value"


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever it is: read by somebody else, or documentation."""

    words: str = "anything"


@dataclass(frozen=True, slots=True)
class Nothing:
    """A key without a value."""

    words: str = "nothing"


@dataclass(frozen=True, slots=True)
class Later:
    """A part of the design that this version does not have."""

    words: str = "not available in this version"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, not empty."""

    item: Shape
    words: str = "a list"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from names that the user chooses; `key` is a pattern."""

    value: Shape
    key: str = ""
    words: str = "a mapping"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a record."""

    shape: Shape
    doc: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys, exactly one of `one_of` among them; `rest` is the shape of every other key, without it there are none."""

    keys: Mapping[str, Key]
    rest: Shape | None = None
    one_of: tuple[str, ...] = ()
    words: str = "a mapping"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several shapes, of which at most one fits a list and at most one a mapping."""

    shapes: tuple[Shape, ...]

    @property
    def words(self) -> str:
        """All of them, in words."""
        return " or ".join(shape.words for shape in self.shapes)


Shape = Text | Number | Flag | Value | Anything | Nothing | Later | ListOf | MapOf | Record | OneOf


def nearest(word: str, known: Iterable[str]) -> str:
    """Say what was expected instead of a word that is not known: the nearest one, else all.

    Examples:
        >>> nearest("patition", ["partition", "checks"])
        'partition (did you mean this?)'
    """
    names = sorted(known)
    folded = {name.lower().replace("-", "_"): name for name in names}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1)
    return f"{folded[near[0]]} (did you mean this?)" if near else ", ".join(names)


def unavailable(word: str, place: Place) -> Unsupported:
    """Build the error for a part of the design that this version does not have."""
    return Unsupported(
        f"{word!r} is not available in this version",
        subject=str(place),
        seen=word,
        expected="a project without it",
        hint=f"remove {word!r} at {place}",
    )


def located(error: LimnosError, place: Place) -> ProjectInvalid:
    """Give an error the place of the declaration that caused it."""
    return invalid(error.what, place, seen=error.seen, expected=error.expected, hint=error.hint)


def check(node: Node, shape: Shape, path: str = "") -> None:
    """Compare a node with the shape it should have; `path` is its name in messages.

    Raises:
        ProjectInvalid: At the first difference.
        Unsupported: Where it uses what this version does not have.
    """
    match shape:
        case Anything():
            return
        case Later():
            raise unavailable(path.rpartition(".")[2], node.place)
        case OneOf():
            check(node, _fitting(node, shape, path), path)
        case ListOf():
            for item in _items(node, shape, path):
                check(item, shape.item, path)
        case MapOf():
            _check_names(node, shape, path)
        case Record():
            _check_record(node, shape, path)
        case _:
            _check_scalar(node, shape, path)


def _items(node: Node, shape: ListOf, path: str) -> tuple[Node, ...]:
    if isinstance(node, Listed) and node.items:
        return node.items
    raise _wrong(node, shape, path)


def _check_names(node: Node, shape: MapOf, path: str) -> None:
    if not isinstance(node, Mapped):
        raise _wrong(node, shape, path)
    for key, value in node.entries.items():
        if shape.key and not re.fullmatch(shape.key, key):
            raise invalid(f"{key!r} cannot be a name in {path}", value.place, seen=key, expected=f"a name like {shape.key}")
        check(value, shape.value, f"{path}.{key}")


def _check_record(node: Node, shape: Record, path: str) -> None:
    if not isinstance(node, Mapped):
        raise _wrong(node, shape, path)
    for key, value in node.entries.items():
        known = shape.keys.get(key)
        if known is None and shape.rest is None:
            where = f"in {path}" if path else "at the top of the file"
            raise invalid(f"Unknown key {key!r} {where}", value.place, seen=key, expected=nearest(key, available(shape)))
        check(value, known.shape if known else shape.rest or Anything(), f"{path}.{key}" if path else key)
    for key, known in shape.keys.items():
        if known.required and key not in node.entries:
            raise invalid(f"{path or 'The file'} has no {key!r}", node.place, expected=f"{key}: {known.shape.words}")
    given = [key for key in shape.one_of if key in node.entries]
    if shape.one_of and len(given) != 1:
        raise invalid(
            f"{path} needs exactly one of these", node.place, seen=" and ".join(given) or "none", expected=", ".join(shape.one_of)
        )


def available(shape: Record) -> tuple[str, ...]:
    """Name the keys of a record that can be used in this version."""
    return tuple(name for name, key in shape.keys.items() if not isinstance(key.shape, Later))


def _fitting(node: Node, shape: OneOf, path: str) -> Shape:
    """Choose by form, and among scalars the first that fits; a lone one with choices tells which is nearest."""
    if isinstance(node, Scalar):
        scalars = [option for option in shape.shapes if isinstance(option, Text | Number | Flag | Value | Nothing)]
        fitting: list[Shape] = [option for option in scalars if _fits(node, option)]
        fitting += [option for option in scalars if isinstance(option, Text) and option.choices]
    else:
        wanted = ListOf if isinstance(node, Listed) else Record | MapOf
        fitting = [option for option in shape.shapes if isinstance(option, wanted)]
    if not fitting:
        raise _wrong(node, shape, path)
    return fitting[0]


def _fits(node: Scalar, shape: Shape) -> bool:
    value = node.value
    match shape:
        case Text():
            known = not shape.choices or value in shape.choices
            return isinstance(value, str) and value != "" and known and (not shape.pattern or bool(re.fullmatch(shape.pattern, value)))
        case Number():
            right = isinstance(value, int if shape.whole else (int, float)) and not isinstance(value, bool)
            return right and (shape.minimum is None or value >= shape.minimum) and (shape.maximum is None or value <= shape.maximum)  # type: ignore[operator]
        case Flag():
            return isinstance(value, bool)
        case Value():
            return value is not None
        case Nothing():
            return value is None
        case _:
            return False


def _check_scalar(node: Node, shape: Shape, path: str) -> None:
    if isinstance(node, Scalar):
        if isinstance(shape, Text) and node.value in shape.later:
            raise unavailable(f"{path.rpartition('.')[2]}: {node.text}", node.place)
        if _fits(node, shape):
            return
    raise _wrong(node, shape, path)


def _wrong(node: Node, shape: Shape, path: str) -> ProjectInvalid:
    expected, seen = shape.words, node.form
    if isinstance(shape, Text) and shape.hidden:
        seen = "something else"
    elif isinstance(shape, Text) and isinstance(node, Scalar):
        if shape.choices:
            expected = nearest(node.text, shape.choices)
        elif isinstance(node.value, int | float):
            expected = f'{expected}: put it in quotes, as "{node.text}"'
    if isinstance(shape, ListOf) and isinstance(node, Listed):
        return invalid(f"{path} is empty", node.place, seen="an empty list", expected="at least one entry")
    return invalid(f"{path or 'The file'} has the wrong form", node.place, seen=seen, expected=expected)


def json_schema(shape: Shape) -> dict[str, object]:
    """Write a shape as JSON Schema, draft 2020-12."""
    match shape:
        case Later():
            return {"not": {}}
        case ListOf():
            return {"type": "array", "items": json_schema(shape.item), "minItems": 1}
        case MapOf():
            names: dict[str, object] = {"propertyNames": {"pattern": f"^(?:{shape.key})$"}} if shape.key else {}
            return {"type": "object", "additionalProperties": json_schema(shape.value), **names}
        case Record():
            return record_schema(shape)
        case OneOf():
            return {"anyOf": [json_schema(option) for option in shape.shapes]}
        case _:
            return _scalar_schema(shape)


def _scalar_schema(shape: Shape) -> dict[str, object]:
    match shape:
        case Text():
            limits: dict[str, object] = {"enum": list(shape.choices)} if shape.choices else {"minLength": 1}
            return {"type": "string", **limits, **({"pattern": f"^(?:{shape.pattern})$"} if shape.pattern else {})}
        case Number():
            bounds = {"minimum": shape.minimum, "maximum": shape.maximum}
            return {"type": "integer" if shape.whole else "number", **{name: bound for name, bound in bounds.items() if bound is not None}}
        case Flag():
            return {"type": "boolean"}
        case Value():
            return {"type": ["string", "number", "boolean"]}
        case Nothing():
            return {"type": "null"}
        case _:
            return {}


def record_schema(shape: Record) -> dict[str, object]:
    """Write a record as JSON Schema."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {
            name: {**json_schema(key.shape), **({"description": key.doc} if key.doc else {})} for name, key in shape.keys.items()
        },
        "additionalProperties": json_schema(shape.rest) if shape.rest else False,
    }
    if required := [name for name, key in shape.keys.items() if key.required]:
        schema["required"] = required
    if shape.one_of:
        schema["oneOf"] = [{"required": [name]} for name in shape.one_of]
    return schema
