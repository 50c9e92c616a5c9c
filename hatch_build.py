"""Compile the decoders in C where there is a compiler; without one the wheel is pure, and the portable decoders do their work."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

_FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Put beside each C file of the package the library that `limnos.ports.compiled` looks for there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree for an editable install, else into the wheel."""
        root = Path(self.root)
        self._scratch = tempfile.TemporaryDirectory()
        for number, source in enumerate(sorted((root / "src").rglob("*.c"))):
            installed = source.with_suffix(".so")
            library = installed if version == "editable" else Path(self._scratch.name) / f"{number}.so"
            if refused := compiled(source, library):
                self.app.display_warning(f"{source.name} is not compiled, the portable decoder takes its place: {refused}")
                if version == "editable":
                    installed.unlink(missing_ok=True)
            elif version != "editable":
                build_data["force_include"][str(library)] = str(installed.relative_to(root / "src"))
                build_data["pure_python"] = False
                # No part of Python's own ABI is used.
                build_data["tag"] = f"py3-none-{next(iter(platform_tags()))}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Throw away what was compiled for the wheel."""
        self._scratch.cleanup()


def compiled(source: Path, library: Path, *flags: str) -> str:
    """Compile one file; gives why that failed, or nothing."""
    compiler = shlex.split(os.environ.get("CC", "")) or [next(filter(shutil.which, ("cc", "gcc", "clang")), "")]
    if not shutil.which(compiler[0]):
        return "there is no C compiler"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    # A library that a process has loaded must not be written to, only replaced.
    made = library.with_name(f"{library.name}.{os.getpid()}")
    command = [*compiler, *_FLAGS, *flags, f'-DLIMNOS_DIGEST="{digest}"', str(source), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 the system's compiler
    if done.returncode:
        return done.stderr
    made.replace(library)
    return ""
