"""Expand a folder named in the navigation (`Rules: rules/`) to its pages, so that a new page needs no second entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Replace each `name: folder/` by the folder's pages in order of their names."""
    config["nav"] = _expanded(config["nav"], Path(config["docs_dir"]))
    return config


def _expanded(entry: Any, docs: Path) -> Any:
    match entry:
        case list():
            return [_expanded(one, docs) for one in entry]
        case dict():
            return {name: _expanded(value, docs) for name, value in entry.items()}
        case str() if entry.endswith("/"):
            return [f"{entry}{page.name}" for page in sorted((docs / entry).glob("*.md"))]
        case _:
            return entry
