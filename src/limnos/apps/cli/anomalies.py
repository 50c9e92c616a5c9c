"""`anomalies`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from limnos.apps.cli.terminal import Terminal, columns, count, moment, pass_terminal, ratio, speaking
from limnos.flow.anomalies import CHANGED, QUARANTINED
from limnos.model.anomaly import Anomaly, Backtest
from limnos.model.units import spoken
from limnos.model.verdict import Outcome


@click.command()
@click.argument("patterns", nargs=-1, metavar="[TABLE]...")
@click.option("--all", "everything", is_flag=True, help="Show every measure, also what is as usual or unknown.")
@click.option("--backtest", "testing", is_flag=True, help="Put faults into the recorded history, and count which are found.")
@speaking
@pass_terminal
def anomalies(terminal: Terminal, patterns: tuple[str, ...], *, everything: bool, testing: bool) -> int:
    """Show what of TABLEs (all when none is named; nyc.* is a pattern) departs from its own history.

    Nothing needs to be configured: each measure is compared with what runs recorded before. Exits with 1 when something departs.
    """
    lake = terminal.lake()
    if testing:
        return _tested(terminal, lake.backtest(*patterns))
    found = lake.anomalies(*patterns)
    bad = [one for one in found if one.outcome is Outcome.FAIL]
    if terminal.json:
        terminal.value([one.as_json() for one in found])
        return 1 if bad else 0
    if chosen := found if everything else bad:
        for line in columns([_row(one) for one in chosen], ("table", "measure", "is", "seen", "usual", "since", "points", "")):
            terminal.data(line)
    unknown = sum(one.outcome is Outcome.UNKNOWN for one in found)
    usual = len(found) - len(bad) - unknown
    terminal.note(f"{len(bad)} of {len(found)} measures depart from their history, {usual} are as usual, {unknown} have too little to tell")
    return 1 if bad else 0


def _row(one: Anomaly) -> Sequence[object]:
    said = {Outcome.FAIL: "unusual", Outcome.PASS: "usual"}.get(one.outcome, "unknown")
    return (one.table, one.measure, said, _shown(one, one.value), _range(one), moment(one.since), one.points, one.detail)


def _shown(one: Anomaly, value: float) -> str:
    if one.measure == QUARANTINED:
        return f"{value:.2%}"
    return f"{spoken(value)} ago" if one.measure == CHANGED else count(round(value))


def _range(one: Anomaly) -> str:
    if one.low is None or one.high is None:
        return "-"
    if one.measure == CHANGED:
        return f"at most {spoken(one.high)}"
    return f"{_shown(one, one.low)} to {_shown(one, one.high)}"


def _tested(terminal: Terminal, found: Sequence[Backtest]) -> int:
    if terminal.json:
        terminal.value([one.as_json() for one in found])
        return 0
    rows = [
        (one.table, one.measure, one.points, one.found, one.missed, one.false, ratio(one.precision), ratio(one.recall)) for one in found
    ]
    if rows:
        for line in columns(
            rows, ("table", "measure", "points", "found", "missed", "false", "precision", "recall"), right={2, 3, 4, 5, 6, 7}
        ):
            terminal.data(line)
    else:
        terminal.note("no table has 90 recorded points yet")
    return 0
