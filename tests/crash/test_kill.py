"""Kill a run at every step boundary, run again, and find the lake that an undisturbed run makes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from limnos import Lake
from tests.crash import world

VICTIM = Path(__file__).with_name("victim.py")
ENOUGH = 25


def perish(directory: Path, fatal: int, verb: str) -> tuple[int, list[str]]:
    """Run a verb in a process of its own that dies at a boundary; gives its exit code and the boundaries it passed."""
    command = [sys.executable, str(VICTIM), str(fatal), verb]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=120)
    assert not ended.stderr, ended.stderr
    return ended.returncode, ended.stdout.splitlines()


def resume(directory: Path, verb: str) -> None:
    """Give the same command again, in this process: a start of Python costs more than the work."""
    lake = Lake(directory)
    if verb == "run":
        assert lake.run().exit_code() == 0
    else:
        lake.quarantine.release("shop.orders")


@dataclass(frozen=True, slots=True)
class Scene:
    """A project made ready, the boundaries of the verb on it, and what is seen before and after it undisturbed."""

    home: Path
    verb: str
    boundaries: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]

    def fresh(self) -> Path:
        """Put the project back as it was made ready, in the same place: a lake's metadata holds absolute paths."""
        shutil.rmtree(self.home / "work")
        shutil.copytree(self.home / "saved", self.home / "work")
        return self.home / "work"


def first_load(directory: Path) -> None:
    world.make(directory)


def second_load(directory: Path) -> None:
    world.make(directory)
    Lake(directory).run()
    world.change(directory)


def release(directory: Path) -> None:
    world.make(directory)
    Lake(directory).run()
    world.mend(directory)


SCENES: dict[str, tuple[Callable[[Path], None], str]] = {
    "first load": (first_load, "run"),
    "second load": (second_load, "run"),
    "release": (release, "release"),
}


@cache
def scene(name: str) -> Scene:
    prepare, verb = SCENES[name]
    home = Path(mkdtemp(prefix="limnos-crash-"))
    prepare(home / "work")
    made = Scene(home, verb, (), {}, {})
    shutil.copytree(home / "work", home / "saved")
    before = world.seen(home / "work")
    code, boundaries = perish(made.fresh(), -1, verb)
    assert code == 0, boundaries
    after = world.seen(home / "work")
    assert after != before
    assert not world.strays(home / "work")
    return Scene(home, verb, tuple(boundaries), before, after)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Number the boundaries without running anything at collection: a boundary past the last one is asserted to be past it."""
    if {"name", "fatal"} <= set(metafunc.fixturenames):
        cases = [(name, fatal) for name, most in (("first load", 48), ("second load", 48), ("release", 8)) for fatal in range(most)]
        metafunc.parametrize(("name", "fatal"), cases, ids=[f"{name}-{fatal}" for name, fatal in cases])


def test_a_killed_verb_leaves_no_trace_and_the_next_one_makes_the_same_lake(name: str, fatal: int) -> None:
    made = scene(name)
    if fatal >= len(made.boundaries):
        assert fatal >= ENOUGH or made.verb != "run"
        return
    lake = made.fresh()
    code, passed = perish(lake, fatal, made.verb)
    assert code == -signal.SIGKILL
    assert tuple(passed) == made.boundaries[: fatal + 1]
    assert world.seen(lake) in (made.before, made.after)

    resume(lake, made.verb)
    assert world.seen(lake) == made.after
    assert world.strays(lake) == set()
    assert world.ended(lake)


@pytest.mark.parametrize("name", ["first load", "second load"])
def test_a_run_has_enough_boundaries_to_be_killed_at(name: str) -> None:
    boundaries = scene(name).boundaries
    assert len(set(boundaries)) >= ENOUGH
