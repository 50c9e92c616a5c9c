"""Object storage for the embedded engine: its extension, loaded from the installed wheel, and its credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files

import duckdb

from limnos.engines.duckdb.errors import storage_failed
from limnos.errors import ExtraMissing
from limnos.model.names import literal
from limnos.model.secret import Secret


class Storage:
    """Make object storage reachable for a connection, once, when a path first needs it.

    Options are those of `StorageConfig`: endpoint, region, access_key, secret_key, path_style.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = options

    def reach(self, connection: duckdb.DuckDBPyConnection) -> Callable[[str], None]:
        """Give what makes ready for a path or for SQL that holds one."""
        ready = False

        def ensure(text: str) -> None:
            nonlocal ready
            if not ready and "s3://" in text:
                self._load(connection)
                ready = True

        return ensure

    def _load(self, connection: duckdb.DuckDBPyConnection) -> None:
        extension = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
        if not extension.is_file():
            raise ExtraMissing(
                "The extension for object storage is not installed",
                subject="duckdb-extension-httpfs",
                seen=f"duckdb {duckdb.__version__}",
                expected=f"duckdb-extension-httpfs {duckdb.__version__}",
                hint=f"pip install duckdb-extension-httpfs=={duckdb.__version__}",
            )
        try:
            connection.execute(f"LOAD {literal(str(extension))}")
            connection.execute(self._secret())
        except duckdb.Error as error:
            raise storage_failed("s3://", self._scrubbed(str(error))) from None

    def _secret(self) -> str:
        endpoint = str(self._options.get("endpoint") or "")
        scheme, _, host = endpoint.rpartition("://")
        parts = ["TYPE s3", "PROVIDER config"]
        for key, option in (("KEY_ID", "access_key"), ("SECRET", "secret_key"), ("REGION", "region")):
            value = self._options.get(option)
            if value:
                parts.append(f"{key} {literal(value.reveal() if isinstance(value, Secret) else str(value))}")
        if host:
            parts += [f"ENDPOINT {literal(host.rstrip('/'))}", f"USE_SSL {'false' if scheme == 'http' else 'true'}"]
        if self._options.get("path_style", bool(host)):
            parts.append("URL_STYLE 'path'")
        return f"CREATE OR REPLACE SECRET lake ({', '.join(parts)})"

    def _scrubbed(self, text: str) -> str:
        for value in self._options.values():
            if isinstance(value, Secret):
                text = value.scrub(text)
        return text
