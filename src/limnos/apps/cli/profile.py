"""`profile`."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence

import click

from limnos.apps.cli.query import moment_of
from limnos.apps.cli.terminal import Terminal, columns, count, moment, pass_terminal, shown, speaking
from limnos.model.profile import ColumnProfile, Counted, TableProfile

_WIDTH = 100
_LEAST, _MOST = 8, 28
_BAR = 24
_LINES = 10
_KINDS = {"top": "value", "patterns": "pattern"}


@click.command()
@click.argument("table")
@click.option("--column", default="", metavar="NAME", help="Show one column, with all that is known of it.")
@click.option("--personal", is_flag=True, help="Show the values of columns that hold personal data too.")
@click.option("--as-of", "as_of", default=None, metavar="TIME", help="Profile it as published at TIME (ISO 8601; UTC without an offset).")
@speaking
@pass_terminal
def profile(terminal: Terminal, table: str, *, column: str, personal: bool, as_of: str | None) -> None:
    """Show what TABLE holds: nulls, different values, ranges, patterns, keys and references.

    Counts are exact but for those marked with ~. Values of columns that hold personal data are left out.
    """
    found = terminal.lake().profile(table, column=column, as_of=moment_of(as_of), personal=personal)
    if terminal.json:
        return terminal.value(found.as_json())
    for line in _detail(found) if column else _overview(found):
        terminal.data(line)
    for note in found.notes:
        terminal.note(f"note: {note}")
    return None


def _overview(found: TableProfile) -> Iterator[str]:
    yield f"{found.table}   {count(found.rows)} rows   {len(found.columns)} columns   published {moment(found.snapshot.at)}"
    yield ""
    plain = [(one.name, one.type, _nulls(one), _distinct(one)) for one in found.columns]
    told = [(_held(one, one.minimum), _middle(one), _held(one, one.maximum), _most(one)) for one in found.columns]
    heads = ("column", "type", "nulls", "distinct", "min", "median or form", "max", "most often")
    taken = sum(max(len(str(row[at])) for row in (heads, *plain)) + 2 for at in range(4))
    widest = [max((len(row[at]) for row in told), default=0) for at in range(4)]
    cut = _fitting(widest, shutil.get_terminal_size((_WIDTH, 24)).columns - taken - 6)
    yield from columns(
        [(*row, *(_cut(text, cut) for text in values)) for row, values in zip(plain, told, strict=True)], heads, right={2, 3}
    )
    yield ""
    yield from _relations(found)


def _fitting(widths: Sequence[int], room: int) -> int:
    """Give the widest cells that fit on the line, within reason."""
    return next((cut for cut in range(_MOST, _LEAST, -1) if sum(max(min(width, cut), _LEAST) for width in widths) <= room), _LEAST)


def _relations(found: TableProfile) -> Iterator[str]:
    for key in found.keys:
        yield f"key         {', '.join(key.columns)}{' (declared)' if key.declared else ''}"
    for one in found.inclusions:
        share = "every value" if one.whole else f"{_share(one.rows, one.filled)} of rows"
        declared = ", declared" if one.declared else ""
        yield f"refers to   {one.column} -> {one.parent}.{one.parent_column}: {share}, {count(one.rows)} of {count(one.filled)}{declared}"
    for column in found.columns:
        if column.classification:
            held = "; values are held back, --personal shows them" if column.hidden else ""
            yield f"class       {column.name}: {column.classification}, {column.evidence}{held}"


def _detail(found: TableProfile) -> Iterator[str]:
    (column,) = found.columns
    yield f"{found.table}.{column.name}   {column.type}   {count(column.rows)} rows   published {moment(found.snapshot.at)}"
    yield ""
    yield from columns(list(_numbers(column)))
    for kind, head in _KINDS.items():
        listed: Sequence[Counted] = getattr(column, kind)
        if listed:
            of = column.pattern_rows if kind == "patterns" else column.rows
            sampled = f", of a sample of {count(of)} rows" if kind in column.approximate else ""
            rows = [(_cut(one.value, 60), count(one.rows), _share(one.rows, of), _bar(one.rows, of)) for one in listed[:_LINES]]
            yield ""
            yield from columns(rows, (f"{head}{sampled}", "rows", "", ""), right={1, 2})
    yield ""
    yield from _relations(found)


def _numbers(column: ColumnProfile) -> Iterator[tuple[str, str]]:
    yield "nulls", f"{count(column.nulls)}  {_share(column.nulls, column.rows)}" if column.nulls else "none"
    about = "~" if "distinct" in column.approximate else ""
    yield "distinct", f"{about}{count(column.distinct)}{'  unique' if column.unique else ''}"
    if not about:
        yield "once", f"{count(column.single)} values are those of one row"
    for name in ("nan", "infinite", "negative", "zero", "empty"):
        if getattr(column, name):
            yield name, f"{count(getattr(column, name))}  {_share(getattr(column, name), column.rows)}"
    if column.lengths:
        yield "length", f"{column.lengths.least} to {column.lengths.most}, mean {column.lengths.mean:.1f}"
    if column.hidden:
        yield "values", "held back"
    elif column.minimum is not None:
        yield "min, max", f"{shown(column.minimum)} to {shown(column.maximum)}"
    if column.mean is not None:
        yield "mean", f"{column.mean:.6g}{f', standard deviation {column.stddev:.6g}' if column.stddev is not None else ''}"
    if column.quantiles:
        said = ", ".join(f"{percent} %: {value}" for percent, value in column.quantiles.items())
        yield "quantiles", f"{'~ ' if 'quantiles' in column.approximate else ''}{said}"


def _nulls(column: ColumnProfile) -> str:
    return f"{count(column.nulls)}  {_share(column.nulls, column.rows):>6}" if column.nulls else "-"


def _distinct(column: ColumnProfile) -> str:
    if column.unique:
        return "unique"
    return f"{'~' if 'distinct' in column.approximate else ''}{count(column.distinct)}"


def _held(column: ColumnProfile, value: str | None) -> str:
    return "(held back)" if column.hidden else "-" if value is None else shown(value)


def _middle(column: ColumnProfile) -> str:
    if 50 in column.quantiles:
        return f"{'~' if 'quantiles' in column.approximate else ''}{shown(column.quantiles[50])}"
    if column.patterns and column.patterns[0].rows * 2 >= column.pattern_rows:
        return f"{_share(column.patterns[0].rows, column.pattern_rows)} {shown(column.patterns[0].value)}"
    return f"{column.lengths.least} to {column.lengths.most} long" if column.lengths else "-"


def _most(column: ColumnProfile) -> str:
    return f"{_share(column.top[0].rows, column.rows)} {shown(column.top[0].value)}" if column.top else "-"


def _share(part: int, whole: int) -> str:
    """Write a share, cut and not rounded, so that only a whole one reads 100 %."""
    if not whole or part == whole:
        return "100 %" if whole else "-"
    cut = math.floor(part / whole * 1000) / 10
    return f"{cut:.1f} %" if cut or not part else "<0.1 %"


def _cut(text: str, most: int) -> str:
    text = shown(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _bar(part: int, whole: int) -> str:
    return "█" * max(1, round(_BAR * part / whole)) if whole else ""
