"""`suggest`."""

from __future__ import annotations

import click

from limnos.apps.cli.terminal import Terminal, count, pass_terminal, shown, speaking


@click.command()
@click.argument("table")
@click.option("--write", is_flag=True, help="Add the rules to limnos.yml.")
@speaking
@pass_terminal
def suggest(terminal: Terminal, table: str, *, write: bool) -> None:
    """Propose rules for TABLE that it keeps today, with the evidence for each, as a change of limnos.yml.

    A comment tells how many rows keep the rule, and the lower bound of the share to expect of the next ones.
    """
    found = terminal.lake().suggest(table, write=write)
    if terminal.json:
        return terminal.value(found.as_json())
    for line in found.diff.splitlines():
        terminal.data(shown(line))
    for note in found.notes:
        terminal.note(f"note: {note}")
    seen = f"{count(found.rows)} rows, {count(found.versions)} version{'s' if found.versions != 1 else ''}"
    rules = f"{len(found.rules)} rule{'s' if len(found.rules) != 1 else ''} suggested by" if found.rules else "nothing to suggest:"
    said = f"{rules} {seen} of {found.table}"
    terminal.note(f"{said}{f', written to {found.file}' if found.written else ''}")
    if found.rules:
        terminal.note(f"\nnext: limnos {'check' if found.written else 'suggest --write'} {found.table}")
    return None
