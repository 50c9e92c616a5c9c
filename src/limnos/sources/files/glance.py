"""Look over the bytes of a CSV file, fast: may the engine read it, and how many records must it find?

The engine reads some bytes without complaint and not exactly: it keeps NUL characters, joins `"a" "b"` to one text, and was seen to lose
records at the edges of small buffers. So what it may not read is told here, and its count is held against one made without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from limnos.sources.files.dialect import Dialect


def glance(chunks: Iterable[bytes], dialect: Dialect, width: int) -> int | None:
    """Count the records, header included, that quotes and line ends make; None if the engine may not read these bytes.

    Blank lines are no records, but in a file of one column they are where an empty text is null. Reads all chunks in any case.
    """
    quote = dialect.quote.encode()
    counter = _Counter(quote, blanks=width == 1 and "" in dialect.null_values)
    rest = b""
    plain = True
    for chunk in chunks:
        if plain:
            text = rest + chunk
            plain = b"\0" not in chunk and not (quote and _odd_space(text, dialect))
            rest = text[max(0, len(text.rstrip(b" ")) - 1) :]
            counter.add(chunk)
    return counter.records() if plain else None


def _odd_space(text: bytes, dialect: Dialect) -> bool:
    """Tell whether spaces stand between two quotes, or more than one between the edge of a field and a quote."""
    quote, edges = dialect.quote.encode(), b"\r\n" + dialect.delimiter.encode()
    for found in re.finditer(re.escape(b" " + quote), text):
        left = found.start()
        while left >= 0 and text[left] == 0x20:
            left -= 1
        before = text[left : left + 1] if left >= 0 else b""
        if before == quote or ((not before or before in edges) and found.start() - left > 1):
            return True
    return False


class _Counter:
    """Count line ends outside quotes, taking each quote as the start or end of a quoted stretch."""

    def __init__(self, quote: bytes, *, blanks: bool) -> None:
        self._quote = quote
        self._blanks = blanks
        self._inside = False
        self._held = b""
        self._count = 0
        self._open = False

    def add(self, chunk: bytes) -> None:
        text = self._held + chunk
        self._held = b"\r" if text.endswith(b"\r") else b""
        self._take(text[: len(text) - len(self._held)])

    def records(self) -> int:
        self._take(self._held)
        return self._count + self._open

    def _take(self, text: bytes) -> None:
        if self._quote and (self._inside or self._quote in text):
            parts = text.split(self._quote)
            outside = self._quote.join(parts[1 if self._inside else 0 :: 2])
            # What was inside leaves a mark, so that its line does not look blank.
            before = self._quote if self._inside else b""
            self._inside ^= len(parts) % 2 == 0
            text = before + outside + (self._quote if self._inside else b"")
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._blanks:
            while b"\n\n" in text:
                text = text.replace(b"\n\n", b"\n")
            if not self._open and text.startswith(b"\n"):
                text = text[1:]
        if text:
            self._count += text.count(b"\n")
            self._open = not text.endswith(b"\n")
