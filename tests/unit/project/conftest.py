from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from limnos.model.project import Project
from limnos.project import load_project

Load = Callable[..., Project]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIMNOS_ENV", "LIMNOS_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write limnos.yml (and other files, by path) and load the project."""

    def loaded(text: str, files: dict[str, str] | None = None, *, environment: str = "") -> Project:
        for name, content in {"limnos.yml": text, **(files or {})}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return load_project(tmp_path, environment=environment)

    return loaded
