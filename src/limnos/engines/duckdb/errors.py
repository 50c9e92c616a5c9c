"""Turn DuckDB's errors into ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager

import duckdb

from limnos.errors import LimnosError, QueryInvalid, StorageFailed

_LINE = re.compile(r"\n+LINE (\d+):.*", re.DOTALL)
_DAMAGED = re.compile(r"magic bytes|too small to be a parquet file|parquet file .*(corrupt|invalid)|thrift|snappy|zstd", re.IGNORECASE)
_VALUES = (
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.InvalidInputException,
    duckdb.ConstraintException,
    duckdb.TypeMismatchException,
)


def storage_failed(subject: str, seen: str) -> StorageFailed:
    """Say that the storage refused, in the first line of what it said."""
    return StorageFailed(
        "The storage refused to be read or written",
        subject=subject,
        seen=seen.strip().splitlines()[0] if seen.strip() else "no reason given",
        expected="a reachable place with free space and the right to use it",
        hint="limnos doctor",
    )


def translated(error: duckdb.Error, subject: str, *, what: str = "The query does not run") -> LimnosError:
    """Make one of ours of a driver's error: the world's fault is `StorageFailed`, all else `QueryInvalid`."""
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return StorageFailed(
            "The engine ran out of memory or of room to spill",
            subject=subject,
            seen=text.splitlines()[0],
            expected="more memory, or free space in the temporary directory",
            hint="limnos doctor",
        )
    if isinstance(error, (duckdb.IOException, duckdb.HTTPException, duckdb.PermissionException)):
        return storage_failed(subject, text)
    line = _LINE.search(text)
    return QueryInvalid(
        what,
        subject=f"{subject}, line {line[1]}" if line else subject,
        seen=" ".join(_LINE.sub("", text).split()),
        expected="SQL that parses, binds and runs",
        hint="limnos explain query-invalid",
    )


def is_damaged(error: duckdb.Error) -> bool:
    """Tell whether an error says that a Parquet file is not whole."""
    return bool(_DAMAGED.search(str(error)))


def tells_values(error: duckdb.Error) -> bool:
    """Tell whether the message of an error may hold values of rows."""
    return isinstance(error, _VALUES)


@contextmanager
def in_our_words(connection: duckdb.DuckDBPyConnection, ours: Callable[[duckdb.Error], LimnosError]) -> Generator[None]:
    """Let no error of the driver out; an interrupt from the keyboard stops what runs and stays one."""
    try:
        yield
    except duckdb.Error as error:
        raise ours(error) from error
    except RuntimeError as error:
        # The driver says so in a RuntimeError, and goes on in the background.
        connection.interrupt()
        raise (KeyboardInterrupt if "interrupted" in str(error) else error) from error
