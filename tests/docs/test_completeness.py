"""The docs name all there is: a rule, source, error, verb, option, system table or dependency without its words fails here."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click
import pyarrow as pa
import pytest

from limnos.apps.cli.explain import pages
from limnos.apps.cli.main import VERBS, limnos
from limnos.errors import catalogue
from limnos.ledger import readings
from limnos.quality.rules import KINDS

ROOT = Path(__file__).parents[2]
RULES = sorted(KINDS)
SOURCES = sorted(entry.name for entry in entry_points(group="limnos.sources") if entry.value.startswith("limnos."))


def page_of(name: str, shelf: str) -> str:
    where, page = pages()[name]
    assert where == shelf
    return page.read_text(encoding="utf-8")


def test_there_are_rules_and_sources_to_document() -> None:
    assert len(RULES) >= 11
    assert {"files", "postgres", "sqlite"} <= set(SOURCES)


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_has_a_page_with_an_example(kind: str) -> None:
    page = page_of(kind, "rules")
    assert page.startswith(f"# {kind}\n")
    assert "```yaml" in page


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_a_page_that_names_its_options(name: str) -> None:
    (entry,) = entry_points(group="limnos.sources", name=name)
    page = page_of(name, "sources")
    assert page.startswith(f"# {name}\n")
    assert [option.name for option in entry.load().options if f"`{option.name}`" not in page] == []


@pytest.mark.parametrize("slug", sorted(catalogue()))
def test_every_error_has_a_page_with_its_exit_code(slug: str) -> None:
    page = page_of(slug, "errors")
    assert page.startswith(f"# {slug}\n")
    assert f"Exit code {catalogue()[slug].exit_code}." in page
    assert "hint: " in page


def test_no_page_is_about_something_that_does_not_exist() -> None:
    known = {"rules": {*RULES, "type"}, "sources": set(SOURCES), "errors": set(catalogue())}
    assert [name for name, (shelf, _) in pages().items() if name not in known.get(shelf, {name})] == []


def test_the_pages_that_are_explained_are_the_pages_of_the_site() -> None:
    for shelf in ("rules", "sources", "errors", "topics"):
        assert (ROOT / "docs" / shelf).resolve() == ROOT / "src/limnos/pages" / shelf


def test_every_page_that_a_hint_or_page_names_exists() -> None:
    texts = [
        path
        for folder in ("src", "docs", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md", ".sh", ".yml"}
    ]
    named = {name for path in texts for name in re.findall(r"limnos explain ([a-z_-]+[a-z])", path.read_text(encoding="utf-8"))}
    assert "types" in named
    assert {name for name in named if name not in pages() and name.replace("_", "-") not in pages()} == set()


def verbs() -> list[tuple[str, click.Command]]:
    context = click.Context(limnos)
    found: list[tuple[str, click.Command]] = []
    for name in VERBS:
        command = limnos.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), verbs())
def test_every_verb_and_option_says_what_it_does(name: str, command: click.Command) -> None:
    assert command.help, name
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []
    if not isinstance(command, click.Group):
        assert "json" in {option.name for option in command.params}


def test_the_verbs_are_listed_as_they_describe_themselves() -> None:
    described = {name: (command.help or "").splitlines()[0] for name, command in verbs() if " " not in name}
    assert set(described) == set(VERBS)


@pytest.mark.parametrize(("table", "schema"), [("runs", readings.RUNS), ("verdicts", readings.VERDICTS), ("events", readings.EVENTS)])
def test_every_system_table_is_described_with_all_its_columns(table: str, schema: pa.Schema) -> None:
    section = page_of("system-tables", "topics").split(f"## system.{table}\n")[1].split("\n## ")[0]
    assert [name for name in schema.names if f"`{name}`" not in section] == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    names = {re.split(r"[\[<>=~ ]", requirement)[0].lower() for group in groups for requirement in group}
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    assert described == names


def test_the_locks_name_no_index_and_no_path_of_a_machine() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"://|--index|--find-links|(^|\s)/\w", text), lock.name


def test_the_runtime_lock_is_part_of_the_test_lock() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements" / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("runtime.txt") | pins("build.txt") <= pins("test.txt")
