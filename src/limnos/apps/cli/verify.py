"""`verify`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from limnos.apps.cli.progress import watching
from limnos.apps.cli.terminal import Terminal, columns, count, pass_terminal, shown, speaking
from limnos.model.comparison import Comparison, Difference, Kind


@click.command()
@click.argument("patterns", nargs=-1, metavar="[TABLE]...")
@click.option("--columns", "chosen", metavar="NAMES", default="", help="Compare the content of these columns only, with commas between.")
@click.option("--counts", is_flag=True, help="Compare which rows there are, not their content.")
@click.option("--limit", default=20, show_default=True, help="Show this many differing rows of each kind; all are counted.")
@speaking
@pass_terminal
def verify(terminal: Terminal, patterns: tuple[str, ...], *, chosen: str, counts: bool, limit: int) -> int:
    """Compare the published TABLEs with their sources, down to rows and columns, and change nothing.

    Exits with 1 when a row is missing, extra or changed.
    """
    if chosen and counts:
        raise click.UsageError("--columns and --counts cannot be combined")
    wanted = () if counts else tuple(name.strip() for name in chosen.split(",")) if chosen else None
    with watching(quiet=terminal.quiet) as observer:
        found = terminal.lake(observer).verify(*patterns, columns=wanted, limit=limit)
    if terminal.json:
        terminal.value({"tables": [one.as_json() for one in found]})
    else:
        _write(terminal, found)
    return max((one.exit_code() for one in found), default=0)


def _write(terminal: Terminal, found: Sequence[Comparison]) -> None:
    for line in columns([_account(one) for one in found]) if found else ():
        terminal.data(line)
    for one in found:
        differences = [_difference(each) for each in one.differences]
        if differences:
            terminal.data("")
            for line in columns(differences, (str(one.table), "key", "column", "source", "lake")):
                terminal.data(line)
        _comment(terminal, one)


def _account(one: Comparison) -> tuple[object, ...]:
    if one.error is not None:
        return one.table, "failed", "", ""
    rows = f"source {count(one.source_rows)}, lake {count(one.lake_rows)}, quarantined {count(one.quarantined)}"
    said = f"missing {count(one.missing)}, extra {count(one.extra)}, changed {count(one.changed)}" if one.differing else "equal"
    said += f", {count(one.pending)} to be merged" if one.pending else ""
    compared = f"{len(one.columns)} columns" if one.columns else "rows only"
    return one.table, f"{rows}: {said}", compared, f"{one.seconds:.1f} s"


def _difference(one: Difference) -> tuple[object, ...]:
    times = f" x {count(one.rows)}" if one.rows > 1 else ""
    key = ", ".join(f"{name}={shown(value)}" for name, value in one.key.items())
    if one.kind is Kind.CHANGED or not one.values:
        parts = zip(*((name, shown(source), shown(lake)) for name, (source, lake) in one.values.items()), strict=True)
        return (f"{one.kind}{times}", key, *(" | ".join(each) for each in parts)) if one.values else (f"{one.kind}{times}", key, "", "", "")
    side = [f"{name}={shown(source if one.kind is Kind.MISSING else lake)}" for name, (source, lake) in one.values.items()]
    row = ", ".join(side)
    return f"{one.kind}{times}", key, "", *((row, "") if one.kind is Kind.MISSING else ("", row))


def _comment(terminal: Terminal, one: Comparison) -> None:
    for name, why in one.left_out.items():
        terminal.note(f"  not compared  {one.table}  {name}: {why}")
    for remark in one.notes:
        terminal.note(f"  note          {one.table}  {shown(remark)}")
    if one.error is not None:
        click.echo(f"\n{one.table}: {one.error['what']}", err=True)
        for part in ("subject", "seen", "expected"):
            if one.error.get(part):
                click.echo(f"  {part.replace('subject', 'at'):<8} {one.error[part]}", err=True)
        click.echo(f"hint: {one.error['hint']}", err=True)
