"""One writer at a time: a lock that the system frees when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from limnos.errors import RunInProgress, StorageFailed
from limnos.ledger.state import State

_POLL_S = 0.1
_ADVISORY_KEY = 0x4C494D4E4F53  # "LIMNOS"


@contextmanager
def exclusive(state: State, holder: str, *, wait_s: float) -> Generator[None]:
    """Hold the lake's write lock; `holder` is what others are told.

    Raises:
        RunInProgress: If another process still holds it after `wait_s` seconds.
    """
    said = json.dumps(
        {"holder": holder, "pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    )
    with _file_lock(state.path, said, wait_s) if state.path else _advisory_lock(state, wait_s):
        yield


@contextmanager
def _file_lock(database: Path, said: str, wait_s: float) -> Generator[None]:
    path = database.with_name(database.name + ".lock")
    try:
        file = path.open("a+")
    except OSError as error:
        raise StorageFailed(
            "Cannot take the lake's lock",
            subject=str(path),
            seen=error.strerror or str(error),
            expected="a writable file",
            hint="limnos doctor",
        ) from error
    with file:
        _until_locked(file, path, wait_s)
        file.truncate(0)
        file.write(said)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _until_locked(file: IO[str], path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _in_progress(path.read_text() or "{}", str(path)) from None
            time.sleep(_POLL_S)
        else:
            return


def _in_progress(said: str, subject: str) -> RunInProgress:
    holder = json.loads(said)
    seen = "{holder} (process {pid} on {host}, since {since})".format(**holder) if holder else "another process"
    return RunInProgress(
        "Another run holds the lake",
        subject=subject,
        seen=seen,
        expected="no other writer",
        hint="wait for it to end and run again; a killed run frees the lake by itself",
    )


@contextmanager
def _advisory_lock(state: State, wait_s: float) -> Generator[None]:
    deadline = time.monotonic() + wait_s
    with state.engine.connect().execution_options(isolation_level="AUTOCOMMIT", limnos_reads=True) as connection:
        while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_ADVISORY_KEY))).scalar():
            if time.monotonic() >= deadline:
                raise _in_progress("{}", state.shown)
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(_ADVISORY_KEY)))
