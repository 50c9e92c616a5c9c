"""Check, roughly, that a text of the project's owner is one SQL expression and cannot leave its parentheses."""

from __future__ import annotations

import re

_PART = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--|/\*|\$\w*\$|.""", re.DOTALL)
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


def fault(text: str) -> str:
    """Say why a text cannot be put between parentheses as one SQL expression; empty when it can.

    This keeps an honest slip from changing the meaning of the statement around it. It is no wall: whoever writes limnos.yml
    runs SQL with the rights of the process.

    Examples:
        >>> fault("a <= b and name <> 'it''s; (odd'")
        ''
        >>> fault("a) or (b"), fault("a; drop table x"), fault("a = 'x")
        ('unbalanced )', 'a statement separator', "an unclosed '")
    """
    if not text.strip():
        return "an expression, not nothing"
    open_: list[str] = []
    for match in _PART.finditer(text):
        part = match[0]
        if part in _CLOSERS:
            open_.append(_CLOSERS[part])
        elif part in _CLOSERS.values():
            if not open_ or open_.pop() != part:
                return f"unbalanced {part}"
        elif part == ";":
            return "a statement separator"
        elif part in {"'", '"'}:
            return f"an unclosed {part}"
        elif part in {"--", "/*"} or part.startswith("$"):
            return f"{part} is not allowed in an expression"
        elif part == "\x00":
            return "a NUL character"
    return f"a missing {open_[-1]}" if open_ else ""
