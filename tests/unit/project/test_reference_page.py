from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limnos.project import words
from limnos.project.shape import Key, Later, ListOf, MapOf, OneOf, Record, Shape
from limnos.project.words import LATER_SECTIONS, LATER_SOURCE_TABLE_WORDS, LATER_TABLE_WORDS

PAGE = (Path(__file__).parents[3] / "docs/reference/project-file.md").read_text(encoding="utf-8")


def _keys(shape: Shape) -> Iterator[tuple[str, Key]]:
    match shape:
        case Record():
            for name, key in shape.keys.items():
                yield name, key
                yield from _keys(key.shape)
        case ListOf():
            yield from _keys(shape.item)
        case MapOf():
            yield from _keys(shape.value)
        case OneOf():
            for option in shape.shapes:
                yield from _keys(option)


KEYS = sorted({(name, key.doc) for name, key in _keys(words.PROJECT) if key.doc and not isinstance(key.shape, Later)})


@pytest.mark.parametrize(("name", "doc"), KEYS)
def test_every_word_stands_on_the_page_with_its_meaning(name: str, doc: str) -> None:
    environments = name in words.ENVIRONMENT.keys and doc == words.ENVIRONMENT.keys[name].doc
    assert environments or name in ("column", "columns") or f"`{name}` | {doc}" in PAGE


@pytest.mark.parametrize("name", [*LATER_SECTIONS, *LATER_SOURCE_TABLE_WORDS, *LATER_TABLE_WORDS])
def test_what_is_not_available_is_said_to_be_so(name: str) -> None:
    (paragraph,) = [part for part in PAGE.split("\n\n") if part.startswith("Not available yet")]
    assert f"`{name}`" in paragraph
