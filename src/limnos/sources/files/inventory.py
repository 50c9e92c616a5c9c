"""Which files belong to a table, and what they looked like when they were first seen."""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa

from limnos.errors import LimnosError, MalformedFile, SourceChanged, SourceRefused, SourceUnreachable
from limnos.model.names import literal
from limnos.model.position import Position
from limnos.ports import Session

CHUNK_BYTES = 4 * 1024 * 1024
_YOUNG_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class File:
    """Identify one file as it was when it was listed.

    `name` is what a person sees: the path relative to the project where it lies inside. `mtime_ns` and `inode` are 0 for a remote object,
    whose `modified` is set instead.
    """

    path: str
    name: str
    size: int
    mtime_ns: int = 0
    inode: int = 0
    modified: str = ""

    @property
    def remote(self) -> bool:
        """Whether only the engine can read it."""
        return "://" in self.path

    @property
    def sql(self) -> str:
        """The path as an SQL literal that the engine takes as this file and not as a pattern."""
        return literal(glob.escape(self.path))


def find(pattern: str, root: Path, session: Session) -> tuple[File, ...]:
    """List the files that a pattern matches, sorted by path.

    Raises:
        SourceUnreachable: If there is none; the message names the nearest directory that exists.
        SourceRefused: If one may not be read.
    """
    files = _find_remote(pattern, session) if "://" in pattern else _find_local(pattern, root)
    if not files:
        raise SourceUnreachable(
            "No file matches the path",
            subject=pattern,
            seen="nothing there" if "://" in pattern else _nearest(root / pattern),
            expected="at least one file",
            hint="correct `path:` in limnos.yml, then run `limnos doctor`",
        )
    return files


def _find_local(pattern: str, root: Path) -> tuple[File, ...]:
    whole = os.path.normpath(root / pattern)
    if Path(whole).is_file():
        return (look(whole, root),)
    # The root is escaped: only what the user wrote is a pattern. Path.glob would know no absolute one.
    prefix = "" if Path(pattern).is_absolute() else glob.escape(str(root)) + os.sep
    found = glob.iglob(prefix + pattern, recursive=True)  # noqa: PTH207
    paths = sorted({os.path.normpath(path) for path in found if Path(path).is_file()})
    return tuple(look(path, root) for path in paths)


def look(path: str, root: Path) -> File:
    """Describe one local file as it is now.

    Raises:
        SourceChanged: If it is gone.
        SourceRefused: If it may not be read.
    """
    name = Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path
    try:
        seen = Path(path).stat()
        with Path(path).open("rb"):
            pass
    except PermissionError as error:
        raise SourceRefused(
            "A file may not be read", subject=name, seen=error.strerror or "", expected="read permission", hint=f"chmod u+r {name}"
        ) from error
    except OSError as error:
        raise _vanished(name, error) from error
    return File(path, name, seen.st_size, seen.st_mtime_ns, seen.st_ino)


def _find_remote(pattern: str, session: Session) -> tuple[File, ...]:
    sql = (
        f"SELECT filename, size, CAST(epoch_us(last_modified) AS VARCHAR) AS modified FROM read_blob({literal(pattern)}) ORDER BY filename"
    )
    try:
        rows = session.run(sql).to_pylist()
    except LimnosError as error:
        if "No files found" in error.seen or "No files found" in error.what:
            return ()
        raise SourceUnreachable(
            "The object storage does not list the path",
            subject=pattern,
            seen=error.seen or error.what,
            expected="a listing",
            hint="limnos doctor",
        ) from error
    return tuple(File(row["filename"], row["filename"], row["size"], modified=row["modified"]) for row in rows)


def _nearest(path: Path) -> str:
    for parent in path.parents:
        if parent.is_dir():
            return f"directory {parent} with {sum(1 for _ in parent.iterdir())} entries"
    return "no such directory"


def _vanished(name: str, error: OSError) -> SourceChanged:
    return SourceChanged(
        "A file vanished while it was being read",
        subject=name,
        seen=error.strerror or str(error),
        expected="the file that was listed",
        hint="limnos run",
    )


def verify(files: Sequence[File], root: Path, session: Session) -> None:
    """Make sure that each file still is what was listed.

    Raises:
        SourceChanged: If one is gone or was written to.
    """
    for file in files:
        if file.remote:
            found = _find_remote(glob.escape(file.path), session)
            now = found[0] if found else None
        else:
            now = look(file.path, root)
        if now != file:
            raise SourceChanged(
                "A file changed while it was being read",
                subject=file.name,
                seen=f"{now.size} bytes" if now else "no such object",
                expected=f"{file.size} bytes, unchanged since it was listed",
                hint="wait until its writer is done, then `limnos run`",
            )


def opened(file: File, session: Session) -> pa.NativeFile:
    """Open the bytes of a file; a remote object is held in memory as a whole."""
    if file.remote:
        return pa.BufferReader(session.run(f"SELECT content FROM read_blob({file.sql})").column(0)[0].as_py())
    return pa.OSFile(file.path, "rb")


def chunks(file: File, session: Session, compression: str = "none") -> Iterator[bytes]:
    """Read the bytes of a file, decompressed, in pieces of 4 MB; the checksums inside gzip and zstd are verified.

    Raises:
        MalformedFile: If the compressed stream is cut off or damaged.
        SourceChanged: If the file vanished.
    """
    try:
        raw = opened(file, session)
        with raw, raw if compression == "none" else pa.CompressedInputStream(raw, "zstd" if compression == "zstd" else "gzip") as stream:
            while piece := stream.read(CHUNK_BYTES):
                yield piece
    except FileNotFoundError as error:
        raise _vanished(file.name, error) from error
    except OSError as error:
        raise MalformedFile(
            f"A file cannot be read as {compression}" if compression != "none" else "A file cannot be read",
            subject=file.name,
            seen=str(error),
            expected=f"a whole {compression} stream" if compression != "none" else "readable bytes",
            hint="deliver the file again, whole",
        ) from error


def position(files: Sequence[File], read_as: Mapping[str, object], session: Session, known: Position | None) -> Position:
    """Fingerprint the files by size and SHA-256 (a remote object: by size and time of modification), with how they are read.

    What is under `stat` spares the next call the hashing of files whose size, modification time and inode are those of `known`.
    """
    before = _before(known)
    content: list[Mapping[str, object]] = []
    stats: dict[str, object] = {}
    for file in files:
        if file.remote:
            content.append({"path": file.name, "size": file.size, "modified": file.modified})
            continue
        seen = [file.size, file.mtime_ns, file.inode]
        old_stat, old_digest = before.get(file.name, (None, ""))
        # A file written to in the instant it was hashed may keep its time: one so young is hashed again next time.
        young = time.time_ns() - file.mtime_ns < _YOUNG_NS
        digest = old_digest if old_stat == seen else _sha256(file, session)
        content.append({"path": file.name, "size": file.size, "sha256": digest})
        stats[file.name] = [file.size, 0 if young else file.mtime_ns, file.inode]
    return Position("files", {"files": content, "read": dict(read_as), "stat": stats})


def _before(known: Position | None) -> Mapping[str, tuple[object, str]]:
    if known is None or known.kind != "files":
        return {}
    stats = cast("Mapping[str, object]", known.value.get("stat", {}))
    files = cast("Sequence[Mapping[str, object]]", known.value.get("files", ()))
    return {str(file["path"]): (stats.get(str(file["path"])), str(file["sha256"])) for file in files if "sha256" in file}


def _sha256(file: File, session: Session) -> str:
    digest = hashlib.sha256()
    for piece in chunks(file, session):
        digest.update(piece)
    return digest.hexdigest()
