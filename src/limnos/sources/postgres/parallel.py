"""Read the parts of one table over several connections at once, as streams of batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing

import pyarrow as pa

from limnos.sources.postgres.cells import Rows
from limnos.sources.postgres.wire import Wire
from limnos.sources.protect import Pace

_BATCHES_AHEAD = 2


class Parallel:
    """Hand over the batches of all `parts`, part by part, within a part in any order.

    Each of the connections takes the next SELECT that nobody reads, of the part that is being taken or of the one after it.

    Args:
        connect: Opens one more connection, which sees the same snapshot.
        parts: The SELECTs of each part.
        decode: Makes a batch of rows that lie in a buffer which is soon used again.
        pace: Says how many connections there may be, and how fast they may be read.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Wire]],
        parts: Sequence[Sequence[str]],
        decode: Callable[[Rows], pa.RecordBatch],
        pace: Pace,
    ) -> None:
        self._connect = connect
        self._decode = decode
        self._selects = deque((at, select) for at, selects in enumerate(parts) for select in selects)
        self._unread = [len(selects) for selects in parts]
        self._ready: list[deque[pa.RecordBatch]] = [deque() for _ in parts]
        self._taken = 0
        self._turn = threading.Condition()
        self._stopped = False
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._open: set[Wire] = set()
        self._pace = pace
        lanes = min(pace.lanes, len(self._selects))
        self._most_ready = _BATCHES_AHEAD * lanes
        self._threads = [threading.Thread(target=self._lane, name=f"postgres-{lane}", daemon=True) for lane in range(lanes)]

    def parts(self) -> Generator[Iterator[pa.RecordBatch]]:
        """Start reading, and give the batches of each part; an error of one connection ends all of them."""
        for thread in self._threads:
            thread.start()
        try:
            for at in range(len(self._ready)):
                with self._turn:
                    self._taken = at
                    self._turn.notify_all()
                yield self._part(at)
        finally:
            self._stop()

    def _part(self, at: int) -> Iterator[pa.RecordBatch]:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._error or self._ready[at] or not self._unread[at])
                if self._error:
                    raise self._error
                if not self._ready[at]:
                    return
                batch = self._ready[at].popleft()
                self._turn.notify_all()
            yield batch

    def _stop(self) -> None:
        self._ended.set()
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
            for wire in self._open:
                wire.stop()
        for thread in self._threads:
            thread.join()

    def _lane(self) -> None:
        try:
            with self._pace.lane(), self._connect() as wire:
                with self._turn:
                    self._open.add(wire)
                try:
                    self._read(wire)
                finally:
                    with self._turn:
                        self._open.discard(wire)
        except BaseException as error:  # noqa: BLE001 it is raised where the batches are taken
            with self._turn:
                self._error = self._error or error
                self._turn.notify_all()

    def _read(self, wire: Wire) -> None:
        while (found := self._next()) is not None:
            at, select = found
            with closing(wire.copy(select)) as answers:
                for rows in answers:
                    batch = self._decode(rows)
                    self._pace.take(batch.num_rows, self._ended)
                    if not self._hand(at, batch):
                        return
            with self._turn:
                self._unread[at] -= 1
                self._turn.notify_all()

    def _next(self) -> tuple[int, str] | None:
        with self._turn:
            self._turn.wait_for(lambda: self._stopped or not self._selects or self._selects[0][0] <= self._taken + 1)
            return None if self._stopped or not self._selects else self._selects.popleft()

    def _hand(self, at: int, batch: pa.RecordBatch) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: self._stopped or len(self._ready[at]) < self._most_ready)
            if not self._stopped:
                self._ready[at].append(batch)
                self._turn.notify_all()
            return not self._stopped
