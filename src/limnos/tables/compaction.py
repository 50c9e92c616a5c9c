"""Choose which files of a table are worth writing anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from limnos.model.data import LiveFile

TARGET_BYTES = 512 * 1024 * 1024
_FANOUT = 4
_SMALLEST_BYTES = 1024 * 1024
_GONE_SHARE = 0.2
"""A reader passes over the rows that are gone: from this share on, that costs more over time than writing the rest once."""


def choose(files: Sequence[LiveFile], *, target_bytes: int = TARGET_BYTES) -> tuple[tuple[LiveFile, ...], ...]:
    """Group the files that are to be written anew, each group as one file of at most about `target_bytes`.

    A file goes if many of its rows are gone, or if there are four of its size class, each class four times the one before. So a row is
    written a logarithm of times over a table's life, however small the changes that bring it in. Files of different partitions are
    never in one group.

    Examples:
        >>> small = [LiveFile(f"{at}.parquet", rows=10, size_bytes=1000) for at in range(4)]
        >>> [len(group) for group in choose(small)], choose(small[:3])
        ([4], ())
    """
    by_partition: dict[str, list[LiveFile]] = defaultdict(list)
    for file in files:
        by_partition[file.partition].append(file)
    groups = (group for each in by_partition.values() for group in _packed(_chosen(each, target_bytes), target_bytes))
    return tuple(group for group in groups if len(group) > 1 or any(file.gone for file in group))


def _chosen(files: Sequence[LiveFile], target_bytes: int) -> Sequence[LiveFile]:
    """Choose by size class, smallest first; what a class is merged into counts as one file of the next."""
    holed = [file for file in files if file.gone >= _GONE_SHARE * file.rows and file.gone]
    classes: dict[int, list[LiveFile]] = defaultdict(list)
    for file in files:
        if _live_bytes(file) < target_bytes // 2 and file not in holed:
            classes[_size_class(_live_bytes(file))].append(file)
    merged: list[LiveFile] = []
    for at in range(max(classes, default=-1) + 1):
        carried = bool(merged) and _size_class(sum(map(_live_bytes, merged))) >= at
        if len(classes[at]) + carried >= _FANOUT:
            merged += classes[at]
    return sorted([*merged, *holed], key=lambda file: file.path)


def _size_class(size_bytes: int) -> int:
    """Number a size: 0 up to 1 MiB, then one more for each factor of four."""
    found = 0
    while size_bytes > _SMALLEST_BYTES * _FANOUT**found:
        found += 1
    return found


def _live_bytes(file: LiveFile) -> int:
    return file.size_bytes * (file.rows - file.gone) // max(file.rows, 1)


def _packed(files: Sequence[LiveFile], target_bytes: int) -> Iterator[tuple[LiveFile, ...]]:
    group: list[LiveFile] = []
    for file in files:
        if group and sum(map(_live_bytes, group)) + _live_bytes(file) > target_bytes:
            yield tuple(group)
            group = []
        group.append(file)
    if group:
        yield tuple(group)
