"""`import` and `export`."""

from __future__ import annotations

import click

from limnos.apps.cli.terminal import Terminal, count, pass_terminal, speaking
from limnos.errors import RequestError


@click.command("import")
@click.argument("form", metavar="FORMAT")
@click.argument("file")
@click.option("--table", default="", metavar="NAME", help="The table that FILE is about; needed where FILE does not say it.")
@click.option("--write", is_flag=True, help="Add the new rules to the tables' contracts; else the change is only shown.")
@click.option("--partial", is_flag=True, help="Go on without what cannot be translated; it is still named, and the exit code is 0.")
@speaking
@pass_terminal
def import_(terminal: Terminal, form: str, file: str, table: str, *, write: bool, partial: bool) -> int:
    """Translate the rules in FILE, of the FORMAT dbt, dqdl, gx or soda, and show how the contracts would change.

    Exits with 2 when anything in FILE cannot be translated; nothing is written then.
    """
    found = terminal.lake().import_(form, file, table=table, write=write, partial=partial)
    refused = [error for one in found for error in one.refused]
    if terminal.json:
        terminal.value({"tables": [one.as_json() for one in found]})
    else:
        for one in found:
            if one.diff:
                terminal.data(one.diff.rstrip("\n"))
        for error in refused:
            terminal.complain(error)
        for one in found:
            done = f"{one.file} is written" if one.written else "nothing is written"
            parts = f"{count(len(one.rules))} new rules, {count(len(one.known))} there already, {count(len(one.refused))} not translated"
            terminal.note(f"{one.table}: {parts}; {done}")
    return RequestError.exit_code if refused and not partial else 0


@click.group()
def export() -> None:
    """Write the contracts of tables as ODCS files."""


@export.command()
@click.argument("patterns", nargs=-1, metavar="[TABLE]...")
@click.option("--to", default="", metavar="DIR", help="Write one file for each table into DIR; else the contracts are shown.")
@speaking
@pass_terminal
def contracts(terminal: Terminal, patterns: tuple[str, ...], to: str) -> None:
    """Write the contracts of TABLEs (all when none is named; shop.* is a pattern), with their columns, keys and rules."""
    made = terminal.lake().export(*patterns, to=to)
    if terminal.json:
        return terminal.value({"contracts": [one.as_json() for one in made]})
    for one in made:
        terminal.data(f"{to}/{one.file}" if to else f"# {one.file}\n{one.text.rstrip()}")
    return None
