"""The wheel, installed with its locked requirements and nothing else, does the main job without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
CONNECT = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
READ = {"nyc.airlines": 16, "nyc.airports": 1458, "nyc.flights": 336776, "nyc.planes": 3322, "nyc.weather": 26115}

pytestmark = pytest.mark.e2e


def done(*command: str | Path, cwd: Path, code: int = 0) -> str:
    result = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, env=clean())
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the bin directory of an environment that holds the wheel, its runtime lock and the example's data."""
    place = tmp_path_factory.mktemp("install")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", place / "wheels"]
    done(*build, ROOT, cwd=place)
    done(*build, "--require-hashes", "-r", LOCKS / "example-data.txt", cwd=place)
    venv.create(place / "env", with_pip=True)
    pip = [place / "env/bin/python", "-m", "pip", "--disable-pip-version-check"]
    done(*pip, "install", "--quiet", "--require-hashes", "-r", LOCKS / "runtime.txt", cwd=place)
    done(*pip, "install", "--quiet", "--no-deps", *(place / "wheels").glob("*.whl"), cwd=place)
    return place / "env/bin"


@pytest.fixture(scope="module")
def cut_off() -> list[str]:
    """Give the prefix that runs a command in a network namespace without a route."""
    for prefix in (["unshare", "-n"], ["unshare", "-rn"]):
        if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    reason = "this system lets nobody make a network namespace (unshare -n, unshare -rn)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def test_the_environment_holds_no_development_dependency(installed: Path, tmp_path: Path) -> None:
    names = {one["name"].lower() for one in json.loads(done(installed / "python", "-m", "pip", "list", "--format", "json", cwd=tmp_path))}
    assert "limnos" in names
    assert names & {"hatchling", "hypothesis", "mypy", "pandas", "polars", "pytest", "ruff"} == set()


def test_the_wheel_brings_the_compiled_decoder_for_any_python(installed: Path, tmp_path: Path) -> None:
    (wheel,) = (installed.parents[1] / "wheels").glob("limnos-*.whl")
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no C compiler")
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    show = "from limnos.sources.postgres import native; print(native.compiled().shown)"
    assert done(installed / "python", "-c", show, cwd=tmp_path) == "rows are decoded by the compiled decoder\n"


def test_every_verb_starts_without_development_dependencies(installed: Path, tmp_path: Path) -> None:
    help_text = done(installed / "limnos", "--help", cwd=tmp_path)
    verbs = [line.split()[0] for line in help_text.partition("Verbs:\n")[2].splitlines()]
    assert len(verbs) >= 11
    for verb in verbs:
        assert "Usage: limnos" in done(installed / "limnos", verb, "--help", cwd=tmp_path)
    assert done(installed / "limnos", "explain", "not_null", cwd=tmp_path).startswith("# not_null")


def test_the_demo_runs_with_the_network_cut(installed: Path, cut_off: list[str], tmp_path: Path) -> None:
    refused = subprocess.run([*cut_off, installed / "python", "-c", CONNECT], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "Network is unreachable" in refused.stderr
    path = f"PATH={installed}:/usr/bin:/bin"
    said = done(*cut_off, "env", path, "sh", ROOT / "examples/flights.sh", "demo", cwd=tmp_path)
    assert "$ limnos run" in said
    limnos = [*cut_off, installed / "limnos", "-C", "demo"]
    runs = json.loads(
        done(*limnos, "query", "--json", "SELECT table_name, read, written, quarantined, unchanged FROM system.runs", cwd=tmp_path)
    )
    assert {run["table_name"]: run["read"] for run in runs} == READ
    for run in runs:
        rows = json.loads(done(*limnos, "query", "--json", f"SELECT count(*) AS n FROM {run['table_name']}", cwd=tmp_path))
        assert rows == [{"n": run["written"]}]
        assert run["read"] == run["written"] + run["quarantined"] + run["unchanged"]
    assert sum(run["quarantined"] for run in runs) > 0
    again = json.loads(done(*limnos, "run", "--json", cwd=tmp_path))
    assert {table["table"]: table["unchanged"] for table in again["tables"]} == READ
    assert {table["status"] for table in again["tables"]} == {"unchanged"}
    done(*limnos, "run", "--strict", "nyc.nothing", cwd=tmp_path, code=2)
