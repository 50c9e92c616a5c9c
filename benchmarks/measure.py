"""Measure contenders side by side: each in a process of its own, in turns, median of the repeats, with its peak memory."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / "data"
RESULTS = HERE / "results"
_MEBI = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Contender:
    """Name one way of doing the job; `work` does it once and gives the seconds that count.

    `rounds` bounds how often one that takes very long is measured, the uncounted round included; 0 for as often as the others.
    """

    name: str
    work: Callable[[], float]
    packages: tuple[str, ...] = ()
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """State what a contender is to keep: at most `most` of the seconds of another, or `most` seconds where `of` is empty."""

    contender: str
    most: float
    of: str = ""


@dataclass(slots=True)
class Samples:
    """Collect what the repeats of one contender took."""

    seconds: list[float] = field(default_factory=list[float])
    cpu_seconds: list[float] = field(default_factory=list[float])
    user_seconds: list[float] = field(default_factory=list[float])
    peak_mib: list[float] = field(default_factory=list[float])

    @property
    def median(self) -> float:
        """The middle of the wall seconds."""
        return statistics.median(self.seconds)


def timed(work: Callable[[], object]) -> float:
    """Give the wall seconds that `work` takes, and remember what it computes in this process."""
    user_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    _USER_S.append(resource.getrusage(resource.RUSAGE_SELF).ru_utime - user_s)
    return seconds


_USER_S: list[float] = []


_OPTIONS = argparse.ArgumentParser(add_help=False)


def option(name: str, default: int, meaning: str) -> int:
    """Declare a whole number that a script may be given as `--name`, and give its value; the processes of contenders are given the same."""
    _OPTIONS.add_argument(f"--{name}", type=int, default=default, help=f"{meaning}; {default:,} if not given")
    return int(getattr(_OPTIONS.parse_known_args()[0], name.replace("-", "_")))


def only_options(claim: str) -> None:
    """End with help if that was asked for, or if more was given than the declared options; for a script that does not call `main`."""
    argparse.ArgumentParser(description=claim, parents=[_OPTIONS]).parse_args()


def main(
    claim: str,
    contenders: list[Contender],
    *,
    base: str,
    target: float | None,
    prepare: Callable[[], None] = lambda: None,
    repeats: int = 5,
    targets: Sequence[Target] = (),
) -> None:
    """Run all contenders in turns and report ratios to `base`; `target` is the ratio that the first contender is to keep."""
    parser = argparse.ArgumentParser(description=claim, parents=[_OPTIONS])
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.one:
        seconds = next(one for one in contenders if one.name == said.one).work()
        # What ran in another process is known as a whole only.
        user_s = sum(_USER_S) or resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        print(json.dumps({"seconds": seconds, "user_seconds": user_s, "peak_mib": peak_mib()}))
        return
    DATA.mkdir(exist_ok=True)
    prepare()
    samples = {one.name: Samples() for one in contenders}
    for repeat in range(said.repeats + 1):
        for one in contenders:
            if 0 < one.rounds <= repeat:
                continue
            found = _once(one.name)
            # The first round warms the page cache for everybody and is not counted, but of one that is measured only then.
            if repeat or one.rounds == 1:
                samples[one.name].seconds.append(found["seconds"])
                samples[one.name].cpu_seconds.append(found["cpu_seconds"])
                samples[one.name].user_seconds.append(found["user_seconds"])
                samples[one.name].peak_mib.append(found["peak_mib"])
    _report(claim, contenders, samples, base, [Target(contenders[0].name, target, base)] if target is not None else targets)


def peak_mib() -> float:
    """Give the highest resident size of this process or of one that it waited for.

    What `wait4` says of a process begins with the size of the one that started it, so it is asked of the process itself.
    """
    (own,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 / _MEBI


def _once(name: str) -> Mapping[str, float]:
    script = Path(sys.argv[0])
    process = subprocess.Popen([sys.executable, str(script), *sys.argv[1:], "--one", name], stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed with status {status}")
    return {**json.loads(printed.splitlines()[-1]), "cpu_seconds": usage.ru_utime + usage.ru_stime}


def _report(claim: str, contenders: list[Contender], samples: dict[str, Samples], base: str, targets: Sequence[Target]) -> None:
    reference = samples[base].median
    print(f"\n{claim}\n")
    print(f"{'contender':<46} {'median s':>9} {'min s':>8} {'max s':>8} {'ratio':>6} {'CPU s':>7} {'user s':>7} {'peak MiB':>9}")
    rows = []
    for one in contenders:
        found = samples[one.name]
        row = {
            "contender": one.name,
            "median_s": round(found.median, 4),
            "min_s": round(min(found.seconds), 4),
            "max_s": round(max(found.seconds), 4),
            "ratio": round(found.median / reference, 3),
            "cpu_s": round(statistics.median(found.cpu_seconds), 3),
            "user_s": round(statistics.median(found.user_seconds), 3),
            "peak_mib": round(max(found.peak_mib), 1),
            "repeats": len(found.seconds),
        }
        rows.append(row)
        print("{contender:<46} {median_s:>9} {min_s:>8} {max_s:>8} {ratio:>6} {cpu_s:>7} {user_s:>7} {peak_mib:>9}".format(**row))
    judged = []
    for one in targets:
        found = samples[one.contender].median / (samples[one.of].median if one.of else 1.0)
        kept = found <= one.most
        judged.append({"contender": one.contender, "of": one.of or "1 s", "target": one.most, "found": round(found, 3), "kept": kept})
        print(f"{one.contender}: {found:.3g} of {one.of or '1 s'}, target {one.most:.3g}: {'kept' if kept else 'MISSED'}")
    versions = {package: version(package) for one in contenders for package in one.packages}
    RESULTS.mkdir(exist_ok=True)
    options = vars(_OPTIONS.parse_known_args()[0])
    report = {"claim": claim, "options": options, "base": base, "targets": judged, "rows": rows, "versions": versions, "machine": machine()}
    (RESULTS / (Path(sys.argv[0]).stem + ".json")).write_text(json.dumps(report, indent=2) + "\n")


def machine() -> Mapping[str, object]:
    """Say what was measured on, without naming it."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system(), "architecture": platform.machine()}


def lineitem(scale: int = 1) -> Path:
    """Give TPC-H lineitem as one Parquet file, generated once."""
    return tpch(scale) / "lineitem.parquet"


def tpch(scale: int = 1) -> Path:
    """Give a directory with the eight TPC-H tables as Parquet, generated once."""
    directory = DATA / f"tpch-sf{scale}"
    if not (directory / "lineitem.parquet").exists():
        tool = Path(sys.executable).with_name("tpchgen-cli")
        subprocess.run([str(tool), "parquet", "-s", str(scale), f"--output-dir={directory}"], check=True)
    return directory
