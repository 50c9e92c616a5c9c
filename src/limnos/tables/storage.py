"""Where the lake's files are: a directory or an S3 prefix, seen the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pyarrow import NativeFile, fs

from limnos.errors import StorageFailed
from limnos.model.data import WrittenFile
from limnos.model.project import StorageConfig
from limnos.model.secret import Secret

_READ_BYTES = 4 * 1024 * 1024
_THREADS = 4


class Storage:
    """Delete, list and digest files below one root; paths are those that manifests record."""

    def __init__(self, config: StorageConfig) -> None:
        self.uri = config.uri.rstrip("/")
        self.config = config
        self._files = fs.LocalFileSystem() if config.is_local else _s3(config.options)

    def _path(self, uri: str) -> str:
        return uri.removeprefix("s3://") if not self.config.is_local else uri.removeprefix("file://")

    def _uri(self, path: str) -> str:
        return path if self.config.is_local else "s3://" + path

    @property
    def properties(self) -> Mapping[str, str]:
        """The same options in PyIceberg's words."""
        if self.config.is_local:
            return {"warehouse": self.uri}
        said = self.config.options
        words = {"endpoint": "s3.endpoint", "region": "s3.region", "access_key": "s3.access-key-id", "secret_key": "s3.secret-access-key"}
        return {"warehouse": self.uri} | {word: _revealed(said[name]) for name, word in words.items() if said.get(name)}

    def files_below(self, directory: str) -> Sequence[str]:
        """List every file below a directory, however deep; a directory that is not there has none."""
        selector = fs.FileSelector(self._path(directory), recursive=True, allow_not_found=True)
        try:
            found = self._files.get_file_info(selector)
        except OSError as error:
            raise self._failed("list", directory, error) from error
        return [self._uri(info.path) for info in found if info.type is fs.FileType.File]

    def open(self, uri: str) -> NativeFile:
        """Open a file for random reads; close it after use."""
        try:
            return self._files.open_input_file(self._path(uri))
        except OSError as error:
            raise self._failed("read", uri, error) from error

    def delete(self, uris: Sequence[str]) -> int:
        """Delete files; gives how many."""
        for uri in uris:
            try:
                self._files.delete_file(self._path(uri))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._failed("delete", uri, error) from error
        return len(uris)

    def delete_empty_directories(self, directory: str) -> None:
        """Delete a directory that holds no file; object stores have none."""
        if self.config.is_local and not self.files_below(directory):
            try:
                self._files.delete_dir(self._path(directory))
            except FileNotFoundError:
                return

    def probe(self) -> str:
        """Write a small file below the root and delete it; gives what to tell."""
        uri = f"{self.uri}/.limnos-probe"
        try:
            if self.config.is_local:
                self._files.create_dir(self._path(self.uri), recursive=True)
            with self._files.open_output_stream(self._path(uri)) as stream:
                stream.write(b"limnos")
        except OSError as error:
            raise self._failed("write", uri, error) from error
        self.delete([uri])
        return f"{self.uri} can be written"

    def digest(self, files: Sequence[WrittenFile]) -> str:
        """Digest the content of files, whatever their names and order: SHA-256 over their sorted SHA-256s and row counts."""
        with ThreadPoolExecutor(_THREADS) as pool:
            hashes = pool.map(self._sha256, [file.path for file in files])
            lines = sorted(f"{content} {file.rows}\n" for content, file in zip(hashes, files, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _sha256(self, uri: str) -> str:
        digest = hashlib.sha256()
        try:
            with self._files.open_input_stream(self._path(uri), buffer_size=0) as stream:
                while block := stream.read(_READ_BYTES):
                    digest.update(block)
        except OSError as error:
            raise self._failed("read", uri, error) from error
        return digest.hexdigest()

    def _failed(self, verb: str, uri: str, error: OSError) -> StorageFailed:
        return StorageFailed(
            f"Cannot {verb} the lake's files",
            subject=uri,
            seen=str(error).splitlines()[0],
            expected="storage that answers and allows it",
            hint="limnos doctor",
        )


def _revealed(value: object) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def _s3(options: Mapping[str, object]) -> fs.FileSystem:
    endpoint = str(options.get("endpoint", ""))
    scheme, _, host = endpoint.rpartition("://")
    return fs.S3FileSystem(
        endpoint_override=host or None,
        scheme="http" if scheme == "http" else "https",
        region=str(options["region"]) if options.get("region") else None,
        access_key=_revealed(options["access_key"]) if options.get("access_key") else None,
        secret_key=_revealed(options["secret_key"]) if options.get("secret_key") else None,
        force_virtual_addressing=options.get("path_style") is False,
    )
