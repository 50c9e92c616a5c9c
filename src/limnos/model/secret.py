"""A value that must never be printed."""

from __future__ import annotations

import re
from typing import Final, final

_TELLING: Final = 4
_NAMED: Final = r"((?i:password|passwd|pwd|passphrase)['\"]?\s*[=:]\s*['\"]?)"


@final
class Secret:
    """Hold a secret text; every way of printing it shows `***`, only `reveal()` gives it.

    Examples:
        >>> token = Secret("hunter2", name="TOKEN")
        >>> print(token, repr(token), f"{token}")
        *** Secret(TOKEN) ***
        >>> token.reveal()
        'hunter2'
    """

    __slots__ = ("_text", "name")

    def __init__(self, text: str, *, name: str = "") -> None:
        self._text = text
        self.name = name

    def reveal(self) -> str:
        """Give the text itself; call it only where a driver needs it."""
        return self._text

    def scrub(self, text: str) -> str:
        """Replace the secret wherever it occurs in `text`, for messages that come from drivers.

        One of up to three characters occurs in any text; it is replaced where passwords stand: before the `@` of an address, and after
        words such as `password=`.

        Examples:
            >>> Secret("hunter2").scrub("no such host: hunter2.example")
            'no such host: ***.example'
            >>> Secret("a").scrub("a bad address: mysql://ana:a@db/a, password='a'")
            "a bad address: mysql://ana:***@db/a, password='***'"
        """
        if len(self._text) >= _TELLING:
            return text.replace(self._text, "***")
        pattern = rf"(:)({re.escape(self._text)})(?=@)|{_NAMED}({re.escape(self._text)})(?![\w-])"
        return re.sub(pattern, lambda found: f"{found[1] or found[3]}***", text) if self._text else text

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")
