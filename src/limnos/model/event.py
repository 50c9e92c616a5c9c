"""What happened, hash-linked to what happened before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Event:
    """Record who did what to what; `at` is in UTC, `payload` holds JSON values only.

    Its hash covers every field and the hash of the event before it.

    Source: RFC 6962 section 2.1 for the leaf prefix 0x00.
    """

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    run_id: str
    payload: Mapping[str, object]
    previous: str = GENESIS

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of the event, 64 hexadecimal digits."""
        said = {
            "seq": self.seq,
            "at": self.at.isoformat(),
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "run_id": self.run_id,
            "payload": self.payload,
            "previous": self.previous,
        }
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(b"\x00" + text.encode()).hexdigest()
