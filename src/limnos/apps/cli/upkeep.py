"""`upkeep`."""

from __future__ import annotations

import click

from limnos.apps.cli.progress import watching
from limnos.apps.cli.terminal import Terminal, columns, count, pass_terminal, speaking


@click.command()
@click.argument("patterns", nargs=-1, metavar="[TABLE]...")
@speaking
@pass_terminal
def upkeep(terminal: Terminal, patterns: tuple[str, ...]) -> None:
    """Compact TABLEs (all when none is named; nyc.* is a pattern): fewer files, no row changed, older versions kept."""
    with watching(quiet=terminal.quiet) as observer:
        results = terminal.lake(observer).upkeep(*patterns)
    if terminal.json:
        return terminal.value({"tables": [{"table": str(one.table), **one.as_json()} for one in results]})
    rows = [
        (
            one.table,
            f"rows {count(one.rows)}",
            f"files {count(one.files_before)} -> {count(one.files_after)}",
            f"bytes {count(one.bytes_before)} -> {count(one.bytes_after)}",
            f"deleted rows {count(one.gone_before)} -> {count(one.gone_after)}",
            f"{one.seconds:.1f} s",
        )
        for one in results
    ]
    for line in columns(rows, right={5}):
        terminal.data(line)
    return None
