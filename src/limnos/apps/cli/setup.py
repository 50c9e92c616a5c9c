"""`init` and `doctor`."""

from __future__ import annotations

import click

from limnos.apps.cli.terminal import Terminal, columns, pass_terminal, shown, speaking


@click.command()
@click.argument("directory", default=".")
@click.option("--example", default="", metavar="NAME", help="Start from an example: flights.")
@click.option(
    "--from",
    "source",
    default="",
    metavar="URL",
    help="Draft it out of a database: postgresql://..., mysql://..., sqlite:///path, any URL of SQLAlchemy, or secret://NAME.",
)
@click.option("--schema", default="", metavar="NAME", help="With --from: the schema whose tables are drafted.")
@click.option("--no-sample", is_flag=True, help="With --from: look at no rows; classes of data are proposed by names alone.")
@speaking
@pass_terminal
def init(terminal: Terminal, directory: str, example: str, source: str, schema: str, no_sample: bool) -> None:  # noqa: FBT001 click
    """Lay down a new project in DIRECTORY (this one when none is named): empty, with an example, or drafted out of a database."""
    from limnos.lake import Lake  # noqa: PLC0415 drivers are loaded only by verbs that need them

    if example and source:
        raise click.UsageError("--example and --from do not go together")
    if not source and (schema or no_sample):
        raise click.UsageError("--schema and --no-sample go with --from")
    files = Lake.init(directory, example=example, source=source, schema=schema, sample=not no_sample)
    if terminal.json:
        return terminal.value({"directory": directory, "files": list(files)})
    for file in files:
        terminal.data(file)
    there = f"limnos -C {directory}" if directory != "." else "limnos"
    if source:
        terminal.note(f"\nnext: read {directory}/limnos.yml and the contracts, then {there} plan")
    else:
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
