"""`quarantine list`, `show`, `release` and `reject`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from limnos.apps.cli.terminal import Terminal, columns, count, moment, pass_terminal, shown, speaking
from limnos.errors import RequestError
from limnos.model.state import EntryStatus, QuarantineEntry, ReleaseResult

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_status = click.option(
    "--status", type=click.Choice([*EntryStatus, "all"], case_sensitive=False), default="open", show_default=True, help="Which rows."
)
_rule = click.option("--rule", default="", metavar="RULE", help="Only rows that broke this rule, as `quarantine list` names it.")


def _wanted(status: str) -> EntryStatus | None:
    return None if status == "all" else EntryStatus(status)


@click.group()
def quarantine() -> None:
    """List, show, release or reject the rows that were held back."""


@quarantine.command("list")
@click.argument("table", default="")
@_status
@speaking
@pass_terminal
def list_(terminal: Terminal, table: str, status: str) -> None:
    """Count the rows held back, by table and rule; a row that broke two rules counts under both."""
    counts = terminal.lake().quarantine.counts(table, status=_wanted(status))
    if terminal.json:
        return terminal.value([one.as_json() for one in counts])
    rows = [(one.table, one.rule, one.status, count(one.rows)) for one in counts]
    for line in columns(rows, ("table", "rule", "status", "rows"), right={3}):
        terminal.data(line)
    if counts:
        terminal.note(f"\nnext: limnos quarantine show {counts[0].table} --rule {counts[0].rule}")
    return None


@quarantine.command()
@click.argument("table")
@_rule
@_status
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many rows.")
@speaking
@pass_terminal
def show(terminal: Terminal, table: str, rule: str, status: str, limit: int) -> None:
    """Show the rows of TABLE that were held back: original values, where they came from, and every reason."""
    entries = terminal.lake().quarantine.entries(table, rule=rule, status=_wanted(status), limit=limit)
    if terminal.json:
        return terminal.value([entry.as_json() for entry in entries])
    terminal.data("\n\n".join("\n".join(_described(entry)) for entry in entries) or f"no such rows of {table}")
    if entries:
        terminal.note(f"\nnext: limnos quarantine release {table} ID, or limnos quarantine reject {table} ID")
    return None


def _described(entry: QuarantineEntry) -> list[str]:
    lines = [f"{entry.id}  {shown(entry.origin)}  {entry.status}  {moment(entry.at)}"]
    lines += [f"  {reason.severity:<10} {reason.rule}{f'  {shown(reason.detail)}' if reason.detail else ''}" for reason in entry.reasons]
    if entry.row is not None:
        lines.append("  " + "  ".join(f"{name}={shown(value)}" for name, value in entry.row.items()))
    if entry.raw is not None:
        lines.append("  " + shown(entry.raw.decode("utf-8", "backslashreplace")))
    return lines


def _choosing(command: _Decorated) -> _Decorated:
    everything = click.option("--all", "everything", is_flag=True, help="Every open row of TABLE.")
    return click.argument("table")(click.argument("ids", nargs=-1, metavar="[ID]...")(_rule(everything(command))))


@quarantine.command()
@_choosing
@speaking
@pass_terminal
def release(terminal: Terminal, table: str, ids: tuple[str, ...], rule: str, *, everything: bool) -> int:
    """Judge rows of TABLE again by today's rules, and publish those that keep them.

    Exits with 1 when a row stays back.
    """
    _require_choice(ids, rule, everything=everything)
    return _tell(terminal, "released", terminal.lake().quarantine.release(table, rule=rule, ids=ids))


@quarantine.command()
@_choosing
@speaking
@pass_terminal
def reject(terminal: Terminal, table: str, ids: tuple[str, ...], rule: str, *, everything: bool) -> int:
    """Close rows of TABLE for good; they stay in the record and are never published."""
    _require_choice(ids, rule, everything=everything)
    return _tell(terminal, "rejected", terminal.lake().quarantine.reject(table, rule=rule, ids=ids))


def _require_choice(ids: tuple[str, ...], rule: str, *, everything: bool) -> None:
    if bool(ids) + bool(rule) + everything != 1:
        raise RequestError(
            "Say which rows",
            subject="quarantine",
            expected="exactly one of: ID..., --rule RULE, --all",
            hint="limnos quarantine show TABLE",
        )


def _tell(terminal: Terminal, done: str, result: ReleaseResult) -> int:
    if terminal.json:
        terminal.value(result.as_json())
    else:
        snapshot = f"   snapshot {result.snapshot_id}" if result.snapshot_id is not None else ""
        terminal.data(f"{result.table}   {done} {count(result.moved)}   kept {count(result.kept)}{snapshot}")
    return int(result.kept > 0)
