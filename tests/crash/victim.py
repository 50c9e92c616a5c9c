"""Run the project in the current directory, and die by SIGKILL at the step boundary whose number is given (from 0; -1 lives on).

Prints each boundary that was passed.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count

from limnos import Lake
from limnos.model.run import Step


def main(fatal: int) -> None:
    passed = count()

    def observe(step: Step) -> None:
        sys.stdout.write(f"{step.name} {step.table or ''}\n")
        sys.stdout.flush()
        if next(passed) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    lake = Lake(".", observer=observe)
    verb = sys.argv[2]
    if verb == "run":
        lake.run()
    else:
        lake.quarantine.release("shop.orders")


if __name__ == "__main__":
    main(int(sys.argv[1]))
