"""The command line answers at once: `limnos --help` within 0.3 s, `limnos query "select 1"` within 1.0 s."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from measure import DATA, Contender, main, timed

LAKE = DATA / "empty-lake"
LIMNOS = str(Path(sys.executable).with_name("limnos"))


def prepare() -> None:
    """Make an empty project once."""
    if not (LAKE / "limnos.yml").exists():
        subprocess.run([LIMNOS, "init", str(LAKE)], check=True, capture_output=True)


def command(*arguments: str) -> float:
    """Run a command to its end."""
    return timed(lambda: subprocess.run(arguments, check=True, capture_output=True))


if __name__ == "__main__":
    main(
        "whole processes from start to exit, in seconds; targets: --help 0.3 s, query 1.0 s",
        [
            Contender("limnos --help", lambda: command(LIMNOS, "--help"), ("limnos", "click")),
            Contender('limnos query "select 1"', lambda: command(LIMNOS, "-C", str(LAKE), "query", "select 1")),
            Contender("python -c 'import duckdb'", lambda: command(sys.executable, "-c", "import duckdb")),
        ],
        base="python -c 'import duckdb'",
        target=None,
        prepare=prepare,
        repeats=9,
    )
