"""The compiled decoder gives what the portable one gives, also of what no server sends, and stays within its memory."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import built
import fuzz_rows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnos.ports.compiled import PORTABLE, load
from limnos.sources.postgres.wire import PADDING_BYTES, walk

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**64 - 1))
def test_both_give_the_same_arrays_or_the_same_error(seed: int) -> None:
    rows, carriers = fuzz_rows.case(seed)
    assert fuzz_rows.outcome(rows, carriers, built.postgres()) == fuzz_rows.outcome(rows, carriers, None)


def test_the_cases_are_of_each_kind() -> None:
    """Rows that decode, columns that come as text, and rows that are none."""
    outcomes = [fuzz_rows.outcome(*fuzz_rows.case(seed), None) for seed in range(300)]
    refused = [each for each in outcomes if isinstance(each, str)]
    assert {each for each in refused if "no row of a binary COPY" in each} == set(refused)
    kinds = [kind for each in outcomes if not isinstance(each, str) for kind, _ in each]
    assert min(len(refused), len(outcomes) - len(refused), kinds.count("string"), kinds.count("decimal128(38, 10)")) > 10, outcomes


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(b"dZEN"), st.integers(0, 9) | st.just(-3)), max_size=70), st.integers(0, 20))
def test_messages_are_told_apart_as_without_it(parts: list[tuple[int, int]], lost: int) -> None:
    sent = b"".join(struct.pack(">Bi", kind, 4 + size) + bytes(max(size, 0)) for kind, size in parts)
    received, filled = bytearray(sent + bytes(PADDING_BYTES)), max(len(sent) - lost, 0)
    assert fuzz_rows.messages(built.postgres(), received, filled) == fuzz_rows.attempt(lambda: _listed(walk(received, filled, None)))


def _listed(found: tuple[object, int]) -> list[object]:
    places, at = found
    return [*places.tolist(), at]  # type: ignore[attr-defined]


def test_no_byte_outside_of_the_memory_is_touched() -> None:
    """The same cases with no byte to spare behind a row, under the sanitizers of addresses and of undefined behaviour."""
    source = built.library(built.ROWS, *SANITIZERS)
    compiler = shutil.which("cc") or "gcc"
    runtime = [_done(compiler, f"-print-file-name={name}").stdout.strip() for name in ("libasan.so", "libubsan.so")]
    environment = {"LD_PRELOAD": ":".join(runtime), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": os.pathsep.join(sys.path)}
    decoded = _done(sys.executable, fuzz_rows.__file__, source, "2000", **environment)
    assert decoded.returncode == 0, decoded.stderr
    assert "AddressSanitizer" in _done(sys.executable, fuzz_rows.__file__, source, "1", "beyond", **environment).stderr


def _done(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_what_was_compiled_is_used_only_if_it_is_of_this_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PORTABLE, raising=False)
    source = Path(shutil.copytree(built.library().parent, tmp_path / "room")) / "rows.c"
    assert load(source).shown == "rows are decoded by the compiled decoder"
    source.write_text(source.read_text() + "\n")
    assert load(source).absent == "the compiled one is of another version; install Limnos again"
    broken = Path(shutil.copytree(source.parent, tmp_path / "broken")) / "rows.c"
    broken.with_suffix(".so").write_bytes(b"none")
    assert load(broken).absent.startswith("the compiled one does not load (")
    source.with_suffix(".so").unlink()
    assert load(source).shown == "rows are decoded by the portable decoder: no C compiler was there when Limnos was installed"
    monkeypatch.setenv(PORTABLE, "1")
    assert load(built.library()).absent == "LIMNOS_PORTABLE is set"
