"""Turn what SQLite says into errors of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from limnos.errors import SourceRefused, SourceUnreachable
from limnos.model.project import SourceConfig

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def refusals(config: SourceConfig) -> Generator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _LOCKED:
            raise SourceRefused(
                f'Cannot read from sqlite "{config.name}": another process holds the database',
                subject=str(config.options.get("path")),
                seen=str(error),
                expected=f"a free database within {config.options.get('lock_timeout_s', 5)} seconds",
                hint="let the writer finish, or raise `lock_timeout_s`, then run again",
            ) from error
        if code == sqlite3.SQLITE_READONLY:
            raise SourceRefused(
                f'Cannot read from sqlite "{config.name}": an interrupted write must be undone first, which a reader may not do',
                subject=str(config.options.get("path")),
                seen=str(error),
                expected="a database that was closed properly",
                hint=f"open it once for writing: sqlite3 {config.options.get('path')} 'PRAGMA schema_version'",
            ) from error
        raise unreachable(config, str(error)) from error


def unreachable(config: SourceConfig, seen: str) -> SourceUnreachable:
    """State that the file cannot be read as a database."""
    return SourceUnreachable(
        f'Cannot read from sqlite "{config.name}"',
        subject=str(config.options.get("path")),
        seen=seen,
        expected="a readable SQLite database",
        hint=f"check `path` in limnos.yml, then run `limnos doctor {config.name}`",
    )
