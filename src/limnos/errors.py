"""Every error of Limnos, one class for one fact.

```
LimnosError
├── RequestError                 exit 2: the request or the project file is wrong
│   ├── ProjectMissing           no limnos.yml where one was expected
│   ├── ProjectInvalid           limnos.yml or a contract breaks a rule of its format
│   ├── SecretMissing            a secret:// reference resolves to nothing
│   ├── UnknownName              a table, source, rule, error ... that does not exist
│   ├── RuleInvalid              a declared rule cannot be built
│   ├── QueryInvalid             SQL that does not parse, bind or run
│   ├── TargetExists             something is already where a new thing was to be laid down
│   ├── VersionExpired           a version of a table that upkeep has let go
│   ├── Unsupported              a capability that was not declared
│   └── ExtraMissing             an optional dependency is not installed
├── DataError                    exit 1: the data broke a promise
│   ├── SchemaDrift              the source's columns are no longer the contract's
│   ├── MalformedFile            a file that cannot be read as what it claims to be
│   ├── AccountingBroken         read is not written + quarantined + unchanged
│   └── LedgerBroken             the event chain does not verify
├── WorldError                   exit 3: something outside failed
│   ├── SourceUnreachable        a source does not answer
│   ├── SourceRefused            a source answers and says no
│   ├── SourceChanged            a source changed while it was being read
│   ├── StorageFailed            the lake's storage refused a read or a write
│   ├── StateCorrupt             the state database is damaged or not ours
│   ├── RunInProgress            another run holds the lake
│   └── PublishConflict          another writer moved a table first
└── Refused                      exit 4: refused by policy
```

Each error says four things: what happened, to what, what was seen against what was expected, and what to type next.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import ClassVar

__all__ = [
    "AccountingBroken",
    "DataError",
    "ExtraMissing",
    "LedgerBroken",
    "LimnosError",
    "MalformedFile",
    "ProjectInvalid",
    "ProjectMissing",
    "PublishConflict",
    "QueryInvalid",
    "Refused",
    "RequestError",
    "RuleInvalid",
    "RunInProgress",
    "SchemaDrift",
    "SecretMissing",
    "SourceChanged",
    "SourceRefused",
    "SourceUnreachable",
    "StateCorrupt",
    "StorageFailed",
    "TargetExists",
    "UnknownName",
    "Unsupported",
    "VersionExpired",
    "WorldError",
    "catalogue",
]

_CAMEL = re.compile(r"(?<!^)(?=[A-Z])")


class LimnosError(Exception):
    """Say what happened, to what, seen against expected, and what to type next.

    Args:
        what: One sentence, no full stop.
        subject: The table, file, line or row it happened to.
        seen: What was found; empty when `what` says it already.
        expected: What should have been found.
        hint: The next command to type, or the next thing to do.

    Examples:
        >>> print(UnknownName("No table is called shop.ordes", subject="shop.ordes",
        ...     seen="shop.ordes", expected="shop.orders", hint="limnos status").render())
        No table is called shop.ordes
          at       shop.ordes
          seen     shop.ordes
          expected shop.orders
        hint: limnos status
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, subject: str, hint: str, seen: str = "", expected: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.subject = subject
        self.seen = seen
        self.expected = expected
        self.hint = hint

    @classmethod
    def slug(cls) -> str:
        """Name the error as `limnos explain` and problem+json do.

        Examples:
            >>> SourceUnreachable.slug()
            'source-unreachable'
        """
        return _CAMEL.sub("-", cls.__name__).lower()

    def render(self) -> str:
        """Lay the four parts out as lines of text, without colour."""
        lines = [self.what]
        for label, value in (("at", self.subject), ("seen", self.seen), ("expected", self.expected)):
            if value:
                lines.append(f"  {label:<8} {value}")
        lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def as_json(self) -> Mapping[str, object]:
        """Give the four parts as a JSON object, the same for every face of Limnos."""
        return {
            "error": self.slug(),
            "what": self.what,
            "subject": self.subject,
            "seen": self.seen,
            "expected": self.expected,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }

    def __str__(self) -> str:
        return self.render()


class RequestError(LimnosError):
    """The request or the project file is wrong."""

    exit_code = 2


class ProjectMissing(RequestError):
    """No `limnos.yml` where one was expected."""


class ProjectInvalid(RequestError):
    """`limnos.yml` or a contract breaks a rule of its format."""


class SecretMissing(RequestError):
    """A `secret://` reference resolves to nothing."""


class UnknownName(RequestError):
    """A name that does not exist; the message lists what does."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], *, hint: str) -> UnknownName:
        """Build the one wording for a name that is not among `known`, with the nearest ones first."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        expected = f"{near[0]} (did you mean this?)" if near else ", ".join(names[:12]) or "nothing is declared yet"
        return cls(f"No {kind} is called {name}", subject=name, seen=name, expected=expected, hint=hint)


class RuleInvalid(RequestError):
    """A declared rule cannot be built."""


class QueryInvalid(RequestError):
    """SQL that does not parse, bind or run."""


class TargetExists(RequestError):
    """Something is already where a new thing was to be laid down."""


class VersionExpired(RequestError):
    """A version of a table that upkeep has let go."""


class Unsupported(RequestError):
    """A capability that the adapter did not declare."""


class ExtraMissing(RequestError):
    """An optional dependency is not installed."""


class DataError(LimnosError):
    """The data broke a promise."""

    exit_code = 1


class SchemaDrift(DataError):
    """The source's columns are no longer the contract's."""


class MalformedFile(DataError):
    """A file that cannot be read as what it claims to be."""


class AccountingBroken(DataError):
    """The rows read are not the rows written, quarantined and unchanged."""


class LedgerBroken(DataError):
    """The event chain does not verify."""


class WorldError(LimnosError):
    """Something outside Limnos failed."""

    exit_code = 3


class SourceUnreachable(WorldError):
    """A source does not answer."""


class SourceRefused(WorldError):
    """A source answers and says no."""


class SourceChanged(WorldError):
    """A source changed while it was being read."""


class StorageFailed(WorldError):
    """The lake's storage refused a read or a write."""


class StateCorrupt(WorldError):
    """The state database is damaged or not ours."""


class RunInProgress(WorldError):
    """Another run holds the lake."""


class PublishConflict(WorldError):
    """Another writer moved a table first."""


class Refused(LimnosError):
    """Refused by policy."""

    exit_code = 4


def catalogue() -> Mapping[str, type[LimnosError]]:
    """Map each slug to its class, for `limnos explain` and the docs test; groups are left out.

    Examples:
        >>> sorted(catalogue())[:2]
        ['accounting-broken', 'extra-missing']
    """
    groups = {RequestError, DataError, WorldError}
    found: dict[str, type[LimnosError]] = {}
    open_ = list(LimnosError.__subclasses__())
    while open_:
        error = open_.pop()
        open_.extend(error.__subclasses__())
        if error not in groups and error.__module__ == __name__:
            found[error.slug()] = error
    return found
