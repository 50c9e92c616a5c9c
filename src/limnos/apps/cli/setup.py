"""`init` and `doctor`."""

from __future__ import annotations

import click

from limnos.apps.cli.terminal import Terminal, columns, pass_terminal, shown, speaking


@click.command()
@click.argument("directory", default=".")
@click.option("--example", default="", metavar="NAME", help="Start from an example: flights.")
@speaking
@pass_terminal
def init(terminal: Terminal, directory: str, example: str) -> None:
    """Lay down a new project in DIRECTORY (this one when none is named), empty or with an example."""
    from limnos.lake import Lake  # noqa: PLC0415 drivers are loaded only by verbs that need them

    files = Lake.init(directory, example=example)
    if terminal.json:
        return terminal.value({"directory": directory, "files": list(files)})
    for file in files:
        terminal.data(file)
    there = f"limnos -C {directory}" if directory != "." else "limnos"
    terminal.note(f"\nnext: {there} run" if example else f"\nnext: declare a source in {directory}/limnos.yml, then {there} plan")
    return None


@click.command()
@click.argument("source", default="")
@speaking
@pass_terminal
def doctor(terminal: Terminal, source: str) -> int:
    """Examine the project, its state, its storage and SOURCE (all sources when none is named); exits with 3 when something is not well."""
    findings = terminal.lake().doctor(source)
    if terminal.json:
        terminal.value([finding.as_json() for finding in findings])
    else:
        for line in columns(
            [("ok" if finding.ok else "BAD", finding.subject, shown(finding.detail)) for finding in findings] or [("ok", "", "")]
        ):
            terminal.data(line)
        for finding in findings:
            if finding.hint and not finding.ok:
                terminal.note(f"hint: {finding.subject}: {finding.hint}")
    return 0 if all(finding.ok for finding in findings) else 3
