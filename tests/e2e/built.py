"""Compile the decoders as an installation does, for the tests of them; on CI a compiler has to be there."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from limnos.quality import comparison_compiled
from limnos.sources.mysql import native as mysql_native
from limnos.sources.postgres import native

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "src/limnos/sources/postgres/rows.c"
NUMBERS = ROOT / "src/limnos/quality/numbers.c"
MYSQL_ROWS = ROOT / "src/limnos/sources/mysql/rows.c"


@cache
def library(source: Path = ROWS, *flags: str) -> Path:
    """Compile beside a copy of the source; skips, or fails on CI, where that cannot be done."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    copy = Path(shutil.copy2(source, tempfile.mkdtemp(prefix="limnos-built-")))
    if refused := hook.compiled(copy, copy.with_suffix(".so"), *flags):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{source.name} is not compiled: {refused}")
    return copy


@cache
def postgres() -> ctypes.CDLL:
    """Give the decoder of PostgreSQL's rows."""
    found = native.compiled(library())
    assert found.library is not None, found.absent
    return found.library


@cache
def mysql() -> ctypes.CDLL:
    """Give the decoder of MySQL's and MariaDB's rows."""
    found = mysql_native.compiled(library(MYSQL_ROWS))
    assert found.library is not None, found.absent
    return found.library


@cache
def numbers() -> ctypes.CDLL:
    """Give what hashes rows for a comparison."""
    found = comparison_compiled.compiled(library(NUMBERS))
    assert found.library is not None, found.absent
    return found.library
