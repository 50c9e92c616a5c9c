"""`plan`, `run` and `check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import click

from limnos.apps.cli.progress import watching
from limnos.apps.cli.stop import asked_to_stop
from limnos.apps.cli.terminal import Terminal, columns, count, pass_terminal, ratio, shown, speaking
from limnos.errors import WorldError
from limnos.model.contract import Severity
from limnos.model.run import RunResult, TablePlan, TableResult, TableStatus
from limnos.model.verdict import Outcome, Verdict

_NAMED = 5
_patterns = click.argument("patterns", nargs=-1, metavar="[TABLE]...")
_strict = click.option("--strict", is_flag=True, help="Exit with 1 when a row is quarantined.")


@click.command()
@_patterns
@speaking
@pass_terminal
def plan(terminal: Terminal, patterns: tuple[str, ...]) -> int:
    """Show what a run of TABLEs (all when none is named; nyc.* is a pattern) would do, and change nothing.

    Exits as the run would where a table cannot be loaded.
    """
    made = terminal.lake().plan(*patterns)
    if terminal.json:
        terminal.value(made.as_json())
        return made.exit_code()
    rows = [(table.table, table.source, table.action, count(table.rows), "; ".join(table.changes)) for table in made.tables]
    for line in columns(rows, ("table", "source", "action", "rows", "changes"), right={3}):
        terminal.data(line)
    _complain(made.tables)
    if not made.exit_code():
        terminal.note("\nnext: limnos run")
    return made.exit_code()


@click.command()
@_patterns
@_strict
@click.option("--follow", is_flag=True, help="Go on merging changes of tables of mode cdc, until interrupted.")
@speaking
@pass_terminal
def run(terminal: Terminal, patterns: tuple[str, ...], *, strict: bool, follow: bool) -> int:
    """Load, judge and publish TABLEs (all when none is named; nyc.* is a pattern), all of them in one step.

    A bad row is set aside with its reasons and never published. Exits with the worst of its tables. With --follow, tables of mode cdc are
    kept as new as their sources by small runs; an interrupt ends it after the run that is under way, a second one at once.
    """
    if follow:
        return _follow(terminal, patterns)
    with watching(quiet=terminal.quiet) as observer:
        result = terminal.lake(observer).run(*patterns)
    if terminal.json:
        terminal.value(result.as_json())
    else:
        for line in accounts(result.tables):
            terminal.data(line)
        _comment(terminal, result.tables)
        _suggest(terminal, result.tables)
    return result.exit_code(strict=strict)


def _follow(terminal: Terminal, patterns: tuple[str, ...]) -> int:
    """Say each round that did something, one line a table, or one JSON object a line."""

    def told(round_: RunResult | WorldError) -> None:
        if isinstance(round_, WorldError):
            click.echo(f"{round_.render()}\n", err=True)
        elif terminal.json:
            terminal.data(json.dumps(round_.as_json(), ensure_ascii=False))
        else:
            for line in accounts([table for table in round_.tables if table.read or table.error]):
                terminal.data(line)
            _comment(terminal, round_.tables)
        sys.stdout.flush()

    with asked_to_stop() as asked:
        terminal.lake().follow(*patterns, told=told, stopped=asked.wait)
    terminal.note("stopped between two rounds; what they wrote is published")
    return 0


@click.command()
@_patterns
@_strict
@speaking
@pass_terminal
def check(terminal: Terminal, patterns: tuple[str, ...], *, strict: bool) -> int:
    """Judge the published versions of TABLEs by today's rules, and change nothing.

    Exits with 1 when a rule fails that is more than a warning; with --strict also for a warning.
    """
    with watching(quiet=terminal.quiet) as observer:
        results = terminal.lake(observer).check(*patterns)
    if terminal.json:
        terminal.value({"tables": [table.as_json() for table in results]})
    else:
        rows = [
            (
                table.table,
                verdict.rule,
                verdict.severity,
                verdict.outcome,
                count(verdict.failing),
                count(verdict.denominator),
                verdict.detail,
            )
            for table in results
            for verdict in table.verdicts
        ]
        for line in columns(rows, ("table", "rule", "severity", "outcome", "failing", "of", "detail"), right={4, 5}):
            terminal.data(line)
        _complain(results)
    broken = any(_broken(verdict) and (strict or verdict.severity is not Severity.WARN) for table in results for verdict in table.verdicts)
    return max(RunResult("", results).exit_code(), int(broken))


def _broken(verdict: Verdict) -> bool:
    return verdict.outcome in {Outcome.FAIL, Outcome.ERROR}


def accounts(tables: Sequence[TableResult]) -> list[str]:
    """Write one line a table, with every row accounted for."""
    return columns([_account(table) for table in tables], right={3}) if tables else []


def _account(table: TableResult) -> tuple[object, ...]:
    if table.status in {TableStatus.HELD, TableStatus.FAILED}:
        return table.table, f"read {count(table.read)}, nothing published", table.status, f"{table.seconds:.1f} s"
    parts = f"written {count(table.written)} + quarantined {count(table.quarantined)} + unchanged {count(table.unchanged)}"
    return table.table, f"read {count(table.read)} = {parts}", f"score {ratio(table.score)}", f"{table.seconds:.1f} s"


def _comment(terminal: Terminal, tables: Sequence[TableResult]) -> None:
    for table in tables:
        for verdict in filter(_broken, table.verdicts):
            says = f"{count(verdict.failing)} of {count(verdict.denominator)} rows" if verdict.denominator else verdict.outcome.value
            detail = f": {shown(verdict.detail)}" if verdict.detail else ""
            held = "  (holds the table back)" if verdict.holds else ""
            terminal.note(f"  {verdict.severity:<10} {table.table}  {verdict.rule}  {says}{detail}{held}")
        for remark in table.notes:
            terminal.note(f"  note       {table.table}  {shown(remark)}")
    _complain(tables)


def _complain(tables: Sequence[TableResult | TablePlan]) -> None:
    """Tell each error once: what is wrong with a source is the same for all its tables."""
    told: dict[str, tuple[Mapping[str, object], list[str]]] = {}
    for table in tables:
        if table.error is not None:
            told.setdefault(str(table.error), (table.error, []))[1].append(str(table.table))
    for error, names in told.values():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        click.echo(f"\n{', '.join(names[:_NAMED])}{more}: {error['what']}", err=True)
        for part in ("subject", "seen", "expected"):
            if error.get(part):
                click.echo(f"  {part.replace('subject', 'at'):<8} {error[part]}", err=True)
        click.echo(f"hint: {error['hint']}", err=True)


def _suggest(terminal: Terminal, tables: Sequence[TableResult]) -> None:
    held = next((table for table in tables if table.status is TableStatus.HELD), None)
    if held:
        terminal.note(f"\nnext: limnos why {held.table}")
    elif any(table.quarantined for table in tables):
        terminal.note("\nnext: limnos quarantine list")
    elif not any(table.error for table in tables):
        terminal.note("\nnext: limnos status")
