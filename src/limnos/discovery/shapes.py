"""The forms of texts: `AA-9999` for `LH-0441`."""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase, digits

from limnos.model.names import literal

_FROM = ascii_uppercase + ascii_lowercase + digits
_TO = "A" * 26 + "a" * 26 + "9" * 10
_CLASSES = {"A": "[A-Z]", "a": "[a-z]", "9": "[0-9]"}
_RUN = re.compile(r"(.)\1*", re.DOTALL)


def shape(text: str) -> str:
    """Write the SQL of a text's form: `A` for a capital letter, `a` for another letter, `9` for a digit, all else as it is."""
    plain = f"translate({text}, {literal(_FROM)}, {literal(_TO)})"
    other = f"regexp_replace({plain}, '[\\p{{Lu}}\\p{{Lt}}]', 'A', 'g')"
    other = f"regexp_replace(regexp_replace({other}, '[\\p{{Ll}}\\p{{Lm}}\\p{{Lo}}\\p{{M}}]', 'a', 'g'), '\\p{{Nd}}', '9', 'g')"
    # Most texts are plain, and a pattern costs ten times what `translate` does.
    return f"CASE WHEN strlen({text}) = length({text}) THEN {plain} ELSE {other} END"


def loose(form: str) -> str:
    """Write the SQL of a form without how often each of its letters and digits comes: `a+` for `aaa`."""
    return f"regexp_replace(regexp_replace(regexp_replace({form}, 'A+', 'A+', 'g'), 'a+', 'a+', 'g'), '9+', '9+', 'g')"


def pattern(form: str) -> str:
    r"""Write a form as a regular expression of its plain texts.

    Examples:
        >>> pattern("AA-9999"), pattern("(9) a.A")
        ('[A-Z]{2}-[0-9]{4}', '\\([0-9]\\) [a-z]\\.[A-Z]')
    """
    return "".join(_repeated(run[0], run[1]) for run in _RUN.finditer(form))


def _repeated(run: str, char: str) -> str:
    one = _CLASSES.get(char) or re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", char)
    return one if len(run) == 1 else f"{one}{{{len(run)}}}"
