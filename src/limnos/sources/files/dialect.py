"""How the files of one table are written: the options of limnos.yml, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from limnos.errors import ProjectInvalid, Unsupported
from limnos.model.project import Option, SourceConfig, SourceTable

_HINT = "limnos explain files"


class Format(StrEnum):
    """Name what is in a file."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


_ENDINGS = {".csv": Format.CSV, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".parquet": Format.PARQUET}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Say how the files of one table are read; `compression` is auto, none, gzip or zstd.

    `quote` may be empty: then no character quotes. A CSV field that is not quoted and equals one of `null_values` is null.
    """

    path: str
    format: Format
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    null_values: tuple[str, ...] = ("",)
    compression: str = "auto"

    def compression_of(self, path: str) -> str:
        """Name the compression of one file: none, gzip or zstd."""
        if self.compression != "auto":
            return self.compression
        return _COMPRESSIONS.get(PurePosixPath(path).suffix.lower(), "none")

    def as_json(self) -> Mapping[str, object]:
        """Give what decides which rows the files hold."""
        said: dict[str, object] = {"format": self.format.value, "compression": self.compression}
        if self.format is Format.CSV:
            said |= {"delimiter": self.delimiter, "quote": self.quote, "header": self.header, "null_values": list(self.null_values)}
        return said


def _options(*, per_table: bool) -> tuple[Option, ...]:
    return (
        Option("path", per_table=per_table, description="file, or glob with * ? [..] **; relative to the project, absolute, or s3://"),
        Option(
            "format",
            per_table=per_table,
            choices=("csv", "ndjson", "parquet"),
            description="csv, ndjson or parquet; default: by the file's ending",
        ),
        Option("delimiter", per_table=per_table, default=",", description="CSV: the one character between fields"),
        Option("quote", per_table=per_table, default='"', description="CSV: the one character around fields; empty for none"),
        Option("header", "boolean", per_table=per_table, default=True, description="CSV: whether the first line names the columns"),
        Option("null_values", "array", per_table=per_table, default=("",), description="CSV: what means null where it is not quoted"),
        Option(
            "compression",
            per_table=per_table,
            default="auto",
            choices=("auto", "none", "gzip", "zstd"),
            description="auto: by the file's ending",
        ),
        Option("encoding", per_table=per_table, default="utf-8", description="only utf-8"),
    )


OPTIONS = _options(per_table=False) + _options(per_table=True)


def dialects(config: SourceConfig) -> Mapping[str, Dialect]:
    """Work out the dialect of each table of a source, by its name in the source.

    Raises:
        ProjectInvalid: If a table has no path of its own, or an option does not fit.
        Unsupported: If an encoding other than UTF-8 is asked for.
    """
    if not config.tables:
        return {config.name: _dialect(config, None)}
    if len(config.tables) > 1 and (without := [table for table in config.tables if "path" not in table.options]):
        raise ProjectInvalid(
            f"Table {without[0].name} of source {config.name} has no path of its own",
            subject=str(without[0].place),
            seen=f"{len(config.tables)} tables",
            expected="a path for each table, when a source has several",
            hint=f"add `path:` to {without[0].name} in limnos.yml",
        )
    return {table.name: _dialect(config, table) for table in config.tables}


def _dialect(config: SourceConfig, table: SourceTable | None) -> Dialect:
    options: dict[str, object] = {**config.options, **(table.options if table else {})}
    subject = f"{(table or config).place} ({config.name})"
    path = str(options.get("path", ""))
    if not path:
        raise ProjectInvalid(f"Source {config.name} has no path", subject=subject, expected="path: in/*.csv", hint=_HINT)
    encoding = str(options.get("encoding", "utf-8"))
    if encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise Unsupported(
            f"Encoding {encoding} is not read",
            subject=subject,
            seen=encoding,
            expected="utf-8",
            hint=f"convert it first: iconv -f {encoding} -t utf-8",
        )
    nulls = options.get("null_values", ("",))
    dialect = Dialect(
        path=path,
        format=_format(str(options.get("format", "")), path, subject),
        delimiter=str(options.get("delimiter", ",")),
        quote=str(options.get("quote", '"')),
        header=bool(options.get("header", True)),
        null_values=tuple(str(value) for value in nulls) if isinstance(nulls, Sequence) and not isinstance(nulls, str) else (str(nulls),),
        compression=str(options.get("compression", "auto")),
    )
    _check(dialect, subject)
    return dialect


def _format(declared: str, path: str, subject: str) -> Format:
    name = PurePosixPath(path.rstrip("*"))
    ending = (name.with_suffix("") if name.suffix.lower() in _COMPRESSIONS else name).suffix.lower()
    try:
        return Format(declared) if declared else _ENDINGS[ending]
    except (ValueError, KeyError):
        raise ProjectInvalid(
            "The format of the files is not known",
            subject=subject,
            seen=declared or path,
            expected="format: csv, ndjson or parquet",
            hint="add `format:` in limnos.yml",
        ) from None


def _check(dialect: Dialect, subject: str) -> None:
    def refuse(option: str, seen: str, expected: str) -> ProjectInvalid:
        return ProjectInvalid(f"Option {option} does not fit", subject=subject, seen=repr(seen), expected=expected, hint=_HINT)

    delimiter, quote = dialect.delimiter, dialect.quote
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in "\r\n\0 ":
        raise refuse("delimiter", delimiter, "one ASCII character that is neither a line end nor a space")
    if quote and (len(quote) != 1 or not quote.isascii() or quote in f"\r\n\0 {delimiter}"):
        raise refuse("quote", quote, "one ASCII character other than the delimiter, or nothing")
    for value in dialect.null_values:
        if any(char in value for char in f"\r\n{delimiter}{quote}"):
            raise refuse("null_values", value, "texts without delimiter, quote or line end")
    if dialect.compression not in ("auto", "none", "gzip", "zstd"):
        raise refuse("compression", dialect.compression, "auto, none, gzip or zstd")


__all__ = ["OPTIONS", "Dialect", "Format", "dialects"]
