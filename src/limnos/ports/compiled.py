"""Load what was compiled from C when Limnos was built, where a compiler was there; `LIMNOS_PORTABLE` keeps it from being used.

It is reached through `ctypes`, so it is bound to no version of Python, and other threads run while it does.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PORTABLE: Final = "LIMNOS_PORTABLE"


@dataclass(frozen=True, slots=True)
class Compiled:
    """Hold a loaded library; none where `absent` says why."""

    library: ctypes.CDLL | None
    absent: str = ""

    @property
    def shown(self) -> str:
        """Which decoder is at work, as a sentence of `limnos doctor`."""
        return "rows are decoded by the compiled decoder" if self.library else f"rows are decoded by the portable decoder: {self.absent}"


def load(source: Path) -> Compiled:
    """Load what was compiled from this file, if it is of this very version."""
    if os.environ.get(PORTABLE):
        return Compiled(None, f"{PORTABLE} is set")
    path = source.with_suffix(".so")
    if not path.exists():
        return Compiled(None, "no C compiler was there when Limnos was installed")
    try:
        library = ctypes.CDLL(str(path))
        library.limnos_digest.restype = ctypes.c_char_p
        made_of = library.limnos_digest().decode()
    except (OSError, AttributeError) as error:
        return Compiled(None, f"the compiled one does not load ({error})")
    if made_of != hashlib.sha256(source.read_bytes()).hexdigest():
        return Compiled(None, "the compiled one is of another version; install Limnos again")
    return Compiled(library)
