"""Blocks of the docs marked `console` and `python` are executed, each page in a fresh directory; `LIMNOS_REWRITE=1` writes outputs anew."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import chdir, closing
from pathlib import Path

import psycopg
import pytest
import services

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if BLOCK.search(path.read_text(encoding="utf-8")))
VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-22T09:15:00Z"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "2026-11-22 09:15:00 UTC"),
    (re.compile(r" *\b\d+\.\d s\b"), "  0.1 s"),
    (re.compile(r"(?<![.\d])\d{15,19}\b"), "5123456789012345678"),
    (re.compile(r"\b(?=\d*[a-f])[0-9a-f]{16,64}\b"), "0123456789abcdef"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
]


def steady(text: str) -> str:
    for varying, instead in VARYING:
        text = varying.sub(instead, text)
    return text


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block with the lines that stand below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = next((at for at, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        yield lines[0] + "".join(line[2:] for line in lines[1:end]), "".join(lines[end:])


def shell(command: str, directory: Path) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout


def shown(block: str, directory: Path) -> str:
    parts: list[str] = []
    for command, _ in commands(block):
        typed = command.splitlines(keepends=True)
        parts.append("$ " + typed[0] + "".join("> " + line for line in typed[1:]) + shell(command, directory))
    return "".join(parts)


@pytest.fixture
def shop_dsn(postgres_server: services.Postgres) -> Generator[str]:
    """A database of its own, without a slot left behind, for a page that asks for one."""
    name = "docs_shop"
    with closing(psycopg.connect(postgres_server.dsn, autocommit=True)) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield postgres_server.url(name)
        server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", (name,))
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_docs_show_is_what_happens(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text(encoding="utf-8")
    if "$SHOP_DSN" in text:
        dsn: str = request.getfixturevalue("shop_dsn")
        request.getfixturevalue("monkeypatch").setenv("SHOP_DSN", dsn)
    scope: dict[str, object] = {}
    happened, end = "", 0
    for found in BLOCK.finditer(text):
        if found[1] == "python":
            with chdir(tmp_path):
                exec(compile(found[2], str(page), "exec"), scope)  # noqa: S102 the docs are ours
        else:
            happened += text[end : found.start(2)] + shown(found[2], tmp_path)
            end = found.end(2)
    happened += text[end:]
    if os.environ.get("LIMNOS_REWRITE") and steady(text) != steady(happened):
        page.write_text(happened, encoding="utf-8")
    else:
        assert steady(text) == steady(happened)


def test_there_are_pages_to_execute() -> None:
    assert {page.stem for page in PAGES} >= {"README", "own-files", "bad-rows", "change-data-capture", "incremental", "python"}
