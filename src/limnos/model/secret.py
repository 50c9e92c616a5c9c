"""A value that must never be printed."""

from __future__ import annotations

from typing import final


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
        """Replace the secret wherever it occurs in `text`, for messages that come from drivers."""
        return text.replace(self._text, "***") if self._text else text

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
