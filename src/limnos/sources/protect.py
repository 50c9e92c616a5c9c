"""Keep the cost of reading a source within what its `protect` allows, and back off while the source itself grows slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from limnos.errors import LimnosError
from limnos.model.project import Protect

Probe = Callable[[], float]
"""Asks the source something trivial on a connection of its own, and gives how long the source took for it, in seconds."""

_EVERY_S: Final = 1.0
_LEAST_SHARE: Final = 1 / 8
_LONGEST_REST_S: Final = 2.0
_RISEN, _RECOVERED = 2.0, 1.4
_NOISE_S: Final = 0.002
_FORGET: Final = 1.01
_SCANNED: Final = 10


class Congestion:
    """Tell from a source's latency how many streams it bears: half as many when it has risen, one more when it has recovered.

    Below one stream, that stream rests for part of the time. The baseline is the least latency seen, which fades by 1 % a sample, so that a
    source that became slower for good is not starved.

    Source: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989.

    Examples:
        >>> congestion = Congestion(4)
        >>> [congestion.observe(latency_s) for latency_s in (0.01, 0.05, 0.05, 0.05, 0.01, 0.01)]
        [4.0, 4.0, 2.0, 1.0, 2.0, 3.0]
    """

    def __init__(self, most: int) -> None:
        self.most = float(most)
        self.allowed = self.most
        self.baseline_s = 0.0
        self._high = False

    def observe(self, latency_s: float) -> float:
        """Take one sample; gives how many streams are allowed. A single high sample may be chance and changes nothing."""
        self.baseline_s = min(self.baseline_s * _FORGET, latency_s) if self.baseline_s else latency_s
        risen = latency_s > self.baseline_s * _RISEN + _NOISE_S
        if risen and self._high:
            self.allowed = max(self.allowed / 2, _LEAST_SHARE)
        elif latency_s <= self.baseline_s * _RECOVERED + _NOISE_S:
            self.allowed = min(self.allowed * 2 if self.allowed < 1 else self.allowed + 1, self.most)
        self._high = risen
        return self.allowed


class Pace:
    """Slow the streams of one reading down to what is allowed, over all of them together; thread-safe.

    Where that is wanted, it probes the source every second from the first stream on, until it is closed. A stream stands in `lane` while
    it runs and says `take` before it hands a batch on.
    Nothing blocks for good: streams in excess of what the source bears all rest in proportion, so that no order of draining them can stall.
    """

    def __init__(
        self,
        protect: Protect,
        probe: Probe | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._protect = protect
        self._probe = probe if protect.adaptive else None
        self._clock = clock
        self._sleep = sleep
        self._congestion = Congestion(protect.connections)
        self._lock = threading.Lock()
        self._begun = threading.Lock()
        self._own = threading.local()
        self._active = 0
        self._free_at = 0.0
        self._expected = 0
        self._ended = threading.Event()
        self._prober: threading.Thread | None = None

    @property
    def lanes(self) -> int:
        """How many streams are worth opening now: at least one, at most `connections`."""
        return max(1, int(self._congestion.allowed))

    def expect(self, rows: int) -> None:
        """Learn how many rows a table hands over, before its streams begin."""
        self._expected = max(self._expected, rows)

    @property
    def limit_s(self) -> float:
        """How long a statement that hands rows over may take: its pauses do not count against `statement_timeout`; 0 for no limit."""
        limit_s = self._protect.statement_timeout_s
        if not limit_s:
            return 0.0
        if self._probe is not None:
            limit_s /= _LEAST_SHARE
        return limit_s + (self._expected / self._protect.max_rows_per_s if self._protect.max_rows_per_s else 0.0)

    @property
    def sparing(self) -> bool:
        """Whether what a server is to count is better divided, for `scanned` to pause in between."""
        return bool(self._protect.max_rows_per_s)

    def scanned(self, rows: int) -> None:
        """Wait after rows that the server looked at and did not hand over; ten of them count as one."""
        self.take(-(-rows // _SCANNED))

    @contextmanager
    def lane(self) -> Generator[None]:
        """Count a stream for as long as it runs."""
        self._begin()
        with self._lock:
            self._active += 1
        self._own.since = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1

    def take(self, rows: int, ended: threading.Event | None = None) -> None:
        """Wait until that many more rows are due, and rest for as long as the source is to be spared, or until `ended`."""
        now = self._clock()
        busy_s = now - getattr(self._own, "since", now)
        with self._lock:
            share = min(1.0, self._congestion.allowed / max(self._active, 1))
            rest_s = min(busy_s * (1 / share - 1), _LONGEST_REST_S)
            if self._protect.max_rows_per_s:
                due = max(self._free_at, now)
                self._free_at = due + rows / self._protect.max_rows_per_s
                rest_s = max(rest_s, due - now)
        if rest_s > 0:
            (ended.wait if ended else self._sleep)(rest_s)
        self._own.since = self._clock()

    def close(self) -> None:
        """Stop probing."""
        self._ended.set()
        if self._prober is not None:
            self._prober.join()

    def _begin(self) -> None:
        """Take the first sample before the first stream loads the source, then one every second."""
        with self._begun:
            if self._probe is None or self._prober is not None:
                return
            self._observe(self._probe)
            self._prober = threading.Thread(target=self._watch, args=(self._probe,), name="limnos-probe", daemon=True)
            self._prober.start()

    def _watch(self, probe: Probe) -> None:
        while not self._ended.wait(_EVERY_S):
            self._observe(probe)

    def _observe(self, probe: Probe) -> None:
        try:
            latency_s = probe()
        except LimnosError:
            # The streams meet the same trouble and say so; a source that does not answer is spared meanwhile.
            latency_s = float("inf")
        with self._lock:
            self._congestion.observe(latency_s)
