"""The embedded engine: DuckDB."""

from limnos.engines.duckdb.engine import DuckEngine
from limnos.engines.duckdb.session import DuckSession

__all__ = ["DuckEngine", "DuckSession"]
