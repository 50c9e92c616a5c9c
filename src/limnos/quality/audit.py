"""The check planner: judge a staged table at the least cost, and name the rows to quarantine.

What file statistics prove is not read at all. What stays open of the rules on single rows is one scan of the columns they need; rows are
looked for only where a rule failed. Rules on sets of rows run one by one, since each needs an operator of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from limnos.errors import QueryInvalid, RequestError
from limnos.model.contract import Severity
from limnos.model.data import WrittenFile
from limnos.model.names import literal, quoted
from limnos.model.subject import RuleShape, Subject
from limnos.model.verdict import Outcome, Proof, Verdict
from limnos.ports import Rule, Session
from limnos.quality.quarantine import REASONS, reason
from limnos.quality.rules.aggregate import Aggregate
from limnos.quality.rules.foreign_key import ForeignKey
from limnos.quality.rules.shape import Prepared

_MARKS = "limnos_marks"


@dataclass(frozen=True, slots=True)
class Audit:
    """State what an audit found: a verdict for each rule in order, and how many rows are to be quarantined."""

    verdicts: tuple[Verdict, ...]
    bad: int


def audit(
    session: Session, rules: Sequence[Rule], subject: Subject, files: Sequence[WrittenFile], *, bad_table: str = "limnos_bad"
) -> Audit:
    """Judge a table by its rules; leaves the rows to quarantine in the temporary table `bad_table`.

    The table has the columns `_file VARCHAR, _row BIGINT, reasons` and each row once: a row is there if it breaks a rule of severity
    quarantine whose verdict is fail, and then `reasons` also lists every other rule that it breaks.

    A rule whose SQL does not run is an `error`, one that applies to nothing is `unknown`. References into the table itself are judged
    against the rows that stay, so children of quarantined rows follow them, at one pass for each generation. Table rules judge the rows
    that stay.
    `files` are those of the relation; their statistics are used if their rows add up to `subject.rows`.
    """
    return _Work(session, tuple(rules), subject, files, quoted(bad_table)).done()


@dataclass(slots=True)
class _Work:
    session: Session
    rules: tuple[Rule, ...]
    subject: Subject
    files: Sequence[WrittenFile]
    bad_table: str
    verdicts: dict[int, Verdict] = field(default_factory=dict[int, Verdict])
    applicable: dict[int, int] = field(default_factory=dict[int, int])

    def done(self) -> Audit:
        self.session.run(f"CREATE OR REPLACE TEMP TABLE {_MARKS} (_file VARCHAR, _row BIGINT, rule INTEGER)")
        self._prepare()
        self._count()
        self._find_rows()
        for index in self._open(RuleShape.SET):
            if not self._own(index):
                with self._attempt(index):
                    self._mark_set(index, self.subject)
        self._judge_own()
        self._complete_reasons()
        bad = self._list_bad()
        self._judge_table(bad)
        return Audit(tuple(self.verdicts[index] for index in range(len(self.rules))), bad)

    def _prepare(self) -> None:
        for index, rule in enumerate(self.rules):
            if isinstance(rule, Prepared):
                with self._attempt(index):
                    if (whole := rule.prepare(self.session, self.subject)) is not None:
                        self._conclude(index, int(whole), 1)
                        # No row can be quarantined.
                        if self._causes(index):
                            self.verdicts[index] = replace(self.verdicts[index], severity=Severity.BLOCK)

    def _open(self, shape: RuleShape) -> list[int]:
        return [index for index, rule in enumerate(self.rules) if rule.shape is shape and index not in self.verdicts]

    def _own(self, index: int) -> bool:
        rule = self.rules[index]
        return isinstance(rule, ForeignKey) and rule.own

    def _covered(self) -> bool:
        return sum(file.rows for file in self.files) == self.subject.rows

    def _known(self) -> Mapping[str, int]:
        """Map conditions to the number of rows that meet them, as far as the files' own counts tell."""
        if not self._covered():
            return {}
        counted = set.intersection(*(set(file.null_counts) for file in self.files)) if self.files else set[str]()
        nulls = {name: sum(file.null_counts[name] for file in self.files) for name in counted}
        return {"TRUE": self.subject.rows} | {f"{quoted(name)} IS NOT NULL": self.subject.rows - absent for name, absent in nulls.items()}

    def _count(self) -> None:
        """Count the rows to which each rule applies, and judge the rules on single rows."""
        known = self._known()
        applies = {index: self.rules[index].applies() for shape in (RuleShape.ROW, RuleShape.SET) for index in self._open(shape)}
        self.applicable = {index: known[text] for index, text in applies.items() if text in known}
        self.applicable |= self._numbers({index: text for index, text in applies.items() if text not in known})
        for index in self._open(RuleShape.ROW):
            if self._covered() and self.rules[index].proven(self.files):
                self._conclude(index, self.applicable[index], self.applicable[index], Proof.STATISTICS)
        failing = {index: self.rules[index].failing() for index in self._open(RuleShape.ROW)}
        # On clean data a WHERE leaves nothing to aggregate and lets statistics skip what cannot fail: half the cost of the counts alone.
        for index, number in self._numbers(failing, f"WHERE {' OR '.join(f'({text})' for text in failing.values())}").items():
            self._conclude(index, self.applicable[index] - number, self.applicable[index])

    def _numbers(self, conditions: Mapping[int, str], where: str = "") -> Mapping[int, int]:
        """Count the rows that meet each condition, in one scan; where that does not run, one by one, to find the rule that is at fault."""
        if not conditions:
            return {}
        counts = ", ".join(f"count(*) FILTER (WHERE {text}) AS c{index}" for index, text in conditions.items())
        try:
            found = self.session.run(f"SELECT {counts} FROM {self.subject.relation} {where}").to_pylist()[0]
        except QueryInvalid:
            alone: dict[int, int] = {}
            for index, text in conditions.items():
                with self._attempt(index):
                    alone[index] = self._number(f"SELECT count(*) FROM {self.subject.relation} WHERE {text}")
            return alone
        return {index: found[f"c{index}"] for index in conditions}

    @contextmanager
    def _attempt(self, index: int) -> Generator[None]:
        """Turn what goes wrong inside into the verdict error: the rule did not run, so it neither passed nor failed."""
        try:
            yield
        except RequestError as error:
            detail = "; ".join(part for part in (error.what, error.seen) if part)
            self.verdicts[index] = self._verdict(index, Outcome.ERROR, 0, 0, detail=detail)

    def _causes(self, index: int) -> bool:
        verdict = self.verdicts[index]
        return verdict.severity is Severity.QUARANTINE and verdict.outcome is Outcome.FAIL

    def _find_rows(self) -> None:
        causes = [index for index in self.verdicts if self.rules[index].shape is RuleShape.ROW and self._causes(index)]
        self._mark(self.subject.relation, causes)

    def _mark(self, relation: str, indices: Sequence[int]) -> None:
        if not indices:
            return
        conditions = {index: self.rules[index].failing() for index in indices}
        broken = ", ".join(f"CASE WHEN {text} THEN {index} END" for index, text in conditions.items())
        anything = " OR ".join(f"({text})" for text in conditions.values())
        each = f"unnest(list_filter([{broken}], lambda one: one IS NOT NULL))"
        self.session.run(f"INSERT INTO {_MARKS} SELECT _file, _row, {each} FROM {relation} WHERE {anything}")

    def _mark_set(self, index: int, subject: Subject) -> None:
        rule = self.rules[index]
        rows = rule.failing_rows(subject)
        if rule.spec.severity is Severity.QUARANTINE:
            known = f"(SELECT * FROM {_MARKS} WHERE rule = {index}) AS known ON new._file = known._file AND new._row = known._row"
            self.session.run(f"INSERT INTO {_MARKS} SELECT new._file, new._row, {index} FROM ({rows}) AS new ANTI JOIN {known}")
            failing = self._number(f"SELECT count(*) FROM {_MARKS} WHERE rule = {index}")
        else:
            failing = self._number(f"SELECT count(*) FROM ({rows})")
        self._conclude(index, self.applicable[index] - failing, self.applicable[index])
        if not self._causes(index):
            self.session.run(f"DELETE FROM {_MARKS} WHERE rule = {index}")

    def _judge_own(self) -> None:
        """Judge references into the table itself until no more row leaves it."""
        own = [index for index in self._open(RuleShape.SET) if self._own(index)]
        before = -1
        while own and before != (before := self._number(f"SELECT count(*) FROM {self._marked()}")):
            for index in own:
                if self.verdicts.get(index) is None or self.verdicts[index].outcome is not Outcome.ERROR:
                    with self._attempt(index):
                        self._mark_set(index, self._among_remaining(index))

    def _among_remaining(self, index: int) -> Subject:
        rule = self.rules[index]
        assert isinstance(rule, ForeignKey)  # noqa: S101 only these come here
        stay = self._remaining()
        if self.subject.beside:
            stay = f"(SELECT * FROM {stay} UNION ALL BY NAME SELECT * FROM {self.subject.beside})"
        return replace(self.subject, parents={**self.subject.parents, rule.references: stay})

    def _marked(self) -> str:
        return f"(SELECT DISTINCT _file, _row FROM {_MARKS})"

    def _remaining(self) -> str:
        gone = f"ANTI JOIN {_MARKS} AS gone ON kept._file = gone._file AND kept._row = gone._row"
        return f"(SELECT kept.* FROM {self.subject.relation} AS kept {gone})"

    def _complete_reasons(self) -> None:
        """Add what else the rows to quarantine break: rules that warn, block, or are within their tolerance."""
        others = [index for index, verdict in self.verdicts.items() if verdict.failing and not self._causes(index)]
        if not others or not self._number(f"SELECT count(*) FROM (SELECT 1 FROM {_MARKS} LIMIT 1)"):
            return
        self.session.run(f"CREATE OR REPLACE TEMP TABLE {_MARKS}_rows AS {self._marked()}")
        marked = f"SEMI JOIN {_MARKS}_rows AS bad ON one._file = bad._file AND one._row = bad._row"
        self._mark(
            f"(SELECT one.* FROM {self.subject.relation} AS one {marked})", [i for i in others if self.rules[i].shape is RuleShape.ROW]
        )
        for index in others:
            if self.rules[index].shape is RuleShape.SET:
                subject = self._among_remaining(index) if self._own(index) else self.subject
                rows = self.rules[index].failing_rows(subject)
                self.session.run(f"INSERT INTO {_MARKS} SELECT one._file, one._row, {index} FROM ({rows}) AS one {marked}")

    def _list_bad(self) -> int:
        said = [f"({index}, {reason(rule.spec, literal(rule.promise()))})" for index, rule in enumerate(self.rules)]
        listed = f"CAST(list(reason ORDER BY rule) AS {REASONS})"
        self.session.run(
            f"CREATE OR REPLACE TEMP TABLE {self.bad_table} AS SELECT _file, _row, {listed} AS reasons "
            f"FROM {_MARKS} JOIN (VALUES {', '.join(said) or '(0, NULL)'}) AS said(rule, reason) USING (rule) GROUP BY _file, _row"
        )
        return self._number(f"SELECT count(*) FROM {self.bad_table}")

    def _judge_table(self, bad: int) -> None:
        kept = replace(self.subject, rows=self.subject.rows - bad, relation=self._remaining()) if bad else self.subject
        self._judge_aggregates(kept)
        for index in self._open(RuleShape.TABLE):
            proof = Proof.STATISTICS if not bad and self._covered() and self.rules[index].proven(self.files) else Proof.SCAN
            with self._attempt(index):
                self._measured(index, self.session.run(self.rules[index].measure(kept)).to_pylist()[0], proof)

    def _judge_aggregates(self, kept: Subject) -> None:
        """Compute all aggregates in one pass; where that does not run, each is left to be measured by itself."""
        open_ = {index: self.rules[index] for index in self._open(RuleShape.TABLE)}
        judged = {index: rule.judgement() for index, rule in open_.items() if isinstance(rule, Aggregate)}
        if len(judged) < 2:
            return
        listed = ", ".join(f"{text} AS j{index}" for index, text in judged.items())
        with suppress(QueryInvalid):
            found = self.session.run(f"SELECT {listed} FROM {kept.relation}").to_pylist()[0]
            for index in judged:
                self._measured(index, found[f"j{index}"], Proof.SCAN)

    def _measured(self, index: int, found: Mapping[str, Any], proof: Proof) -> None:
        value = found.get("value")
        self._conclude(index, found["numerator"], found["denominator"], proof, found["detail"])
        if value is not None and isfinite(value):
            self.verdicts[index] = replace(self.verdicts[index], value=float(value))

    def _number(self, sql: str) -> int:
        return int(self.session.run(sql).column(0)[0].as_py())

    def _conclude(self, index: int, numerator: int, denominator: int, proof: Proof = Proof.SCAN, detail: str = "") -> None:
        if denominator == 0:
            outcome = Outcome.UNKNOWN
        else:
            outcome = Outcome.PASS if numerator >= self.rules[index].spec.at_least * denominator else Outcome.FAIL
        self.verdicts[index] = self._verdict(index, outcome, numerator, denominator, proof, detail or self.rules[index].promise())

    def _verdict(
        self, index: int, outcome: Outcome, numerator: int, denominator: int, proof: Proof = Proof.SCAN, detail: str = ""
    ) -> Verdict:
        rule = self.rules[index]
        spec = rule.spec
        return Verdict(
            spec.name,
            rule.kind,
            spec.columns,
            spec.version,
            spec.severity or Severity.QUARANTINE,
            rule.dimension,
            outcome,
            numerator,
            denominator,
            proof,
            detail,
        )
