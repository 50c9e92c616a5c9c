"""Where results go."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import pyarrow as pa


@runtime_checkable
class Sink(Protocol):
    """Put a result somewhere outside.

    Suite: `limnos.testing.sink`: all or nothing; a replay with the same content changes nothing.
    """

    kind: ClassVar[str]

    def write(self, rows: pa.RecordBatchReader) -> int:
        """Write all rows or none; gives how many.

        Raises:
            StorageFailed: If the target refuses.
        """
        ...
