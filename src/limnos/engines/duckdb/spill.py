"""Where the engine puts what does not fit in memory."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

_PREFIX = "limnos-spill-"


def spill_directory(parent: Path) -> Path:
    """Name a directory that no other database instance uses: instances that share one overwrite each other's files.

    The engine makes it when it first spills and removes it when it closes.
    """
    return parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"


def sweep(parent: Path) -> None:
    """Remove the spill directories of processes that were killed."""
    for left in parent.glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not _is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
