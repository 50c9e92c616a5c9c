"""A TCP proxy in a thread, which cuts or slows the connections through it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Pass connections to `target` on; after `cut_after_bytes` from the server all of them are cut, and new ones refused while `down`."""

    target: int
    port: int = 0
    cut_after_bytes: int = 0
    bytes_per_s: int = 0
    down: bool = False
    passed: int = 0
    cuts: int = 0
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            with self._lock:
                self._open += [client, server]
            threading.Thread(target=self._pump, args=(client, server), kwargs={"counted": False}, daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client), kwargs={"counted": True}, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, *, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if counted:
                    self.passed += len(data)
                    if self.bytes_per_s:
                        time.sleep(len(data) / self.bytes_per_s)
                    if self.cut_after_bytes and self.passed >= self.cut_after_bytes:
                        self.cut_after_bytes = 0
                        self.cut()
                        return
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Cut every connection at once."""
        self.cuts += 1
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            self._open.clear()


@contextmanager
def proxy(target: int) -> Generator[Proxy]:
    """Run a proxy to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Proxy(target, int(listener.getsockname()[1]))
        threading.Thread(target=found.serve, args=(listener,), daemon=True).start()
        try:
            yield found
        finally:
            found.down = True
            found.cut()
