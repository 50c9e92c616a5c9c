"""Merge the same changes into the same lake again and again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from limnos import Lake
from limnos.model.run import TableResult


def new(directory: Path, project: str, opened: Callable[[Path], Lake] = Lake) -> None:
    """Make an empty lake where one may have been, and load it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "limnos.yml").write_text(project)
    result = opened(directory).run()
    assert result.exit_code() == 0, [table.error for table in result.tables]


def keep(directory: Path) -> None:
    """Remember a directory as it is now, beside it; its Parquet files are never written again and cost no space."""
    _copy(directory, _kept(directory))


def back(directory: Path, opened: Callable[[Path], Lake] = Lake) -> Lake:
    """Open the lake as it was remembered, with all imported that a merge needs."""
    import limnos.flow.run
    import limnos.tables.iceberg  # noqa: F401

    put_back(directory)
    lake = opened(directory)
    lake.query("SELECT 1").to_arrow()
    return lake


def put_back(directory: Path) -> None:
    """Make a directory what was remembered of it."""
    _copy(_kept(directory), directory)


def kept(directory: Path) -> bool:
    """Whether a directory is remembered."""
    return _kept(directory).exists()


def merged(lake: Lake, results: Sequence[TableResult], *, read: int, rows: int) -> None:
    """Make sure that the changes were merged, all of them, and that the table was not read in full instead."""
    (result,) = results
    assert result.error is None, result.error
    assert (result.read, result.quarantined, result.notes) == (read, 0, ()), result
    found = lake.query(f"SELECT count(*) AS n FROM {result.table}").rows()
    assert found == [{"n": rows}], (found, rows)


def verified(lake: Lake) -> None:
    """Merge once and compare the whole content with the source, which stands still."""
    lake.run()
    for one in lake.verify(columns=["*"]):
        assert (one.changed, one.missing, one.extra) == (0, 0, 0), one


def _kept(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-kept")


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
