"""`query`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from limnos.apps.cli.rows import MOST_SHOWN, table
from limnos.apps.cli.terminal import Terminal, pass_terminal, speaking
from limnos.errors import RequestError

FORMATS = ("table", "json", "ndjson", "csv", "parquet", "arrow")


@click.command()
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(FORMATS), default=None, help="How to write the rows.  [default: table]")
@click.option("--output", type=click.Path(dir_okay=False), default=None, metavar="FILE", help="Write all rows to FILE, or nothing.")
@click.option(
    "--as-of", "as_of", default=None, metavar="TIME", help="Ask the tables as published at TIME (ISO 8601; UTC without an offset)."
)
@speaking
@pass_terminal
def query(terminal: Terminal, sql: str, form: str | None, output: str | None, as_of: str | None) -> None:
    """Ask the published tables a question in SQL (one SELECT; `-` reads it from standard input).

    The rows are those of one moment, across all tables. The system.* tables tell of runs, verdicts, events and quarantined rows.
    """
    form = form or ("json" if terminal.json else "table")
    if sql == "-":
        sql = sys.stdin.read()
    _require_place(form, output)
    at = moment_of(as_of)
    with terminal.lake().query(sql, as_of=at) as result:
        if output is not None:
            from limnos.sinks.files import FileSink  # noqa: PLC0415 only where a file is written

            terminal.note(f"{FileSink(output, form).write(result.reader()):,} rows in {output}")
        elif form == "table":
            lines, more = table(result.reader())
            terminal.data("\n".join(lines))
            if more:
                terminal.note(f"only the first {MOST_SHOWN:,} rows are shown; --format csv or --output FILE gives all")
        else:
            from limnos.sinks.rows import write_rows  # noqa: PLC0415 only where rows are written

            write_rows(result.reader(), sys.stdout.buffer, form)


def _require_place(form: str, output: str | None) -> None:
    hint = "limnos query SQL --format csv --output FILE"
    if form == "table" and output is not None:
        raise RequestError("A file needs a format", subject=output, seen="table", expected="json, ndjson, csv, parquet or arrow", hint=hint)
    if form in {"parquet", "arrow"} and output is None and sys.stdout.isatty():
        raise RequestError(
            "Binary rows are not for a terminal", subject="limnos query", seen=form, expected="--output FILE, or a pipe", hint=hint
        )


def moment_of(text: str | None) -> datetime | None:
    """Read the point in time of `--as-of`.

    Raises:
        RequestError: If it is none.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        expected = "ISO 8601, such as 2026-11-22T09:15:00Z"
        raise RequestError("That is not a point in time", subject="--as-of", seen=text, expected=expected, hint="limnos history") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
