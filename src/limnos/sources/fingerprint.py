"""Tell cheaply whether a file still holds the same bytes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

# Some file systems keep times in steps of up to two seconds (FAT), so a change inside that step may leave no trace in them.
_RACY_NS = 2_000_000_000


def file_identity(path: Path, known: Mapping[str, object] | None = None) -> Mapping[str, object]:
    """Identify what a file holds: `{"sha256": ..., "stat": ...}`; equal `sha256` means equal bytes.

    Hashes the whole file, unless `known` (what this gave before for the same file) bears the same `stat`. `stat` is null while the
    file is too young for its times to be evidence. It holds the change time, which no program can set back.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        before = _stat(file.fileno())
        if known is not None and known.get("stat") == before:
            return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        settled = _stat(file.fileno()) == before and time.time_ns() - max(before[3:]) > _RACY_NS
    return {"sha256": digest, "stat": before if settled else None}


def _stat(descriptor: int) -> list[int]:
    said = os.fstat(descriptor)
    return [said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns]
