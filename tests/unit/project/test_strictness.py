"""Real project files, changed at random: what comes out is a project or an error of ours, and no misspelt word is ever ignored."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import limnos.examples
from limnos.errors import LimnosError, ProjectInvalid, RequestError
from limnos.project import check_options, load_project
from limnos.project.nodes import Listed, Mapped, Node, read_nodes

FLIGHTS = Path(limnos.examples.__file__).parent / "flights"
FILES = ("limnos.yml", *(f"contracts/{path.name}" for path in sorted((FLIGHTS / "contracts").iterdir())))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("strict")
    shutil.copy(FLIGHTS / "limnos.yml", root)
    shutil.copytree(FLIGHTS / "contracts", root / "contracts")
    load_project(root)
    return root


def _changed(directory: Path, name: str, text: str) -> LimnosError | None:
    whole = (FLIGHTS / name).read_text()
    (directory / name).write_text(text)
    try:
        for source in load_project(directory).sources:
            check_options(source, OPTIONS.get(source.type, ()))
    except LimnosError as error:
        return error
    finally:
        (directory / name).write_text(whole)
    return None


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_file_cut_or_changed_anywhere_gives_a_project_or_an_error_with_a_place(directory: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    text = (FLIGHTS / name).read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    error = _changed(directory, name, text[:start] + data.draw(st.text(max_size=10)) + text[end:])
    assert error is None or (isinstance(error, RequestError) and re.match(r"limnos\.yml|contracts/", error.subject))


def _keys(node: Node) -> Iterator[tuple[str, int]]:
    if isinstance(node, Mapped):
        for key, value in node.entries.items():
            yield key, value.place.line
            yield from _keys(value)
    elif isinstance(node, Listed):
        for item in node.items:
            yield from _keys(item)


KEYS = sorted({(name, key, line) for name in FILES for key, line in _keys(read_nodes(FLIGHTS / name, name))})
OPTIONS = {point.name: point.load().options for point in entry_points(group="limnos.sources")}
# These are names that the user chose.
CHOSEN = {"ops", "reference", "airports", "weather", "flights", "planes", "airlines"}


@pytest.mark.parametrize(("name", "key", "line"), [entry for entry in KEYS if entry[1] not in CHOSEN])
def test_every_word_of_the_example_is_an_error_when_it_is_misspelt(directory: Path, name: str, key: str, line: int) -> None:
    lines = (FLIGHTS / name).read_text().splitlines()
    lines[line - 1] = re.sub(rf"(?<![\w.]){re.escape(key)}:", f"{key}x:", lines[line - 1], count=1)
    error = _changed(directory, name, "\n".join(lines))
    assert isinstance(error, ProjectInvalid)
    if error.what.startswith("Unknown"):
        assert (error.subject, error.seen) == (f"{name}:{line}", f"{key}x")
