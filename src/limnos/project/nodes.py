"""YAML as a tree that remembers where each part was written.

Scalars follow the core schema of YAML 1.2: only `true` and `false` are truth values, so `no`, `on` and `2013-01-01` stay texts.

Source: YAML 1.2.2, section 10.3 "Core Schema".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from limnos.errors import ProjectInvalid
from limnos.model.place import Place

_MOST_BYTES = 1024 * 1024
_MOST_NODES = 50_000
_MOST_DEPTH = 64
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PASSWORD = re.compile(r"(?i)((?<=://)[^/:@\s]*:)[^@\s]*(?=@)|(password\s*=\s*)\S+")


@dataclass(frozen=True, slots=True)
class Scalar:
    """Hold one scalar: its text, and what that text means (itself, if it was quoted)."""

    place: Place
    text: str
    value: str | int | float | bool | None
    size: int = 1

    @property
    def form(self) -> str:
        """What it is, in words."""
        if self.value is None:
            return "nothing"
        if isinstance(self.value, str):
            return f"the text {self.text!r}"
        return self.text


@dataclass(frozen=True, slots=True)
class Listed:
    """Hold a list."""

    place: Place
    items: tuple[Node, ...]
    size: int = 1
    form: str = "a list"


@dataclass(frozen=True, slots=True)
class Mapped:
    """Hold a mapping; each value's place is that of its key."""

    place: Place
    entries: Mapping[str, Node]
    size: int = 1
    form: str = "a mapping"

    def value(self, key: str) -> str | float | bool | None:
        """Give the scalar under a key; nothing if there is none."""
        node = self.entries.get(key)
        return node.value if isinstance(node, Scalar) else None

    def text(self, key: str) -> str:
        """Give the scalar under a key as it was written; empty if there is none."""
        node = self.entries.get(key)
        return node.text if isinstance(node, Scalar) and node.value is not None else ""

    def texts(self, key: str) -> tuple[str, ...]:
        """Give the scalar or the scalars under a key as they were written; empty if there are none."""
        node = self.entries.get(key)
        items = node.items if isinstance(node, Listed) else () if node is None else (node,)
        return tuple(item.text for item in items if isinstance(item, Scalar))

    def mapping(self, key: str) -> Mapped:
        """Give the mapping under a key; an empty one if there is none."""
        node = self.entries.get(key)
        return node if isinstance(node, Mapped) else Mapped(self.place, {})

    def mappings(self, key: str) -> tuple[Mapped, ...]:
        """Give the mappings in the list under a key; empty if there are none."""
        node = self.entries.get(key)
        return tuple(item for item in node.items if isinstance(item, Mapped)) if isinstance(node, Listed) else ()

    def place_of(self, key: str) -> Place:
        """Say where a key was written, or the mapping where it was not."""
        return self.entries[key].place if key in self.entries else self.place


Node = Scalar | Listed | Mapped


def masked(text: str) -> str:
    """Hide the password of an address or connection string.

    Examples:
        >>> masked("postgresql://ana:hunter2@localhost/shop")
        'postgresql://ana:***@localhost/shop'
    """
    return _PASSWORD.sub(r"\1\2***", text)


def plain(node: Node) -> Any:  # noqa: ANN401 whatever was written
    """Give a node as Python values, without places."""
    match node:
        case Scalar():
            return node.value
        case Listed():
            return [plain(item) for item in node.items]
        case Mapped():
            return {key: plain(value) for key, value in node.entries.items()}


def invalid(what: str, place: Place, *, seen: str = "", expected: str = "", hint: str = "limnos explain project") -> ProjectInvalid:
    """Build the error that points at a place in the project; a password in an address is hidden."""
    return ProjectInvalid(masked(what), subject=str(place), seen=masked(seen), expected=expected, hint=hint)


def read_nodes(path: Path, name: str) -> Node:
    """Read one YAML file as a tree; `name` is what errors call it.

    Raises:
        ProjectInvalid: If it cannot be read, is not YAML 1.2 in UTF-8 without tags, or is unreasonably large, deep or self-containing.
    """
    return parse_nodes(read_text(path, name), name)


def read_text(path: Path, name: str) -> str:
    """Read one file of at most 1 MiB in UTF-8; `name` is what errors call it.

    Raises:
        ProjectInvalid: If it cannot be read, is larger, or is something else.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        seen = error.strerror or type(error).__name__
        raise invalid(
            "A file of the project cannot be read", Place(name), seen=seen, expected="a readable file", hint=f"ls -l {name}"
        ) from error
    if len(raw) > _MOST_BYTES:
        raise invalid("A file of the project is too large", Place(name), seen="more than 1 MiB", expected="at most 1 MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(name, raw.count(b"\n", 0, error.start) + 1)
        raise invalid("A file of the project is not UTF-8", place, seen=f"byte 0x{raw[error.start]:02x}", expected="UTF-8") from error
    return text


def parse_nodes(text: str, name: str) -> Node:
    r"""Parse YAML text as a tree; `name` is what errors call its file.

    Raises:
        ProjectInvalid: As `read_nodes` does.

    Examples:
        >>> plain(parse_nodes("answer: no\nlimit: 5", "limnos.yml"))
        {'answer': 'no', 'limit': 5}
    """
    try:
        return _Builder(text, name).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        tab = "\t" in re.split(r"[^\s-]", [*text.split("\n"), ""][line], maxsplit=1)[0]
        raise invalid(
            "The file is not YAML",
            Place(name, line + 1),
            seen="a tab before the first word" if tab else error.problem or "an error",
            expected="spaces for indentation" if tab else "YAML",
        ) from error
    except yaml.reader.ReaderError as error:
        place = Place(name, text.encode()[: error.position].count(b"\n") + 1)
        raise invalid(
            "The file is not YAML", place, seen=f"a control character, 0x{error.character:02x}", expected="printable text"
        ) from error


class _Builder:
    """Build the tree from parser events, so that depth and aliases are bounded before anything is built."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._events: Iterator[Any] = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._anchors: dict[str, Node | None] = {}

    def document(self) -> Node:
        node: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if node is not None:
                    raise invalid("The file holds more than one document", self._place(event), seen="---", expected="one document")
                node = self._node(next(self._events), 0)
        if node is None:
            raise invalid("The file is empty", Place(self._name), expected="a mapping")
        return node

    def _place(self, event: Any) -> Place:  # noqa: ANN401 the kinds of events share no type with all of this
        return Place(self._name, event.start_mark.line + 1)

    def _node(self, event: Any, depth: int) -> Node:  # noqa: ANN401 as above
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place)
        if event.tag is not None:
            raise invalid("A YAML tag cannot be read", place, seen=str(event.tag), expected="a plain value")
        if depth > _MOST_DEPTH:
            raise invalid("The file is nested too deeply", place, expected=f"at most {_MOST_DEPTH} levels")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(place, event.value, event.value if event.style else _meaning(event.value))
        elif isinstance(event, yaml.SequenceStartEvent):
            items = tuple(self._items(depth))
            node = Listed(place, items, 1 + sum(item.size for item in items))
        else:
            entries = self._entries(depth)
            node = Mapped(place, entries, 1 + sum(value.size for value in entries.values()))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if node.size > _MOST_NODES:
            raise invalid("The file is too large once its aliases are followed", place, expected=f"at most {_MOST_NODES:,} values")
        return node

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> Mapping[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise invalid("A key is not a plain word", place, seen="a list, mapping or alias", expected="a word")
            key = str(event.value)
            if key == "<<" and not event.style:
                raise invalid("A YAML merge key cannot be read", place, seen="<<", expected="the keys themselves")
            value = self._node(next(self._events), depth + 1)
            if key in entries:
                raise invalid(
                    f"The key {key!r} is given twice", place, seen=f"first on line {entries[key].place.line}", expected="each key once"
                )
            entries[key] = replace(value, place=place)
        return entries

    def _alias(self, anchor: str, place: Place) -> Node:
        node = self._anchors.get(anchor)
        if node is None:
            circular = anchor in self._anchors
            what = f"The alias *{anchor} contains itself" if circular else f"The alias *{anchor} has no anchor"
            raise invalid(
                what, place, seen=f"*{anchor}", expected="an alias of what ends before it" if circular else f"&{anchor} before it"
            )
        return node


def _meaning(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and len(text) < 40:
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return text
