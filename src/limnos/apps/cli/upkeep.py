"""`upkeep`."""

from __future__ import annotations

import click

from limnos.apps.cli.progress import watching
from limnos.apps.cli.terminal import Terminal, columns, count, pass_terminal, speaking


@click.command()
@click.argument("patterns", nargs=-1, metavar="[TABLE]...")
@click.option("--keep", default="", metavar="TIME|N", help="Keep versions of the last TIME (30d), or the last N; limnos.yml says else.")
@click.option("--grace", default="", metavar="TIME", help="Delete nothing that is younger; limnos.yml says else, or 1d.")
@click.option("--dry-run", is_flag=True, help="Change nothing, and say what would be done.")
@speaking
@pass_terminal
def upkeep(terminal: Terminal, patterns: tuple[str, ...], keep: str, grace: str, *, dry_run: bool) -> None:
    """Compact TABLEs (all when none is named; nyc.* is a pattern), and let their old versions go; no row changes."""
    with watching(quiet=terminal.quiet) as observer:
        results = terminal.lake(observer).upkeep(*patterns, keep=keep, grace=grace, dry_run=dry_run)
    if terminal.json:
        return terminal.value({"tables": [{"table": str(one.table), **one.as_json()} for one in results]})
    rows = [
        (
            one.table,
            f"rows {count(one.rows)}",
            f"files {count(one.files_before)} -> {count(one.files_after)}",
            f"bytes {count(one.bytes_before)} -> {count(one.bytes_after)}",
            f"deleted rows {count(one.gone_before)} -> {count(one.gone_after)}",
            f"versions let go {count(one.expired)}",
            f"files deleted {count(one.deleted_files)} ({count(one.deleted_bytes)} bytes)",
            f"{one.seconds:.1f} s",
        )
        for one in results
    ]
    for line in columns(rows, right={7}):
        terminal.data(line)
    return None
