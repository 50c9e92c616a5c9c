"""The frame around the verbs: help, flags, errors, exit codes, pipes, signals, start-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LIMNOS = [sys.executable, "-c", "from limnos.apps.cli.main import main; main()"]
HEAVY = {"duckdb", "numpy", "pandas", "psycopg", "pyarrow", "pyiceberg", "rich", "sqlalchemy", "yaml"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("verb-unknown", ["rnu"]),
        ("verb-inner-unknown", ["quarantine", "lst"]),
        ("option-unknown", ["run", "--stict"]),
        ("argument-missing", ["why"]),
        ("format-unknown", ["query", "select 1", "--format", "xml"]),
        ("page-unknown", ["explain", "not-nul"]),
        ("error-as-json", ["rnu", "--json"]),
        ("error-as-json-before", ["--json", "rnu"]),
        ("directory-missing", ["-C", "nowhere", "run"]),
        ("time-unreadable", ["query", "select 1", "--as-of", "yesterday"]),
        ("file-without-format", ["query", "select 1", "--output", "rows"]),
        ("rows-not-chosen", ["quarantine", "release", "shop.orders"]),
        ("rows-chosen-twice", ["quarantine", "reject", "shop.orders", "--all", "--rule", "x"]),
    ],
)
def test_a_wrong_request_exits_with_2_and_says_what_to_type(name, arguments, limnos, same_as, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = limnos(*arguments)
    assert said.code == 2
    assert said.out == ""
    same_as(name, said.text())


def test_an_error_as_json_has_the_four_parts(limnos) -> None:
    said = limnos("rnu", "--json")
    assert json.loads(said.err).keys() == {"error", "what", "subject", "seen", "expected", "hint", "exit_code"}


def test_without_a_verb_the_help_is_shown(limnos) -> None:
    said = limnos()
    assert said.code == 2
    assert "Verbs:" in said.err


@pytest.mark.parametrize("verb", ["plan", "run", "check", "status", "history", "doctor"])
def test_outside_a_project_a_verb_says_so(verb, limnos, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = limnos(verb, "--json")
    assert said.code == 2
    assert json.loads(said.err)["error"] == "project-missing"


def test_a_defect_shows_a_traceback_only_when_asked(limnos, tmp_path) -> None:
    """A directory that vanishes under the process is a fault that nobody foresaw."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from limnos.apps.cli.main import main; main()"
    quiet = subprocess.run([sys.executable, "-c", script, "init", "--example", "none"], capture_output=True, text=True, check=False)
    loud = subprocess.run(
        [sys.executable, "-c", script, "init", "--example", "none", "--debug"], capture_output=True, text=True, check=False
    )
    assert quiet.returncode != 0
    assert "Traceback" not in quiet.stderr
    assert "hint: " in quiet.stderr
    assert "Traceback" in loud.stderr


def test_help_imports_no_driver() -> None:
    script = "import sys; from limnos.apps.cli.main import run; run(['--help']); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Verbs:" in done.stdout
    assert HEAVY & {name.split(".")[0] for name in done.stderr.split()} == set()


def test_the_version_is_the_one_of_the_package(limnos) -> None:
    said = limnos("--version")
    assert (said.code, said.out) == (0, "limnos 0.1.0\n")


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*LIMNOS, "explain", "types"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(
    not Path("/proc/self/syscall").exists(), reason="tells by /proc when a process waits for input; this system has no /proc"
)
def test_an_interrupt_exits_with_130_and_no_traceback(shop) -> None:
    process = subprocess.Popen([*LIMNOS, "query", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    waits_for_input = ("0x0",)
    while tuple(Path(f"/proc/{process.pid}/syscall").read_text().split()[1:2]) != waits_for_input:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.strip() == "interrupted"
