"""A third party's package adds a source by entry point: built as a wheel, installed in an environment of its own, used by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PLUGIN = Path(__file__).parents[1] / "plugin"
LIMNOS = "from limnos.apps.cli.main import main; main()"
PROJECT = """
version: 1
project: sea
sources:
  sea: {type: tide, hours: 48, tables: {high: {}, low: {}}}
"""


def _run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that holds the plug-in as a wheel, and sees what this one holds."""
    home = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, home / "source", ignore=shutil.ignore_patterns("__pycache__", "dist"))
    _run(sys.executable, "-m", "venv", home / "fresh")
    fresh = home / "fresh/bin/python"
    _run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", home, home / "source")
    (wheel,) = home.glob("limnos_tide-*.whl")
    _run(fresh, "-m", "pip", "install", "--no-deps", "--no-index", wheel)
    site = _run(fresh, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(site) / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return fresh


def test_a_source_by_a_third_party_is_run_and_queried_by_its_type(python: Path, tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(PROJECT)
    done = json.loads(_run(python, "-c", LIMNOS, "-C", tmp_path, "run", "--json"))
    assert {table["table"]: (table["read"], table["written"]) for table in done["tables"]} == {"sea.high": (48, 48), "sea.low": (48, 48)}
    rows = _run(python, "-c", LIMNOS, "-C", tmp_path, "query", "SELECT count(*) AS n FROM sea.low", "--format", "json")
    assert json.loads(rows) == [{"n": 48}]


def test_it_passes_the_shipped_suite_in_its_own_environment(python: Path, tmp_path: Path) -> None:
    shutil.copy(PLUGIN / "test_tide.py", tmp_path)
    said = _run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path / "test_tide.py")
    assert "passed" in said
    assert "skipped" not in said


def test_without_the_package_its_type_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(PROJECT)
    done = subprocess.run([sys.executable, "-c", LIMNOS, "-C", str(tmp_path), "run"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No source type is called tide" in done.stderr
    assert "Traceback" not in done.stderr
