"""The change stream of MySQL and MariaDB: a client of the replication protocol that decodes row events to Arrow.

`dump` reads packets, `events` takes events apart, `layout` and `cells` decode rows, `batch` makes changes of them, `stream` follows the
log.
"""

from __future__ import annotations

from limnos.sources.mysql.binlog.checks import findings, prepare
from limnos.sources.mysql.binlog.followable import unfollowable
from limnos.sources.mysql.binlog.stream import ChangeStream

__all__ = ["ChangeStream", "findings", "prepare", "unfollowable"]
