"""The generated pages of the reference are current; `LIMNOS_REWRITE=1` writes them anew."""

from __future__ import annotations

import inspect
import os
import re
from functools import cached_property
from pathlib import Path

import click
import pytest

import limnos
from limnos.apps.cli.main import VERBS
from limnos.apps.cli.main import limnos as command_line

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def current(page: str, text: str) -> None:
    path = REFERENCE / page
    if os.environ.get("LIMNOS_REWRITE"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run LIMNOS_REWRITE=1 make test, and read the difference"


def helped(command: click.Command, path: str, parent: click.Context | None, depth: int) -> list[str]:
    context = click.Context(
        command, info_name=path.rpartition(" ")[2], parent=parent, max_content_width=100, help_option_names=["-h", "--help"]
    )
    context.terminal_width = 100
    parts = [f"{'#' * depth} {path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            parts += helped(inner, f"{path} {name}", context, min(depth + 1, 3))
    return parts


def test_the_command_line_page_is_what_help_prints() -> None:
    intro = "This page is what `--help` prints. See also [exit codes](../topics/exit-codes.md) and [output](../topics/output.md)."
    text = "\n".join([f"# Command line\n\n{intro}\n", *helped(command_line, "limnos", None, 2)])
    assert all(f"limnos {verb}\n" in text for verb in VERBS)
    current("cli.md", text)


def words(value: object) -> str:
    text = (inspect.getdoc(value) or "").partition("\n\nExamples:")[0]
    head, raises, listed = text.partition("Raises:\n")
    return head + (raises + "\n" + re.sub(r"^    (\w+):", r"- `\1`:", listed, flags=re.MULTILINE) if raises else "")


def described(name: str, member: object, callee: object) -> str:
    signature = ""
    if callable(callee):
        signature = re.sub(r"<(?:function )?(\w+(?:\.\w+)?)(?:: '\w+'| at 0x\w+)>", r"\1", str(inspect.signature(callee))).replace("'", "")
        signature = signature.replace("(self, ", "(").replace("(self)", "()")
    assert words(member), f"{name} has no docstring"
    return f"### `{name}{signature}`\n\n{words(member)}\n"


@pytest.mark.parametrize("name", ["Lake"])
def test_the_public_face_stands_first(name: str) -> None:
    assert name in limnos.__all__


def test_the_python_page_is_what_the_docstrings_say() -> None:
    intro = "This page is what the docstrings say. The [guide](../guides/python.md) shows them at work."
    parts = [f"# Python\n\n{intro}\n"]
    for name in limnos.__all__:
        value = getattr(limnos, name)
        parts.append(f"## {name}\n\n{words(value)}\n")
        for key, member in vars(value).items():
            if not key.startswith("_") and (callable(member) or isinstance(member, property | cached_property | staticmethod)):
                parts.append(described(f"{name}.{key}", member, getattr(value, key)))
    current("api.md", "\n".join(parts))
