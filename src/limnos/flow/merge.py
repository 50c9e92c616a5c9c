"""Merge changes into a published table: judge what is new, take out what is old, stage both as one version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from limnos.errors import AccountingBroken
from limnos.flow import set_aside
from limnos.flow.gather import LAST, OLD, TYPED, Gathered, Gathering
from limnos.flow.loading import Load, Loading
from limnos.flow.quarantine import open_rows
from limnos.flow.resolve import Settled
from limnos.ledger.events import Mark
from limnos.model.casts import Casts, names
from limnos.model.changes import SEQUENCE
from limnos.model.contract import Contract
from limnos.model.conversion import as_text
from limnos.model.data import Gone, Layout, LiveFile, Relation, Snapshot, Staged, WrittenFile
from limnos.model.names import quoted
from limnos.model.position import Position
from limnos.model.run import TableResult, TableStatus
from limnos.model.subject import RuleShape, Subject
from limnos.model.verdict import Verdict
from limnos.ports import Rule, Session
from limnos.quality import audit as auditing
from limnos.quality import fit, quarantine
from limnos.quality.rules import build_all
from limnos.quality.score import score
from limnos.tables.compaction import choose
from limnos.tables.entries import QUARANTINE

_REWRITE_SHARE = 0.25
"""From this share of rows that leave a file on, it is cheaper to write the rest anew than to have each reader pass over them."""
_COMPACTED_BYTES = 32 * 1024 * 1024
_KEPT = "limnos_neighbours"


@dataclass(frozen=True, slots=True)
class Merged:
    """Say what a merge starts from: what was gathered, and where the source stands then.

    `whole` says that every row was read anew; `rejects` and `rejected` are then those of the extract. `window` is the SQL condition of the
    rows that were read anew, of a table without a key.
    """

    gathering: Gathering
    gathered: Gathered
    settled: Settled
    position: Position | None
    whole: bool = False
    window: str = ""
    rejects: str = ""
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class _Way:
    """Say how a merge is written: where, whether instead of all that is published, and how many published rows went to quarantine."""

    layout: Layout
    replaces: bool
    neighbours: int


@dataclass(slots=True)
class Merging:
    """Carry one merge through: `base` is the published version, None for a table that is not there yet."""

    loading: Loading
    session: Session
    merged: Merged

    @property
    def _contract(self) -> Contract:
        return self.merged.gathering.contract

    @property
    def _base(self) -> Snapshot | None:
        return self.loading.base

    def done(self) -> Load:
        """Land, judge, set aside and stage; nothing is staged where nothing changed."""
        gathered, contract = self.merged.gathered, self._contract
        replaces = self._base is None or (gathered.truncated and not self.merged.gathering.bookkeeping.names)
        layout = self.loading.parts.catalog.layout(contract, self.loading.run_id, replace=replaces)
        self.loading.step("table.write", f"{gathered.new:,} rows")
        typed = f"SELECT {names(contract.names)} FROM {TYPED} WHERE NOT _misfit"
        files = self.session.write(typed, layout) if gathered.new > gathered.failed else ()
        landed = sum(file.rows for file in files)
        self.loading.step("table.landed", f"{landed:,} rows")
        relation = Relation(self.loading.table, contract.schema, tuple(file.path for file in files), landed)
        verdicts, rows = self._judged(files, relation, replaces=replaces)
        bad, neighbours = self._bad(files)
        quarantined = self.merged.rejected + gathered.failed + bad
        applied = gathered.removed - gathered.beside
        result = TableResult(
            self.loading.table,
            TableStatus.HELD,
            read=gathered.read + self.merged.rejected,
            quarantined=quarantined,
            written=landed - bad + applied,
            unchanged=gathered.read - landed - gathered.failed - applied,
            score=score(verdicts),
            verdicts=verdicts,
            notes=(*self.merged.settled.notes, *self._remarks(neighbours)),
        )
        if any(verdict.holds for verdict in verdicts):
            return Load(replace(result, written=0, quarantined=0, unchanged=result.read))
        entries = self._set_aside(rows, failed=gathered.failed, bad=bad + neighbours)
        clean = self._without_bad(files, relation, layout) if bad else tuple(files)
        return self._staged(result, clean, entries, _Way(layout, replaces, neighbours))

    def _write(self, select: str, layout: Layout) -> tuple[WrittenFile, ...]:
        """Write rows; for none at all the engine would leave a file that nothing refers to."""
        return self.session.write(select, layout) if self._count(f"({select} LIMIT 1)") else ()

    def _remarks(self, neighbours: int) -> tuple[str, ...]:
        if not neighbours:
            return ()
        return (f"no longer unique beside what came: {neighbours:,} of the published rows, which went to quarantine as well",)

    def _judged(self, files: Sequence[WrittenFile], landed: Relation, *, replaces: bool) -> tuple[tuple[Verdict, ...], str]:
        """Judge the rows that came, and beside them the published rows that they may clash with; gives verdicts and the relation judged."""
        contract, session = self._contract, self.session
        rules = build_all(contract)
        came = f"({session.relation(landed, positions=True)})"
        neighbours = "" if replaces else self._neighbours(rules, came)
        subject = Subject(
            f"(SELECT * FROM {came} UNION ALL BY NAME SELECT * FROM {_KEPT})" if neighbours else came,
            landed.rows + (self._count(_KEPT) if neighbours else 0),
            datetime.now(UTC),
            self.loading.parents(session, contract),
            "" if replaces else self._staying(),
        )
        found = auditing.audit(session, [rule for rule in rules if rule.shape is not RuleShape.TABLE], subject, files)
        casts = Casts.of(pa.schema([*self.merged.gathering.raw, *self.merged.gathering.bookkeeping.fields]), contract)
        formed = fit.well_formed(self.merged.gathered.read + self.merged.rejected, self.merged.rejected)
        typed = fit.verdicts(session, casts, files, set_aside.FAILED if self.merged.gathered.failed else "")
        whole = self._judged_whole([rule for rule in rules if rule.shape is RuleShape.TABLE], came, landed.rows, replaces=replaces)
        self.loading.step("table.audit", f"{len(typed) + len(found.verdicts) + len(whole)} rules")
        return (*formed, *typed, *found.verdicts, *whole), subject.relation

    def _judged_whole(self, rules: Sequence[Rule], came: str, rows: int, *, replaces: bool) -> tuple[Verdict, ...]:
        if not rules:
            return ()
        columns = names(self._contract.names)
        stay = (
            ""
            if replaces
            else f" UNION ALL SELECT {columns}, _file, _row FROM {self.merged.gathering.live} ANTI JOIN {OLD} USING (_file, _row)"
        )
        there = 0 if replaces or self._base is None else self._base.rows - self._count(OLD)
        subject = Subject(
            f"(SELECT {columns}, _file, _row FROM {came}{stay})",
            rows + there,
            datetime.now(UTC),
            self.loading.parents(self.session, self._contract),
            previous_rows=self.loading.previous_rows,
        )
        return auditing.audit(self.session, rules, subject, (), bad_table="limnos_bad_whole").verdicts

    def _staying(self) -> str:
        """Write the relation of the published rows that stay."""
        return f"(SELECT * FROM {self.merged.gathering.live} ANTI JOIN {OLD} USING (_file, _row))"

    def _neighbours(self, rules: Sequence[Rule], came: str) -> str:
        """Keep the published rows that share a value which is to be unique with a row that came; what the source itself promises, holds."""
        promised = {rule.name for rule in self.merged.settled.source_rules}
        gathering = self.merged.gathering
        asked = [
            rule.spec.columns
            for rule in rules
            if rule.kind in {"unique", "primary_key"}
            and rule.spec.name not in promised
            and set(rule.spec.columns) != set(gathering.identity)
        ]
        if not asked:
            return ""
        live = self._staying()
        parts = [f"SELECT live.* FROM {live} AS live SEMI JOIN {came} AS came ON {_equal(columns)}" for columns in asked]
        self.session.run(f"CREATE OR REPLACE TEMP TABLE {_KEPT} AS {' UNION '.join(parts)}")
        return _KEPT

    def _bad(self, files: Sequence[WrittenFile]) -> tuple[int, int]:
        """Count the rows to quarantine: of those that came, and of those that were published."""
        ours = self._paths(files)
        bad = int(self.session.run(f"SELECT count(*) FROM {set_aside.BAD} SEMI JOIN ours ON _file = file", ours=ours).column(0)[0].as_py())
        return bad, self._count(set_aside.BAD) - bad

    def _paths(self, files: Sequence[WrittenFile]) -> pa.Table:
        return pa.table({"file": pa.array([file.path for file in files], pa.string())})

    def _set_aside(self, rows: str, *, failed: int, bad: int) -> tuple[WrittenFile, ...]:
        if not (self.merged.rejected or failed or bad):
            return ()
        contract, loading = self._contract, self.loading
        stamp = quarantine.Stamp(loading.table, loading.run_id, datetime.now(UTC))
        raw = pa.schema([*self.merged.gathering.raw, *self.merged.gathering.bookkeeping.fields])
        parts = [quarantine.of_rejects(self.merged.rejects, stamp)] if self.merged.rejected else []
        if failed:
            origin = set_aside.key(contract, raw, "f")
            failing = f"SELECT f.*, {origin} AS _origin FROM {set_aside.FAILED} AS f"
            parts.append(quarantine.of_failed_conversions(failing, raw, contract, stamp, origin="_origin"))
        if bad:
            parts.append(
                quarantine.of_bad_rows(rows, set_aside.BAD, contract, stamp, origin=set_aside.key(contract, contract.schema, "one"))
            )
        entries = " UNION ALL ".join(f"({part})" for part in parts)
        files = self.session.write(entries, loading.parts.catalog.layout(QUARANTINE, loading.run_id, replace=False))
        loading.step("table.quarantine", f"{sum(file.rows for file in files):,} rows")
        return files

    def _without_bad(self, files: Sequence[WrittenFile], relation: Relation, layout: Layout) -> tuple[WrittenFile, ...]:
        rows = self.session.relation(relation, positions=True)
        contract = self._contract
        clean = self._write(
            f"SELECT {names(contract.names)} FROM ({rows}) AS kept ANTI JOIN {set_aside.BAD} AS bad USING (_file, _row)",
            layout,
        )
        self.loading.parts.catalog.delete(files)
        self.loading.step("table.rewritten", f"{len(files)} files")
        return clean

    def _staged(self, result: TableResult, files: Sequence[WrittenFile], entries: Sequence[WrittenFile], way: _Way) -> Load:
        replaces, neighbours = way.replaces, way.neighbours
        loading, applied = self.loading, result.written - sum(file.rows for file in files)
        counted = replace(result, read=result.read + neighbours, quarantined=result.quarantined + neighbours)
        loading.account(counted, files, entries, beside=applied)
        superseded = self._superseded()
        mark = self._mark(result, len(superseded), neighbours)
        gone = None if replaces else self._gone(came=bool(files))
        if not (files or entries or replaces or gone):
            base = self._base
            return Load(
                replace(result, status=TableStatus.UNCHANGED, snapshot_id=base.snapshot_id if base else None, score=mark.score),
                mark=mark,
                superseded=superseded,
            )
        staged = self._stage(files, gone, way)
        published = replace(result, status=TableStatus.PUBLISHED, snapshot_id=staged.snapshot.snapshot_id)
        return Load(published, staged, tuple(entries), mark, superseded)

    def _stage(self, files: Sequence[WrittenFile], gone: Gone | None, way: _Way) -> Staged:
        loading, catalog, replaces = self.loading, self.loading.parts.catalog, way.replaces
        rewritten = self._rewritten(gone.files, way.layout) if gone else ()
        loading.step("table.stage")
        staged = catalog.stage(self._contract, [*files, *rewritten], loading.run_id, replace=replaces, gone=gone)
        loading.versions.staged[loading.table] = staged
        loading.step("table.staged")
        base = self._base
        before = 0 if replaces or base is None else base.rows - self._count(OLD)
        expected = before + sum(file.rows for file in files)
        if staged.snapshot.rows != expected:
            raise AccountingBroken(
                f"The rows of {loading.table} do not add up after the merge",
                subject=str(loading.table),
                seen=f"{staged.snapshot.rows:,} rows",
                expected=f"{expected:,}: {before:,} that stay and {expected - before:,} that came",
                hint=f"nothing was published; run again, and report it if it stays: limnos run {loading.table} --debug",
            )
        return staged

    def _gone(self, *, came: bool) -> Gone | None:
        """Choose what leaves as whole files, to be written anew without the old rows, and what leaves as single rows."""
        base = self._base
        assert base is not None  # noqa: S101 a table that is not there is replaced
        self._add_neighbours_to_old()
        leaving = self.session.run(f"SELECT _file, count(*) AS leaving, list(_row) AS rows FROM {OLD} GROUP BY _file")
        if not leaving.num_rows and not came:
            return None
        leaves: dict[str, int] = {row["_file"]: row["leaving"] for row in leaving.select(["_file", "leaving"]).to_pylist()}
        live = self.loading.parts.catalog.files(base)
        whole = frozenset(file.path for file in live if _rewrite(file, leaves.get(file.path, 0))) | _small(live)
        single = leaving.filter(pa.array([file not in whole for file in leaves], pa.bool_())).combine_chunks()
        return Gone(whole, _unnested(single) if single.num_rows else None) if whole or single.num_rows else None

    def _add_neighbours_to_old(self) -> None:
        columns = f"SELECT bad._file, bad._row FROM {set_aside.BAD} AS bad SEMI JOIN {_KEPT} AS kept USING (_file, _row)"
        if self._exists(_KEPT):
            self.session.run(f"INSERT INTO {OLD} BY NAME {columns}")

    def _exists(self, table: str) -> bool:
        return bool(self.session.run(f"SELECT count(*) FROM duckdb_tables() WHERE table_name = '{table}'").column(0)[0].as_py())

    def _rewritten(self, paths: frozenset[str], layout: Layout) -> tuple[WrittenFile, ...]:
        """Write the rows that stay of files that leave as a whole."""
        if not paths:
            return ()
        contract = self._contract
        whole = pa.table({"file": pa.array(sorted(paths), pa.string())})
        self.session.run("CREATE OR REPLACE TEMP TABLE limnos_whole AS SELECT * FROM whole", whole=whole)
        files = self._write(
            f"SELECT {names(contract.names)} FROM {self.merged.gathering.live} AS live SEMI JOIN limnos_whole ON live._file = file "
            f"ANTI JOIN {OLD} AS old ON live._file = old._file AND live._row = old._row",
            layout,
        )
        self.loading.step("table.rewritten", f"{len(paths)} files")
        return files

    def _mark(self, result: TableResult, superseded: int, neighbours: int) -> Mark:
        loading, merged = self.loading, self.merged
        before = loading.mark
        whole = merged.whole or before is None
        open_before = 0 if whole or before is None else before.quarantined
        return Mark(
            merged.position,
            loading.run_id if whole or before is None else before.run_id,
            loading.basis(merged.gathering.contract),
            result.read,
            max(open_before - superseded, 0) + result.quarantined + neighbours,
            before.score if result.score is None and before is not None else result.score,
            merged.settled.source_rules,
        )

    def _superseded(self) -> tuple[tuple[str, str], ...]:
        """Find the open quarantine entries of rows that have come anew or were deleted."""
        loading, gathering = self.loading, self.merged.gathering
        if self.merged.whole or loading.mark is None or not loading.mark.quarantined:
            return ()
        waiting = open_rows(loading.parts, loading.table, self._contract)
        if self.merged.gathered.truncated:
            source = "waiting"
        elif self.merged.window:
            source = f"waiting WHERE {self.merged.window}"
        elif gathering.keyed:
            same = " AND ".join(f"waiting.{quoted(name)} = last._k{at}" for at, name in enumerate(gathering.identity))
            source = f"waiting SEMI JOIN {LAST} AS last ON {same}"
        else:
            text = {field.name: as_text(f"last.{quoted(field.name)}", field.type) for field in gathering.raw}
            same = " AND ".join(f"waiting.{quoted('text ' + name)} IS NOT DISTINCT FROM {value}" for name, value in text.items())
            source = (
                f"(SELECT waiting.*, last._n, row_number() OVER (PARTITION BY last.{SEQUENCE} ORDER BY waiting._entry) AS _copy "
                f"FROM waiting JOIN {LAST} AS last ON {same} WHERE last._n < 0) WHERE _copy <= -_n"
            )
        found = self.session.run(f"SELECT _entry AS id, _fingerprint AS fingerprint FROM {source}", waiting=waiting)
        return tuple((row["id"], row["fingerprint"]) for row in found.to_pylist())

    def _count(self, table: str) -> int:
        return int(self.session.run(f"SELECT count(*) FROM {table}").column(0)[0].as_py())


def _rewrite(file: LiveFile, leaving: int) -> bool:
    return bool(leaving) and (file.gone + leaving) >= _REWRITE_SHARE * file.rows


def _unnested(leaving: pa.Table) -> pa.Table:
    """Give each row that leaves a line of its own; the path of a file is there once, whatever leaves it."""
    rows = leaving["rows"].combine_chunks()
    files = pa.DictionaryArray.from_arrays(pc.list_parent_indices(rows).cast(pa.int32()), leaving["_file"].combine_chunks())
    return pa.table({"file": files, "row": pc.list_flatten(rows)})


def _small(files: Sequence[LiveFile]) -> frozenset[str]:
    """Choose small files that are due to become one; together they cost less to write than a merge takes anyway."""
    groups = [group for group in choose(files) if sum(file.size_bytes for file in group) <= _COMPACTED_BYTES]
    return frozenset(file.path for group in groups for file in group)


def _equal(columns: Sequence[str]) -> str:
    return " AND ".join(f"live.{quoted(name)} = came.{quoted(name)}" for name in columns)
