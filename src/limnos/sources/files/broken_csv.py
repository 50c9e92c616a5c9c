"""Read CSV exactly, byte by byte, where the fast reader gives up: good records on one side, rejects on the other.

Every byte of a file belongs to exactly one `Record`, so nothing is lost: header, row, blank line or reject.

Source: RFC 4180, with these additions: a line ends with LF, CRLF or CR, mixed at will; spaces around a quoted field are ignored; a quote
inside a field that does not start with one is an ordinary character; empty and null fields after the last column are ignored.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from limnos.sources.files.dialect import Dialect

RECORD_BYTES = 16 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"


class Kind(Enum):
    """Say what a stretch of bytes is."""

    HEADER = "header"
    ROW = "row"
    BLANK = "blank"
    REJECT = "reject"


class Record(NamedTuple):
    """Hold one stretch of a file: `line` counts physical lines from 1, `raw` has its line end.

    `fields` is empty for a blank line and a reject, and for a run of several `rows` that have a line each and need no care.
    """

    kind: Kind
    line: int
    raw: bytes
    fields: Sequence[str | None] = ()
    reason: str = ""
    rows: int = 1


def blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Cut bytes into blocks of whole lines; a line beyond 16 MiB comes in pieces, and False marks each of them."""
    rest = b""
    whole = True
    for chunk in chunks:
        rest += chunk
        # A CR at the end may belong to an LF in the next chunk.
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, len(rest) - 1)) + 1
        at = 0
        while at < end:
            cut = rest.find(b"\n", at + _BLOCK_BYTES if whole else at, end) + 1 or end
            if not whole:
                cut = at + len(rest[at:cut].splitlines(keepends=True)[0])
            yield rest[at:cut], whole
            at, whole = cut, True
        rest = rest[end:]
        while len(rest) > RECORD_BYTES:
            whole = False
            yield rest[:RECORD_BYTES], whole
            rest = rest[RECORD_BYTES:]
    if rest:
        yield rest, whole


def records(chunks: Iterable[bytes], dialect: Dialect, width: int = 0, *, runs: bool = False) -> Iterator[Record]:
    """Cut bytes into records of `width` fields (0: as many as the first record has); never raises, whatever the bytes.

    A record whose quotes do not work out is rejected up to the end of its first line only, and reading goes on at the next line, so that a
    stray quote never swallows the rows after it. With `runs`, rows that need no care come many at a time, which is far quicker.
    """
    return _Reader(chunks, dialect, width, runs=runs).records()


class _Reader:
    def __init__(self, chunks: Iterable[bytes], dialect: Dialect, width: int, *, runs: bool) -> None:
        self._blocks = blocks(chunks)
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._nulls = frozenset(dialect.null_values)
        self._nothing = {(value.encode(), False) for value in ("", *dialect.null_values)}
        self._delimiter = dialect.delimiter.encode()
        self._quote = dialect.quote.encode()
        self._header = dialect.header
        self._width = width
        self._simple = _simple(self._delimiter, self._quote, width).fullmatch if runs and width else None

    def records(self) -> Iterator[Record]:
        line, header, started = 1, self._header, False
        while (found := self._next() if self._waiting else next(self._blocks, None)) is not None:
            text, whole = found
            bom = _BOM if not started and text.startswith(_BOM) else b""
            started = True
            if whole and not bom and not header and (rows := self._run(text)):
                yield Record(Kind.ROW, line, text, rows=rows)
                line += rows
                continue
            if not whole:
                yield Record(Kind.REJECT, line, text, reason=f"line longer than {RECORD_BYTES} bytes")
                line += text[-1:] in b"\r\n"
                continue
            first, *others = text[len(bom) :].splitlines(keepends=True) or [b""]
            self._waiting.extendleft((each, True) for each in reversed(others))
            record, taken = self._record(line, first, header=header)
            if record.kind is Kind.ROW and header:
                record = record._replace(kind=Kind.HEADER)
            header = header and record.kind is Kind.BLANK
            yield record._replace(raw=bom + record.raw) if bom else record
            line += taken

    def _next(self) -> tuple[bytes, bool] | None:
        """Give the next line."""
        if not self._waiting and (block := next(self._blocks, None)):
            text, whole = block
            self._waiting.extend((each, True) for each in text.splitlines(keepends=True)) if whole else self._waiting.append(block)
        return self._waiting.popleft() if self._waiting else None

    def _run(self, text: bytes) -> int:
        """Count the rows of a block where each line is one that needs no care; 0 if there is any other."""
        if self._simple is None or b"\0" in text or b"\r" in text or text[-1:] != b"\n":
            return 0
        lines = text.split(b"\n")
        lines.pop()
        if self._quote and self._quote in text:
            if not all(map(self._simple, lines)):
                return 0
        elif b"" in lines or any(line.count(self._delimiter) != self._width - 1 for line in lines):
            return 0
        try:
            text.decode()
        except UnicodeDecodeError:
            return 0
        return len(lines)

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
                    if following:
                        self._waiting.appendleft(following)
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


def _simple(delimiter: bytes, quote: bytes, width: int) -> re.Pattern[bytes]:
    """Match the body of a line with `width` fields, each of them plain or well quoted."""
    d, q = re.escape(delimiter), re.escape(quote)
    plain = rb"[^ " + d + q + rb"][^" + d + q + rb"]*+"
    field = rb"(?:" + q + rb"[^" + q + rb"]*+(?:" + q + q + rb"[^" + q + rb"]*+)*+" + q + rb"|" + plain + rb")"
    # A line without a byte is no record, whatever its width.
    return re.compile(rb"(?!$)" + field + rb"?" + (rb"(?:" + d + field + rb"?){%d}" % (width - 1)))


def _not_utf8(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the record"
    return "not UTF-8: a field ends inside a character"
