"""`explain`: the pages that also stand in the documentation."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

import click

from limnos.apps.cli.terminal import Terminal, pass_terminal, speaking
from limnos.errors import UnknownName

SHELVES = ("topics", "rules", "sources", "errors")


def pages() -> dict[str, tuple[str, Traversable]]:
    """Map each page's name to its shelf and file."""
    found: dict[str, tuple[str, Traversable]] = {}
    for shelf in SHELVES:
        directory = files("limnos").joinpath("pages", shelf)
        if directory.is_dir():
            found |= {page.name.removesuffix(".md"): (shelf, page) for page in directory.iterdir() if page.name.endswith(".md")}
    return found


@click.command()
@click.argument("name", default="")
@speaking
@pass_terminal
def explain(terminal: Terminal, name: str) -> None:
    """Explain NAME: a rule, a source, an error or a topic; without NAME, list them."""
    known = pages()
    if not name:
        listed = {shelf: sorted(page for page, (where, _) in known.items() if where == shelf) for shelf in SHELVES}
        return (
            terminal.value(listed)
            if terminal.json
            else terminal.data("\n".join(f"{shelf}: {', '.join(listed[shelf])}" for shelf in SHELVES))
        )
    wanted = name if name in known else name.replace("_", "-")
    if wanted not in known:
        raise UnknownName.among("rule, source, error or topic", name, known, hint="limnos explain")
    shelf, page = known[wanted]
    text = page.read_text(encoding="utf-8")
    return terminal.value({"name": wanted, "kind": shelf, "page": text}) if terminal.json else terminal.data(text.rstrip())
