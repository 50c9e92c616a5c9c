"""The driver of MySQL and MariaDB, which is an extra: `pip install 'limnos[mysql]'`."""

from __future__ import annotations

from limnos.errors import ExtraMissing

try:
    import pymysql as pymysql  # noqa: PLC0414 for the rest of this room
except ImportError as absent:
    raise ExtraMissing(
        "The driver of MySQL and MariaDB is not installed",
        subject="a source of type mysql or mariadb",
        seen="no module pymysql",
        expected="PyMySQL 1.2 or newer",
        hint="pip install 'limnos[mysql]'",
    ) from absent
