"""Where the lake's files are: a directory or an S3 prefix, seen the same way."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime

from pyarrow import NativeFile, fs

from limnos.errors import StorageFailed
from limnos.model.data import WrittenFile
from limnos.model.project import StorageConfig
from limnos.model.secret import Secret

_LOCAL = re.compile("^file:(//)?")
_READ_BYTES = 4 * 1024 * 1024
_THREADS = 4


class Storage:
    """Delete, list and digest files below one root; paths are those that manifests record."""

    def __init__(self, config: StorageConfig) -> None:
        self.uri = config.uri.rstrip("/")
        self.config = config
        self._digests: dict[str, str] = {}
        self._files = fs.LocalFileSystem() if config.is_local else _s3(config.options)

    def path(self, uri: str) -> str:
        """Give the one spelling of a file: writers name one local file with and without `file://`."""
        return _LOCAL.sub("", uri) if self.config.is_local else uri.removeprefix("s3://")

    def _uri(self, path: str) -> str:
        return path if self.config.is_local else "s3://" + path

    @property
    def properties(self) -> Mapping[str, str]:
        """The same options in PyIceberg's words."""
        if self.config.is_local:
            return {"warehouse": self.uri}
        said = self.config.options
        words = {"endpoint": "s3.endpoint", "region": "s3.region", "access_key": "s3.access-key-id", "secret_key": "s3.secret-access-key"}
        style = {"s3.force-virtual-addressing": "true"} if said.get("path_style") is False else {}
        return {"warehouse": self.uri} | style | {word: _revealed(said[name]) for name, word in words.items() if said.get(name)}

    @contextmanager
    def told(self, verb: str, uri: str) -> Generator[None]:
        """Turn what the file system says of `uri` into an error of ours.

        Raises:
            StorageFailed: If the storage refuses.
        """
        try:
            yield
        except OSError as error:
            raise StorageFailed(
                f"Cannot {verb} the lake's files",
                subject=uri,
                seen=self._scrubbed(str(error).splitlines()[0]),
                expected="storage that answers and allows it",
                hint="limnos doctor",
            ) from error

    def _scrubbed(self, text: str) -> str:
        for value in self.config.options.values():
            text = value.scrub(text) if isinstance(value, Secret) else text
        return text

    def files_below(self, directory: str) -> Sequence[str]:
        """List every file below a directory, however deep; a directory that is not there has none."""
        return [self._uri(info.path) for info in self._below(directory)]

    def older(self, directory: str, than: datetime) -> Mapping[str, int]:
        """List the files below a directory that were written last before an instant, each with its size in bytes."""
        return {self._uri(info.path): int(info.size or 0) for info in self._below(directory) if info.mtime is None or info.mtime < than}

    def _below(self, directory: str) -> Sequence[fs.FileInfo]:
        selector = fs.FileSelector(self.path(directory), recursive=True, allow_not_found=True)
        with self.told("list", directory):
            found = self._files.get_file_info(selector)
        return [info for info in found if info.type is fs.FileType.File]

    def open(self, uri: str) -> NativeFile:
        """Open a file for random reads; close it after use."""
        with self.told("read", uri):
            return self._files.open_input_file(self.path(uri))

    @contextmanager
    def created(self, uri: str) -> Generator[NativeFile]:
        """Write a new file, with the directories that it needs."""
        with self.told("write", uri):
            if self.config.is_local:
                self._files.create_dir(posixpath.dirname(self.path(uri)), recursive=True)
            with self._files.open_output_stream(self.path(uri)) as stream:
                yield stream

    @staticmethod
    def home(metadata_location: str) -> str:
        """Give the directory of the table whose metadata file lies there."""
        return posixpath.dirname(posixpath.dirname(metadata_location))

    def delete(self, uris: Sequence[str]) -> int:
        """Delete files, one that is gone already as well; gives how many."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return sum(pool.map(self._delete, uris))

    def _delete(self, uri: str) -> int:
        with self.told("delete", uri), suppress(FileNotFoundError):
            self._files.delete_file(self.path(uri))
        return 1

    def delete_empty_directories(self, directory: str) -> None:
        """Delete a directory that holds no file; object stores have none."""
        if self.config.is_local and not self.files_below(directory):
            with self.told("delete", directory), suppress(FileNotFoundError):
                self._files.delete_dir(self.path(directory))

    def probe(self) -> str:
        """Write a small file below the root and delete it; gives what to tell."""
        uri = f"{self.uri}/.limnos-probe"
        with self.created(uri) as stream:
            stream.write(b"limnos")
        self.delete([uri])
        return f"{self.uri} can be written"

    def digest(self, files: Sequence[WrittenFile]) -> str:
        """Digest the content of files, whatever their names and order: SHA-256 over their sorted SHA-256s and row counts."""
        with ThreadPoolExecutor(_THREADS) as pool:
            hashes = pool.map(self._sha256, [file.path for file in files])
            lines = sorted(f"{content} {file.rows}\n" for content, file in zip(hashes, files, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _sha256(self, uri: str) -> str:
        """Digest one file, once: no file is ever written again under the same name."""
        if uri not in self._digests:
            self._digests[uri] = self._read_sha256(uri)
        return self._digests[uri]

    def _read_sha256(self, uri: str) -> str:
        digest = hashlib.sha256()
        with self.told("read", uri), self._files.open_input_stream(self.path(uri), buffer_size=0) as stream:
            while block := stream.read(_READ_BYTES):
                digest.update(block)
        return digest.hexdigest()


def _revealed(value: object) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def _s3(options: Mapping[str, object]) -> fs.FileSystem:
    endpoint = str(options.get("endpoint") or "").rstrip("/")
    scheme, _, host = endpoint.rpartition("://")
    return fs.S3FileSystem(
        endpoint_override=host or None,
        scheme="http" if scheme == "http" else "https",
        region=str(options["region"]) if options.get("region") else None,
        access_key=_revealed(options["access_key"]) if options.get("access_key") else None,
        secret_key=_revealed(options["secret_key"]) if options.get("secret_key") else None,
        force_virtual_addressing=options.get("path_style") is False,
    )
