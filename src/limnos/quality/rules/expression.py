"""Check, roughly, that a text of the project's owner is one SQL expression and cannot leave its parentheses."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--|/\*|\$\w*\$|.""", re.DOTALL)
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
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _CLOSERS:
            open_.append(_CLOSERS[token])
        elif token in _CLOSERS.values():
            if not open_ or open_.pop() != token:
                return f"unbalanced {token}"
        elif token == ";":
            return "a statement separator"
        elif token in {"'", '"'}:
            return f"an unclosed {token}"
        elif token in {"--", "/*"} or token.startswith("$"):
            return f"{token} is not allowed in an expression"
        elif token == "\x00":
            return "a NUL character"
    return f"a missing {open_[-1]}" if open_ else ""
