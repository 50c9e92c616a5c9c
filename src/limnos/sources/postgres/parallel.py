"""Read the parts of one table over several connections at once, as one stream of batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from queue import Full, Queue

import pyarrow as pa

from limnos.sources.postgres.cells import Rows
from limnos.sources.postgres.wire import Wire
from limnos.sources.protect import Pace

_WAIT_S = 0.1
_BATCHES_AHEAD = 2


class Parallel:
    """Hand over the batches of all `selects`, in any order; each of the connections takes the next one that nobody reads.

    Args:
        connect: Opens one more connection, which sees the same snapshot.
        selects: The parts of the table.
        decode: Makes a batch of rows that lie in a buffer which is soon used again.
        pace: Says how many connections there may be, and how fast they may be read.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Wire]],
        selects: Sequence[str],
        decode: Callable[[Rows], pa.RecordBatch],
        pace: Pace,
    ) -> None:
        self._connect = connect
        self._decode = decode
        self._selects = iter(selects)
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._open: set[Wire] = set()
        self._pace = pace
        lanes = min(pace.lanes, len(selects))
        self._ready: Queue[pa.RecordBatch | BaseException | None] = Queue(_BATCHES_AHEAD * lanes)
        self._threads = [threading.Thread(target=self._lane, name=f"postgres-{lane}", daemon=True) for lane in range(lanes)]

    def batches(self) -> Generator[pa.RecordBatch]:
        """Start reading, and give batches until all parts are read; an error of one connection ends all of them."""
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        try:
            while running:
                got = self._ready.get()
                if got is None:
                    running -= 1
                elif isinstance(got, BaseException):
                    raise got
                else:
                    yield got
        finally:
            self._stop()

    def _stop(self) -> None:
        self._stopped.set()
        with self._turn:
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
            self._hand(None)
        except BaseException as error:  # noqa: BLE001 it is raised where the batches are taken
            self._hand(error)

    def _read(self, wire: Wire) -> None:
        while not self._stopped.is_set() and (select := self._next()):
            with closing(wire.copy(select)) as answers:
                for rows in answers:
                    batch = self._decode(rows)
                    self._pace.take(batch.num_rows)
                    if not self._hand(batch):
                        return

    def _next(self) -> str | None:
        with self._turn:
            return next(self._selects, None)

    def _hand(self, batch: pa.RecordBatch | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put(batch, timeout=_WAIT_S)
            except Full:
                continue
            return True
        return False
