"""Lay down a new project."""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from limnos.errors import StorageFailed, TargetExists, UnknownName
from limnos.examples import EXAMPLES

_FILE = "limnos.yml"
_STARTER = """\
# What this lake holds, and what it promises. All words: `limnos explain project`. Take the marks away from what you need.
version: 1
# project: shop                          # the directory's name when not given
# lake: .limnos/lake                     # or s3://bucket/prefix
# state: .limnos/state.db                # or postgresql://...

# sources:
#   in:                                  # its tables land in the namespace `in`
#     type: files
#     format: csv
#     tables: {people: {path: data/people.csv}}
#   shop:
#     type: postgres                     # or sqlite
#     url: secret://SHOP_DSN             # the environment variable SHOP_DSN, or the file .limnos/secrets/SHOP_DSN
#     tables: {customers: {}, orders: {}}   # every table when not given

# tables:
#   shop.orders:
#     partition: month(created_at)
#     checks:
#       - not_null: [order_id, customer_id]
#       - foreign_key: {column: customer_id, references: shop.customers.customer_id}
#       - range: {column: amount, min: 0}
#       - freshness: {column: created_at, max: 6h, severity: warn}
"""
_IGNORED = "# The lake, its state and secrets do not belong under version control.\n/.limnos/\n"


def init(directory: Path, *, example: str = "", build: Callable[[Path], None] | None = None) -> tuple[str, ...]:
    """Lay down a new project, all of it or nothing; gives the files, relative to `directory`.

    What it holds is an example, or what `build` writes into the directory that it is given, or the empty starter. It may go into a
    directory that holds other things, but overwrites none of them. limnos.yml comes last, so an interrupted start leaves no project,
    and the same command again completes it.

    Raises:
        TargetExists: If there is a limnos.yml, or something else where a file is to go.
        UnknownName: If there is no such example.
        ExtraMissing: If the example's data is not installed.
        StorageFailed: If the directory cannot be written.
    """
    if example and example not in EXAMPLES:
        raise UnknownName.among("example", example, EXAMPLES, hint=f"limnos init {directory} --example {next(iter(EXAMPLES))}")
    target = directory.absolute()
    if target.is_symlink() or target.exists():
        target = target.resolve()
    if os.path.lexists(target / _FILE):
        raise _taken(target / _FILE)
    workplace = target.parent / f".{target.name}.limnos-init-{secrets.token_hex(4)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workplace.mkdir()
        try:
            (build or (EXAMPLES[example] if example else _start))(workplace)
            (workplace / ".gitignore").write_text(_IGNORED, encoding="utf-8")
            names = sorted(path.relative_to(workplace).as_posix() for path in workplace.rglob("*") if path.is_file())
            _move(workplace, target, names)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)
    except OSError as error:
        raise StorageFailed(
            "The project cannot be laid down",
            subject=str(target),
            seen=error.strerror or type(error).__name__,
            expected="a writable directory with free space",
            hint=f"limnos init {directory}",
        ) from error
    return tuple(names)


def _start(directory: Path) -> None:
    (directory / _FILE).write_text(_STARTER, encoding="utf-8")


def _move(workplace: Path, target: Path, names: list[str]) -> None:
    if not target.exists():
        workplace.rename(target)
        return
    for name in names:
        if os.path.lexists(target / name) and not _same(workplace / name, target / name) and name != ".gitignore":
            raise _taken(target / name)
    for name in sorted(names, key=lambda name: name == _FILE):
        if not os.path.lexists(target / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (workplace / name).rename(target / name)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def _taken(path: Path) -> TargetExists:
    what = "There is a project already" if path.name == _FILE else "Something is in the way of the new project"
    return TargetExists(what, subject=str(path), seen=path.name, expected="no such file", hint="limnos init ANOTHER_DIRECTORY")
