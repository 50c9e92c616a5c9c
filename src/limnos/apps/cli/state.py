"""`status`, `why` and `history`."""

from __future__ import annotations

import click

from limnos.apps.cli.terminal import Terminal, columns, count, moment, pass_terminal, ratio, shown, speaking
from limnos.model.state import TableState, Trust
from limnos.model.verdict import Dimension, Outcome


@click.command()
@speaking
@pass_terminal
def status(terminal: Terminal) -> None:
    """Show how each table stands: its published version, its last run, its score and its open quarantine."""
    states = terminal.lake().status()
    if terminal.json:
        return terminal.value([state.as_json() for state in states])
    rows = [
        (
            state.table,
            state.source,
            count(state.snapshot.rows if state.snapshot else None),
            moment(state.snapshot.at if state.snapshot else None),
            state.last_status or "-",
            ratio(state.score),
            state.lowest or "-",
            f"{len(state.scores)}/{len(Dimension)}",
            count(state.quarantined),
            _compared(state),
            state.detail,
        )
        for state in states
    ]
    for line in columns(
        rows,
        ("table", "source", "rows", "published", "last run", "score", "lowest", "measured", "quarantined", "compared", ""),
        right={2, 5, 7, 8},
    ):
        terminal.data(line)
    return None


def _compared(state: TableState) -> str:
    last = state.compared
    if last is None:
        return "-"
    said = "not compared" if last.error else f"{count(last.differing)} differ" if last.differing else "equal"
    return f"{said} {moment(last.at)}"


@click.command()
@click.argument("table")
@speaking
@pass_terminal
def why(terminal: Terminal, table: str) -> int:
    """Show whether TABLE can be trusted now, and the evidence for it; exits with 1 when it cannot."""
    trust = terminal.lake().why(table)
    if terminal.json:
        terminal.value(trust.as_json())
    else:
        terminal.data("\n".join(_evidence(trust)))
    return 0 if trust.trusted else 1


def _evidence(trust: Trust) -> list[str]:
    lines = [f"{trust.state.table}: {'trusted' if trust.trusted else 'not trusted'}   score {ratio(trust.state.score)}"]
    known = [f"{dimension} {ratio(value)}" for dimension, value in trust.state.scores.items()]
    unknown = [dimension for dimension in Dimension if dimension not in trust.state.scores]
    lines.append(f"  {', '.join(known) or 'nothing is measured'}" + (f"; not measured: {', '.join(unknown)}" if known and unknown else ""))
    for finding in trust.findings:
        lines.append(f"  {'ok ' if finding.ok else 'BAD'}  {finding.subject}: {shown(finding.detail)}")
        if finding.hint and not finding.ok:
            lines.append(f"       hint: {finding.hint}")
    broken = [verdict for verdict in trust.verdicts if verdict.outcome is not Outcome.PASS]
    if broken:
        rows = [(v.rule, v.severity, v.outcome, f"{count(v.numerator)} of {count(v.denominator)}", v.dimension) for v in broken]
        lines += ["", *columns(rows, ("rule", "severity", "outcome", "rows that keep it", "dimension"), right={3})]
    return lines


@click.command()
@click.argument("table", default="")
@speaking
@pass_terminal
def history(terminal: Terminal, table: str) -> None:
    """List the published versions of TABLE, or of all tables, with the runs that made them."""
    entries = terminal.lake().history(table)
    if terminal.json:
        return terminal.value([entry.as_json() for entry in entries])
    rows = [
        (
            moment(entry.snapshot.at),
            entry.snapshot.table,
            f"{entry.action}, expired" if entry.snapshot.expired else entry.action,
            count(entry.snapshot.rows),
            count(entry.read),
            count(entry.quarantined),
            ratio(entry.score),
            entry.snapshot.snapshot_id,
            entry.snapshot.run_id,
            entry.actor,
        )
        for entry in entries
    ]
    heads = ("at", "table", "by", "rows", "read", "quarantined", "score", "snapshot", "run", "who")
    for line in columns(rows, heads, right={3, 4, 5, 6, 7}):
        terminal.data(line)
    return None
