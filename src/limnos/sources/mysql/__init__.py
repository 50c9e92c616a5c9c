"""Read a MySQL or MariaDB database: one point in time for all tables, rows as Arrow."""

from __future__ import annotations

from limnos.sources.mysql.source import MariadbSource, MysqlSource

__all__ = ["MariadbSource", "MysqlSource"]
