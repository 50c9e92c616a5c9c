"""`secret://NAME`: a value that stands in the environment or in a file, and never in limnos.yml."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from limnos.errors import SecretMissing
from limnos.model.place import Place
from limnos.model.secret import Secret
from limnos.project.nodes import invalid

_REFERENCE = re.compile(r"secret://(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def resolve(text: str, *, root: Path, place: Place, name: str) -> Secret:
    """Give what `secret://NAME` stands for, or `text` itself if it is no reference; `name` is what a literal is called.

    The environment variable NAME, unless empty, wins over the file NAME in `LIMNOS_SECRETS_DIR` or `.limnos/secrets`; the last line end
    of the file is no part of the secret.

    Raises:
        SecretMissing: If neither is there.
        ProjectInvalid: If NAME is not a plain name, or everybody may read the file.
    """
    reference = _REFERENCE.fullmatch(text)
    if reference is None:
        return Secret(text, name=name)
    wanted = reference[1]
    if not _NAME.fullmatch(wanted):
        raise invalid("A secret's name is not a plain name", place, seen=f"secret://{wanted}", expected="letters, digits, and . _ -")
    if value := os.environ.get(wanted):
        return Secret(value, name=wanted)
    directory = Path(os.environ.get("LIMNOS_SECRETS_DIR") or root / ".limnos" / "secrets")
    return Secret(_read(directory / wanted, wanted, place), name=wanted)


def _read(path: Path, name: str, place: Place) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise invalid(
                    f"Everybody may read the secret {name}",
                    place,
                    seen=str(path),
                    expected="a file for its owner only",
                    hint=f"chmod 600 {path}",
                )
            return file.read().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretMissing(
            f"The secret {name} is nowhere to be found",
            subject=str(place),
            seen=f"no variable {name}, and {path}: {error.strerror if isinstance(error, OSError) else 'not UTF-8'}",
            expected=f"the environment variable {name}, or the file {path}",
            hint=f"export {name}=...",
        ) from error
