"""The grammar of DQDL: text to values, before anything is known of rules.

Source: AWS Glue, "Data Quality Definition Language (DQDL) reference"; the grammar of awslabs/dqdl.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from limnos.errors import LimnosError
from limnos.model.place import Place
from limnos.project.notations.translation import malformed

_Item = TypeVar("_Item")
_MOST_DEPTH = 40
_TOKEN = re.compile(
    r"""(?P<skip>[\s\ufeff]+|\#[^\n]*)|(?P<string>"(?:\\["\\]|\\(?!["\\])|[^"\\])*")|(?P<number>[0-9]+(?:\.[0-9]+)?)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_.]*)|(?P<mark>>=|<=|!=|[][(){},:=<>!$+*/-])""",
    re.ASCII,
)
_KEYWORDS = {spelled: word for word in ("NULL", "EMPTY", "WHITESPACES_ONLY") for spelled in (word, word.lower())}
_DURATIONS = {"days": "days", "day": "days", "hours": "hours", "hour": "hours", "minutes": "minutes", "minute": "minutes"}
_SIZES = ("B", "KB", "MB", "GB", "TB")
_COMPARISONS = ("=", "!=", ">", ">=", "<", "<=")
_RESERVED = ("between", "in", "not", "matches", "where", "with", "and", "AND", "or", "OR", "labels")
SECTIONS = ("Metadata", "DataSources", "DefaultLabels", "Rules", "Analyzers")


@dataclass(frozen=True, slots=True)
class Keyword:
    """NULL, EMPTY or WHITESPACES_ONLY."""

    word: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit: a duration or a size."""

    count: int | float
    unit: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, moved by a duration; the sign is in its count."""

    offset: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A function of earlier runs, as it was written."""

    text: str


Operand = int | float | str | Keyword | Quantity | Moment | Dynamic


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison: `=`, `>`, `>=`, `<`, `<=`, `between`, `in` or `matches`, perhaps negated."""

    operator: str
    operands: tuple[Operand, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, as it was written."""

    type: str
    parameters: tuple[str, ...]
    place: Place
    condition: Condition | None = None
    where: str = ""
    tags: Mapping[str, Condition] = field(default_factory=dict[str, Condition])


@dataclass(frozen=True, slots=True)
class Joined:
    """Rules joined by `and` or `or`."""

    word: str
    parts: tuple[Tree, ...]


Tree = Rule | Joined


@dataclass(frozen=True, slots=True)
class Document:
    """A DQDL document: its rules, and the names and places of its analyzers."""

    rules: tuple[Tree, ...]
    analyzers: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: Place


def parse_document(text: str, name: str) -> Document:
    """Parse a DQDL document; `name` is what errors call its file.

    Raises:
        ProjectInvalid: If it is not DQDL; the subject is `file:line`.
    """
    return _Parser(text, Place(name, 1)).document()


def parse_rule(text: str, place: Place) -> Tree:
    """Parse one rule, as it stands between the brackets of `Rules`.

    Raises:
        ProjectInvalid: If it is not one rule.
    """
    parser = _Parser(text, place, lines=False)
    tree = parser.tree()
    parser.end()
    return tree


class _Parser:
    def __init__(self, text: str, start: Place, *, lines: bool = True) -> None:
        self._tokens = list(_tokens(text, start, lines=lines))
        self._at = 0
        self._depth = 0
        self._variables: dict[str, str | Keyword | tuple[Operand, ...]] = {}

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _is(self, *texts: str, ahead: int = 0) -> bool:
        token = self._tokens[min(self._at + ahead, len(self._tokens) - 1)]
        return token.kind != "string" and token.text in texts

    def _take(self) -> _Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> bool:
        if self._is(*texts):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._wrong(text)

    def _wrong(self, expected: str) -> LimnosError:
        return malformed("The text is not DQDL", self._next.place, seen=self._next.text or "the end", expected=expected)

    def _of(self, kind: str, expected: str) -> _Token:
        if self._next.kind != kind:
            raise self._wrong(expected)
        return self._take()

    def end(self) -> None:
        if self._next.kind != "end":
            raise self._wrong("the end of the rule")

    def document(self) -> Document:
        rules: tuple[Tree, ...] = ()
        analyzers: tuple[Rule, ...] = ()
        seen: set[str] = set()
        while self._next.kind != "end":
            name = self._of("word", ", ".join(SECTIONS)).text
            if name in seen:
                raise malformed(f"The section {name} is given twice", self._next.place, seen=name, expected="each section once")
            seen.add(name)
            self._expect("=")
            match name:
                case "Metadata" | "DataSources":
                    self._dictionary()
                case "DefaultLabels":
                    self._labels()
                case "Rules":
                    rules = tuple(self._listed("[", "]", self.tree, empty=True))
                case "Analyzers":
                    analyzers = tuple(self._listed("[", "]", self._rule, empty=True))
                case _:
                    self._variables[name] = self._variable()
        if not seen & {"Rules", "Analyzers"}:
            raise self._wrong("Rules = [ ... ]")
        return Document(rules, analyzers)

    def _listed(self, opening: str, closing: str, item: Callable[[], _Item], *, empty: bool = False) -> Iterator[_Item]:
        self._expect(opening)
        if empty and self._accept(closing):
            return
        yield item()
        while self._accept(","):
            yield item()
        self._expect(closing)

    def _dictionary(self) -> None:
        for _ in self._listed("{", "}", self._pair):
            pass

    def _pair(self) -> None:
        self._of("string", "a text in double quotes")
        self._expect(":")
        if self._is("["):
            list(self._listed("[", "]", lambda: self._of("string", "a text in double quotes")))
        else:
            self._of("string", "a text in double quotes")

    def _labels(self) -> None:
        for _ in self._listed("[", "]", self._label):
            pass

    def _label(self) -> None:
        self._of("string", "a text in double quotes")
        self._expect("=")
        self._of("string", "a text in double quotes")

    def _variable(self) -> str | Keyword | tuple[Operand, ...]:
        if self._is("["):
            return tuple(self._listed("[", "]", self._operand))
        value = self._operand()
        if not isinstance(value, str | Keyword):
            raise self._wrong("a text, or a list of texts")
        return value

    def tree(self) -> Tree:
        return self._joined(("or", "OR"), lambda: self._joined(("and", "AND"), self._part))

    def _joined(self, words: tuple[str, str], part: Callable[[], Tree]) -> Tree:
        parts = [part()]
        while self._accept(*words):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(words[0], tuple(parts))

    def _part(self) -> Tree:
        if not self._is("("):
            return self._rule()
        self._nested()
        self._expect("(")
        tree = self.tree()
        self._expect(")")
        self._depth -= 1
        return tree

    def _nested(self) -> None:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise malformed("The rule is nested too deeply", self._next.place, expected=f"at most {_MOST_DEPTH} brackets")

    def _rule(self) -> Rule:
        name = self._of("word", "the name of a rule")
        if name.text in _RESERVED:
            raise malformed("The text is not DQDL", name.place, seen=name.text, expected="the name of a rule")
        parameters = tuple(self._parameters())
        condition = self._condition() if self._is(*_COMPARISONS, "!", "not", "between", "in", "matches") else None
        where = self._text() if self._accept("where") else ""
        tags: dict[str, Condition] = {}
        while self._is("with", "labels"):
            if self._accept("labels"):
                self._expect("=")
                self._labels()
            elif self._accept("with"):
                tag = self._of("word", "threshold").text
                if tag in tags:
                    raise malformed(f"The tag {tag} is given twice", self._next.place, seen=tag, expected="each tag once")
                tags[tag] = self._condition()
        return Rule(name.text, parameters, name.place, condition, where, tags)

    def _text(self) -> str:
        """Take a text, or the variable that holds one."""
        if self._next.kind == "string":
            return _unquoted(self._take().text)
        value = self._dereferenced() if self._is("$") else None
        if not isinstance(value, str):
            raise self._wrong("a text in double quotes")
        return value

    def _parameters(self) -> Iterator[str]:
        while True:
            if self._is("of", "OF", "and", "AND") and self._tokens[min(self._at + 1, len(self._tokens) - 1)].kind == "string":
                self._at += 1
            if self._next.kind == "string" or self._is("$"):
                yield self._text()
            elif self._next.kind == "word" and self._next.text not in _RESERVED:
                yield self._take().text
            else:
                return

    def _condition(self) -> Condition:
        negated = self._accept("not") or self._accept("!")
        if self._accept("!="):
            return Condition("=", (self._operand(),), negated=not negated)
        for operator in ("=", ">=", "<=", ">", "<"):
            if self._accept(operator):
                return Condition(operator, (self._operand(),), negated)
        if self._accept("between"):
            low = self._operand()
            if not self._accept("and", "AND"):
                raise self._wrong("and")
            return Condition("between", (low, self._operand()), negated)
        if self._accept("in"):
            if self._is("$"):
                value = self._dereferenced()
                return Condition("in", value if isinstance(value, tuple) else (value,), negated)
            return Condition("in", tuple(self._listed("[", "]", self._operand)), negated)
        if self._accept("matches"):
            return Condition("matches", (self._text(),), negated)
        raise self._wrong("a comparison")

    def _dereferenced(self) -> str | Keyword | tuple[Operand, ...]:
        self._expect("$")
        name = self._of("word", "the name of a variable")
        if name.text not in self._variables:
            raise malformed(
                f"No variable is called {name.text}", name.place, seen=name.text, expected=", ".join(self._variables) or "a variable"
            )
        return self._variables[name.text]

    def _operand(self) -> Operand:
        """Read a value or an expression; numbers are computed, and what depends on earlier runs is kept as text."""
        self._nested()
        start, value = self._at, self._product()
        while self._is("+", "-"):
            sign = self._take().text
            value = self._computed(sign, value, self._product(), start)
        self._depth -= 1
        return value

    def _product(self) -> Operand:
        start, value = self._at, self._atom()
        while self._is("*", "/"):
            sign = self._take().text
            value = self._computed(sign, value, self._atom(), start)
        return value

    def _computed(self, sign: str, left: Operand, right: Operand, start: int) -> Operand:
        if isinstance(left, Moment) and left.offset is None and isinstance(right, Quantity) and sign in "+-" and right.unit not in _SIZES:
            return Moment(Quantity(right.count if sign == "+" else -right.count, right.unit))
        if isinstance(left, int | float) and isinstance(right, int | float):
            if sign == "/" and right == 0:
                raise self._wrong("a number that is not divided by 0")
            try:
                return {"+": left + right, "-": left - right, "*": left * right}[sign] if sign != "/" else left / right
            except OverflowError as error:
                raise self._wrong("a number that fits") from error
        if isinstance(left, Dynamic | int | float) and isinstance(right, Dynamic | int | float):
            return Dynamic(self._written(start))
        raise self._wrong("numbers, or now() and a duration")

    def _written(self, start: int) -> str:
        return "".join(token.text for token in self._tokens[start : self._at])

    def _atom(self) -> Operand:
        start, token = self._at, self._take()
        if token.kind == "string":
            return _unquoted(token.text)
        if token.kind == "number":
            return self._number(token.text)
        if token.kind == "word" and token.text in _KEYWORDS:
            return Keyword(_KEYWORDS[token.text])
        if token.kind == "word" and self._is("("):
            return self._call(token, start)
        if token.kind == "mark" and token.text == "-":
            value = self._atom() if self._next.kind == "number" else None
            if isinstance(value, int | float):
                return -value
        if token.kind == "mark" and token.text == "(":
            value = self._operand()
            self._expect(")")
            return value
        self._at = start
        named = self._dereferenced() if self._is("$") else None
        if isinstance(named, str | Keyword):
            return named
        raise self._wrong("a value")

    def _number(self, text: str) -> Operand:
        if len(text) > 40:
            raise self._wrong("a number of at most 40 digits")
        count = float(text) if "." in text else int(text)
        if self._next.kind == "word" and self._next.text in (*_DURATIONS, *_SIZES):
            unit = self._take().text
            return Quantity(count, _DURATIONS.get(unit, unit))
        return count

    def _call(self, name: _Token, start: int) -> Operand:
        arguments = list(self._listed("(", ")", self._operand, empty=True))
        if name.text == "now" and not arguments:
            return Moment()
        return Dynamic(self._written(start))


def _unquoted(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text[1:-1])


def _tokens(text: str, start: Place, *, lines: bool) -> Iterator[_Token]:
    at = 0
    line = start.line
    while at < len(text):
        place = Place(start.file, line)
        match = _TOKEN.match(text, at)
        if match is None:
            raise malformed("The text is not DQDL", place, seen=text[at], expected="a rule; texts stand in double quotes")
        if match.lastgroup != "skip":
            yield _Token(str(match.lastgroup), match[0], place)
        line += match[0].count("\n") if lines else 0
        at = match.end()
    yield _Token("end", "", Place(start.file, line))
