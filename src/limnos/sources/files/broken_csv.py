"""Read CSV exactly, byte by byte, where the fast reader gives up: good records on one side, rejects on the other.

Every byte of a file belongs to exactly one `Record`, so nothing is lost: header, row, blank line or reject.

Source: RFC 4180, with these additions: a line ends with LF, CRLF or CR, mixed at will; spaces around a quoted field are ignored; a quote
inside a field that does not start with one is an ordinary character; empty and null fields after the last column are ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from limnos.sources.files.dialect import Dialect

RECORD_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class Kind(Enum):
    """Say what a stretch of bytes is."""

    HEADER = "header"
    ROW = "row"
    BLANK = "blank"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one stretch of a file.

    `line` counts physical lines from 1, `raw` has its line end, `fields` is empty for a blank line or a reject.
    """

    kind: Kind
    line: int
    raw: bytes
    fields: Sequence[str | None] = ()
    reason: str = ""


def lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Cut bytes into physical lines with their ends; a line beyond 16 MiB comes in pieces, and False marks each of them."""
    rest = b""
    whole = True
    for chunk in chunks:
        rest += chunk
        parts = rest.splitlines(keepends=True)
        # The last part may go on in the next chunk, and so may a CR that an LF follows.
        rest = parts.pop() if parts else b""
        for part in parts:
            yield part, whole
            whole = True
        while len(rest) > RECORD_BYTES:
            whole = False
            yield rest[:RECORD_BYTES], whole
            rest = rest[RECORD_BYTES:]
    for part in rest.splitlines(keepends=True):
        yield part, whole
        whole = True


def records(chunks: Iterable[bytes], dialect: Dialect, width: int = 0) -> Iterator[Record]:
    """Cut bytes into records of `width` fields (0: as many as the first record has); never raises, whatever the bytes.

    A record whose quotes do not work out is rejected up to the end of its first line only, and reading goes on at the next line, so that a
    stray quote never swallows the rows after it.
    """
    return _Reader(chunks, dialect, width).records()


class _Reader:
    def __init__(self, chunks: Iterable[bytes], dialect: Dialect, width: int) -> None:
        self._lines = lines(chunks)
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._nulls = frozenset(dialect.null_values)
        self._nothing = {(value.encode(), False) for value in ("", *dialect.null_values)}
        self._delimiter = dialect.delimiter.encode()
        self._quote = dialect.quote.encode()
        self._doubled = self._quote * 2
        self._header = dialect.header
        self._width = width

    def records(self) -> Iterator[Record]:
        line, header = 1, self._header
        bom = b""
        while (found := self._next()) is not None:
            first, whole = found
            if line == 1 and not bom and first.startswith(_BOM):
                bom, first = _BOM, first[3:]
                if not first:
                    yield Record(Kind.BLANK, line, bom)
                    break
            record, taken = self._record(line, first, header=header) if whole else (_too_long(line, first), int(first[-1:] in b"\r\n"))
            if bom and line == 1:
                record = Record(record.kind, line, bom + record.raw, record.fields, record.reason)
            line += taken
            if record.kind is Kind.ROW and header:
                record = Record(Kind.HEADER, record.line, record.raw, record.fields)
            header = header and record.kind is Kind.BLANK
            yield record

    def _next(self) -> tuple[bytes, bool] | None:
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def _record(self, line: int, first: bytes, *, header: bool) -> tuple[Record, int]:
        body = first.rstrip(b"\r\n")
        if not body and (self._width != 1 or header or "" not in self._nulls):
            return Record(Kind.BLANK, line, first), 1
        if not self._quote or self._quote not in first:
            return self._judge(line, first, [(field, False) for field in body.split(self._delimiter)], header=header), 1
        taken = [first]
        fields, fault = self._fields(taken)
        if fault:
            self._waiting.extendleft(reversed([(text, True) for text in taken[1:]]))
            return Record(Kind.REJECT, line, first, reason=fault), 1
        return self._judge(line, b"".join(taken), fields, header=header), len(taken)

    def _fields(self, taken: list[bytes]) -> tuple[list[tuple[bytes, bool]], str]:
        """Split the record that starts with the line in `taken`, adding the lines it goes on over; gives the fields, and what is wrong."""
        fields: list[tuple[bytes, bool]] = []
        text, at = taken[0], 0
        while True:
            end = len(text.rstrip(b"\r\n"))
            start = at
            while start < end and text[start] == 0x20:
                start += 1
            if text[start : start + 1] == self._quote:
                value, text, at, fault = self._quoted(taken, text, start + 1)
                if fault:
                    return fields, f"{fault} in field {len(fields) + 1}"
                fields.append((value, True))
                end = len(text.rstrip(b"\r\n"))
            else:
                cut = text.find(self._delimiter, at, end)
                stop = cut if cut >= 0 else end
                fields.append((text[at:stop], False))
                at = stop
            if at >= end:
                return fields, ""
            at += 1

    def _quoted(self, taken: list[bytes], text: bytes, at: int) -> tuple[bytes, bytes, int, str]:
        """Read a quoted field from behind its first quote; gives the value, the line it ends in, the place behind it, and what is wrong."""
        parts: list[bytes] = []
        size = 0
        while True:
            found = text.find(self._quote, at)
            if found < 0:
                parts.append(text[at:])
                size += len(text) - at
                following = self._next() if size < RECORD_BYTES else None
                if following is None or not following[1]:
                    self._waiting.extendleft([following] if following else [])
                    return b"", text, at, "quote without an end"
                text, at = following[0], 0
                taken.append(text)
                continue
            parts.append(text[at:found])
            at = found + 1
            if text[at : at + 1] != self._quote:
                break
            parts.append(self._quote)
            at += 1
        end = len(text.rstrip(b"\r\n"))
        while at < end and text[at] == 0x20:
            at += 1
        if at < end and text[at : at + 1] != self._delimiter:
            return b"", text, at, "text after a closing quote"
        return b"".join(parts), text, at, ""

    def _judge(self, line: int, raw: bytes, fields: list[tuple[bytes, bool]], *, header: bool) -> Record:
        if self._width:
            while len(fields) > self._width and fields[-1] in self._nothing:
                fields.pop()
            if len(fields) != self._width:
                few = "few" if len(fields) < self._width else "many"
                return Record(Kind.REJECT, line, raw, reason=f"too {few} fields: {len(fields)} of {self._width}")
        if b"\0" in raw:
            return Record(Kind.REJECT, line, raw, reason=f"NUL character at byte {raw.index(0) + 1} of the record")
        try:
            values = [(value.decode(), quoted) for value, quoted in fields]
        except UnicodeDecodeError:
            return Record(Kind.REJECT, line, raw, reason=_not_utf8(raw))
        self._width = self._width or len(fields)
        nulls = frozenset[str]() if header else self._nulls
        return Record(Kind.ROW, line, raw, [None if not quoted and value in nulls else value for value, quoted in values])


def _too_long(line: int, raw: bytes) -> Record:
    return Record(Kind.REJECT, line, raw, reason=f"line longer than {RECORD_BYTES} bytes")


def _not_utf8(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the record"
    return "not UTF-8: a field ends inside a character"
