"""CSV: the engine reads what is well-formed, `broken_csv` the rest, and both give the same rows for the same bytes."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from pathlib import Path

import pyarrow as pa

from limnos.errors import LimnosError, MalformedFile, SchemaDrift
from limnos.model.names import literal, quoted
from limnos.ports import Session
from limnos.sources.files.broken_csv import Kind, Record, records
from limnos.sources.files.contents import Contents, Spool, no_room, rejects_spool
from limnos.sources.files.dialect import Dialect
from limnos.sources.files.glance import glance
from limnos.sources.files.inventory import File, chunks


@dataclass(frozen=True, slots=True)
class _Part:
    """Hold what one file gives.

    Where the engine cannot read the file as it is, `copy` is one without what it stumbles over, or else `spool` has the rows.
    """

    file: File
    names: tuple[str, ...]
    rows: int = 0
    copy: str = ""
    spool: Spool | None = None


def contents(files: Sequence[File], dialect: Dialect, session: Session, temporary: Path) -> Contents:
    """Look through the files of a table.

    Raises:
        MalformedFile: If a file is empty, its header does not name every column once, or its compressed stream is damaged.
        SchemaDrift: If a file lacks a column that another one has.
    """
    heads = [_head(file, dialect, session) for file in files]
    names = heads[0][0]
    _same_columns(files, [head for head, _ in heads])
    rejects = rejects_spool(temporary / "rejects.parquet")
    parts: list[_Part] = []
    for number, (file, (own, plain)) in enumerate(zip(files, heads, strict=True)):
        part = _Part(file, own)
        clean = _clean(part, dialect, session) if plain else None
        parts.append(clean or _mended(part, dialect, session, temporary / str(number), rejects))
    if rejects.rows:
        rejects.close()
    ends = list(accumulate(part.rows for part in parts))

    def origins(ordinals: Sequence[int]) -> Sequence[str]:
        return _origins(parts, ends, ordinals, dialect, session)

    return Contents(
        schema=pa.schema([(name, pa.string()) for name in names]),
        scan=_scan(parts, names, dialect),
        rows=ends[-1],
        origins=origins,
        rejects=f"SELECT origin, raw, reason FROM {rejects.relation}" if rejects.rows else "",
        rejected=rejects.rows,
    )


def _head(file: File, dialect: Dialect, session: Session) -> tuple[tuple[str, ...], bool]:
    """Name the columns of a file, and tell whether its header is where the engine expects it."""
    plain = True
    for record in records(chunks(file, session, dialect.compression_of(file.path)), dialect):
        if record.kind is Kind.BLANK:
            plain = False
        elif record.kind is Kind.HEADER:
            return _unique(file, record), plain
        elif record.kind is Kind.ROW:
            return tuple(f"column_{number}" for number in range(1, len(record.fields) + 1)), plain
        elif dialect.header:
            raise _malformed(f"{file.name}:{record.line}", "The header cannot be read", record.reason, "one line that names the columns")
        else:
            plain = False
    expected = "a header" if dialect.header else "at least one record"
    raise _malformed(file.name, "A file is empty", f"{file.size} bytes without a record", expected)


def _unique(file: File, record: Record) -> tuple[str, ...]:
    names = [name or "" for name in record.fields]
    folded = [name.casefold() for name in names]
    for number, name in enumerate(names, 1):
        at = f"{file.name}:{record.line}"
        if not name.strip():
            raise _malformed(at, f"Column {number} has no name", ", ".join(names), "a name for each column")
        if folded.index(name.casefold()) != number - 1:
            raise _malformed(at, f"Column {name} is named twice", ", ".join(names), "names that differ by more than upper and lower case")
    return tuple(names)


def _malformed(subject: str, what: str, seen: str, expected: str) -> MalformedFile:
    return MalformedFile(what, subject=subject, seen=seen, expected=expected, hint="limnos explain files")


def _same_columns(files: Sequence[File], heads: Sequence[tuple[str, ...]]) -> None:
    first: dict[str, File] = {}
    for file, head in zip(files, heads, strict=True):
        for name in head:
            first.setdefault(name, file)
    for name, other in first.items():
        for file, head in zip(files, heads, strict=True):
            if name not in head:
                near = difflib.get_close_matches(name, [own for own in head if own not in heads[0]], n=1)
                raise SchemaDrift(
                    f"{file.name} has no column {name}",
                    subject=file.name,
                    seen=f"{near[0]} (is this the column, renamed?)" if near else ", ".join(head),
                    expected=f"{name}, as in {other.name}",
                    hint="name the column alike in all files, or give those with other columns a table of their own in limnos.yml",
                )


def _clean(part: _Part, dialect: Dialect, session: Session) -> _Part | None:
    """Count the rows of a file with the engine; None if the engine cannot be trusted with it.

    The look at the bytes also verifies the checksum of a gzip stream, which the engine does not.
    """
    records = glance(chunks(part.file, session, dialect.compression_of(part.file.path)), dialect, len(part.names))
    if records is None:
        return None
    return _counted(replace(part, rows=records - dialect.header), dialect, session)


def _counted(part: _Part, dialect: Dialect, session: Session) -> _Part | None:
    """Give the part if the engine finds as many rows as were counted without it."""
    # Each column is touched, so that every value is made sure to be UTF-8.
    counts = ", ".join(["count(*)", *(f"count(c{number})" for number in range(len(part.names)))])
    try:
        rows = session.run(f"SELECT {counts} FROM {_read_csv([part], dialect)}").column(0)[0].as_py()
    except LimnosError:
        return None
    return part if rows == part.rows else None


def _mended(part: _Part, dialect: Dialect, session: Session, path: Path, rejects: Spool) -> _Part:
    """Put aside what cannot become a row; what can is copied for the engine, byte by byte where it needs no care, else written anew."""
    rows = 0
    try:
        with path.open("wb") as copy:
            # The engine drops a byte order mark at the start, which could be text of the first row.
            copy.write(dialect.delimiter.join(f"c{number}" for number in range(len(part.names))).encode() + b"\n")
            for record in _records(part, dialect, session, runs=True):
                if record.kind is Kind.ROW:
                    rows += record.rows
                    copy.write(_written(record.fields, dialect) if record.fields else record.raw)
                elif record.kind is Kind.REJECT:
                    rejects.add((f"{part.file.name}:{record.line}", record.raw, record.reason), len(record.raw))
    except OSError as error:
        raise no_room(path, error) from error
    return _counted(replace(part, rows=rows, copy=str(path)), dialect, session) or _spooled(part, dialect, session, path)


def _written(fields: Sequence[str | None], dialect: Dialect) -> bytes:
    quote, null = dialect.quote, "" if "" in dialect.null_values else next(iter(dialect.null_values), "")
    values = (null if value is None else quote + value.replace(quote, quote * 2) + quote if quote else value for value in fields)
    return (dialect.delimiter.join(values) + "\n").encode()


def _spooled(part: _Part, dialect: Dialect, session: Session, path: Path) -> _Part:
    """Read the rows of a file here, all the way: slow, and good for records that are too long for the engine."""
    spool = Spool.of_text(path.with_suffix(".parquet"), len(part.names))
    for record in _records(part, dialect, session):
        if record.kind is Kind.ROW:
            spool.add((*record.fields, f"{part.file.name}:{record.line}"), len(record.raw))
    spool.close()
    return replace(part, rows=spool.rows, spool=spool)


def _records(part: _Part, dialect: Dialect, session: Session, *, runs: bool = False) -> Iterator[Record]:
    return records(chunks(part.file, session, dialect.compression_of(part.file.path)), dialect, len(part.names), runs=runs)


def _scan(parts: Sequence[_Part], names: tuple[str, ...], dialect: Dialect) -> str:
    def alike(part: _Part) -> tuple[object, ...]:
        return part.names, dialect.compression_of(part.file.path), bool(part.copy), part.spool and part.spool.path

    selects: list[str] = []
    for _, group in groupby(parts, alike):
        some = list(group)
        columns = ", ".join(f"c{some[0].names.index(name)} AS {quoted(name)}" for name in names)
        spool = some[0].spool
        selects.append(f"SELECT {columns} FROM {spool.relation if spool else _read_csv(some, dialect)}")
    return " UNION ALL ".join(selects)


def _read_csv(parts: Sequence[_Part], dialect: Dialect) -> str:
    first = parts[0]
    columns = ", ".join(f"c{number}: 'VARCHAR'" for number in range(len(first.names)))
    # A text with a line end is never the text of a field that is not quoted: it stands for "nothing is null".
    nulls = ", ".join(literal(value) for value in dialect.null_values or ("\n",))
    options = {
        "auto_detect": "false",
        "header": str(dialect.header or bool(first.copy)).lower(),
        "columns": "{" + columns + "}",
        "delim": literal(dialect.delimiter),
        "quote": literal(dialect.quote),
        "escape": literal(dialect.quote),
        "nullstr": f"[{nulls}]",
        "allow_quoted_nulls": "false",
        "strict_mode": "true",
        "null_padding": "false",
        "hive_partitioning": "false",
        "compression": literal("none" if first.copy else dialect.compression_of(first.file.path)),
        # Without it the engine drops a last record whose quote has no end, without a word.
        "parallel": "true",
    }
    paths = ", ".join(literal(part.copy) if part.copy else part.file.sql for part in parts)
    return f"read_csv([{paths}], {', '.join(f'{name} = {value}' for name, value in options.items())})"


def _origins(parts: Sequence[_Part], ends: Sequence[int], ordinals: Sequence[int], dialect: Dialect, session: Session) -> Sequence[str]:
    found: dict[int, str] = {}
    for part, end in zip(parts, ends, strict=True):
        start = end - part.rows
        wanted = sorted({ordinal - start for ordinal in ordinals if start <= ordinal < end})
        if wanted:
            here = part.spool.origins(session, wanted) if part.spool else _lines_of(part, wanted, dialect, session)
            found |= {start + row: origin for row, origin in here.items()}
    return [found[ordinal] for ordinal in ordinals]


def _lines_of(part: _Part, wanted: Sequence[int], dialect: Dialect, session: Session) -> Mapping[int, str]:
    """Find the lines that rows start in, by reading the file up to the last of them."""
    found: dict[int, str] = {}
    asked = deque(wanted)
    row = 0
    for record in _records(part, dialect, session, runs=True):
        if record.kind is Kind.ROW:
            while asked and asked[0] < row + record.rows:
                # The rows of a run have a line each.
                at = asked.popleft()
                found[at] = f"{part.file.name}:{record.line + at - row}"
            row += record.rows
        if not asked:
            break
    return found
