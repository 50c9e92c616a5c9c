"""Meet what changed at the source: columns added, dropped, renamed, retyped, each as its policy says and never in silence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa

from limnos.errors import SchemaDrift
from limnos.flow.resolve import Settled
from limnos.model.contract import Column, Contract, Drift, Drifted, DriftPolicy
from limnos.model.project import TableConfig
from limnos.model.types import canonical, type_name, widens


@dataclass(frozen=True, slots=True)
class Origins:
    """Tell columns by what the source itself calls them, whatever their names: `before` of the published ones, `now` of the source's."""

    before: Mapping[str, str] = field(default_factory=dict[str, str])
    now: Mapping[str, str] = field(default_factory=dict[str, str])

    def whereabouts(self, name: str) -> str | None:
        """Name a published column as the source does now: empty if it has none any more, None if that cannot be told.

        Examples:
            >>> origins = Origins({"a": "7.1", "b": "7.2", "c": "6.1"}, {"x": "7.1", "a": "7.3"})
            >>> origins.whereabouts("a"), origins.whereabouts("b"), origins.whereabouts("c")
            ('x', '', None)
        """
        origin = self.before.get(name, "")
        table = origin.partition(".")[0]
        if not origin or all(one.partition(".")[0] != table for one in self.now.values()):
            return None
        return next((now for now, one in self.now.items() if one == origin), "")


NO_ORIGINS = Origins()


def meet_drift(
    settled: Settled,
    raw: Sequence[str],
    types: Mapping[str, pa.DataType],
    published: pa.Schema | None,
    config: TableConfig,
    origins: Origins = NO_ORIGINS,
) -> Settled:
    """Compare what was declared and published with the columns that the source has now, and do what the drift policy says.

    `types` gives the source's type of each column that the contract does not have; of the others, where it is known.

    Raises:
        SchemaDrift: If a column is gone, new or renamed and the policy does not accept it.
    """
    kept = {field.name: canonical(field.type) for field in published} if published is not None else {}
    return _Meeting(settled, tuple(raw), {name: canonical(kind) for name, kind in types.items()}, kept, config, origins).met()


def beside(column: str, kind: pa.DataType) -> str:
    """Name the column that holds the values of another type where both are kept.

    Examples:
        >>> beside("amount", pa.decimal128(12, 2))
        'amount_as_decimal_12_2'
    """
    return f"{column}_as_{re.sub(r'[^a-z0-9]+', '_', type_name(kind)).strip('_')}"


# Without slots, so that what is asked for each of many columns is found once.
@dataclass(frozen=True)
class _Meeting:
    settled: Settled
    raw: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    kept: Mapping[str, pa.DataType]
    config: TableConfig
    origins: Origins

    @property
    def _policy(self) -> DriftPolicy:
        return self.config.drift

    @property
    def _declared(self) -> frozenset[str]:
        return frozenset(column.name for column in self.config.columns)

    def met(self) -> Settled:
        contract = self.settled.contract
        renamed = {**contract.drifted.renamed, **self._renamed}
        baseline = [
            name
            for name in dict.fromkeys([*(column.name for column in self.config.columns), *self.kept])
            if name not in renamed and name not in self._own
        ]
        missing = [name for name in baseline if name not in self.raw]
        self._refuse_missing(baseline, missing, tuple(renamed.values()))
        known = {*baseline, *renamed.values()}
        new = [name for name in self.raw if name not in known] if self.config.declared or self.kept else []
        refused = tuple(name for name in new if self._policy.on(name).add is Drift.QUARANTINE)
        self._refuse_new(baseline, [name for name in new if self._policy.on(name).add is Drift.BLOCK])
        both = {**contract.drifted.beside, **self._both()}
        columns = [column for column in contract.columns if column.name not in (*refused, *renamed)]
        there = {column.name for column in columns}
        columns += [Column(name, self.types[name]) for name in self.raw if name not in there and name not in refused]
        columns += [Column(name, self.types[of]) for name, of in both.items() if name not in there]
        columns = [self._carried(column, renamed) for column in columns]
        met = replace(
            contract,
            columns=tuple(columns),
            rules=tuple(rule for rule in contract.rules if not set(refused) & set(rule.columns)),
            drifted=Drifted(renamed, both, refused),
        )
        notes = (*self.settled.notes, *self._notes(met, missing, [name for name in new if name not in refused]))
        return replace(self.settled, contract=met, notes=tuple(dict.fromkeys(notes)))

    @cached_property
    def _own(self) -> frozenset[str]:
        """The published columns that stand beside others because both types were kept."""
        return frozenset(
            name
            for name, kind in self.kept.items()
            if name not in self.raw and any(name == beside(base, kind) for base in self.kept if name.startswith(f"{base}_as_"))
        )

    def _carried(self, column: Column, renamed: Mapping[str, str]) -> Column:
        """Give a column what the source calls it by, and one that was renamed the type that it is to have under its new name."""
        column = replace(column, origin=self.origins.now.get(column.name, column.origin))
        old = next((old for old, new in renamed.items() if new == column.name and old in self.kept), "")
        if not old or column.name in self._declared or column.name not in self.types:
            return column
        kept, now, policy = self.kept[old], self.types[column.name], self._policy.on(old).type
        follows = policy is Drift.ACCEPT or (policy is Drift.KEEP_BOTH and widens(kept, now))
        return replace(column, type=now if follows and not widens(now, kept) else kept)

    @cached_property
    def _candidates(self) -> Mapping[str, str]:
        """Pair a published column with the new one that it is now, old name first.

        The source says which one; where it does not, a new one of the same type in the place of one that is gone is taken for it.
        """
        places = [name for name in self.kept if name not in self._own]
        there = {old: self.origins.whereabouts(old) for old in places}
        known = {old: new for old, new in there.items() if new and new != old and new not in self.kept and new in self.types}
        guessed = {
            old: new
            for old, new in zip(places, self.raw, strict=False)
            if there[old] is None and old not in self.raw and new not in self.kept and self.types.get(new) == self.kept[old]
        }
        return known | guessed

    @cached_property
    def _renamed(self) -> Mapping[str, str]:
        accepted: dict[str, str] = {}
        for old, new in self._candidates.items():
            policy = self._policy.on(old).rename
            if policy is Drift.BLOCK or (policy is Drift.ACCEPT and old in self._declared):
                known = self.origins.whereabouts(old) == new
                raise _renaming(self.settled.contract, old, new, known=known, accepted=policy is Drift.ACCEPT)
            if policy is Drift.ACCEPT:
                accepted[old] = new
        return accepted

    def _both(self) -> Mapping[str, str]:
        """Map each column that takes values of a new type to the source's column that they come from."""
        found: dict[str, str] = {}
        for name in self._retyped():
            if self._policy.on(name).type is not Drift.KEEP_BOTH or widens(self.types[name], self.kept[name]):
                continue
            if self.settled.contract.column(name).type != self.kept[name]:
                continue
            column = beside(name, self.types[name])
            if column in self.raw:
                raise _clash(self.settled.contract, name, column)
            found[column] = name
        return found

    def _retyped(self) -> Iterator[str]:
        """Name the columns that nobody declared and whose type at the source is not the published one."""
        renamed = self._renamed
        for name in self.raw:
            there = name in self.kept and name in self.types and name not in (*self._declared, *renamed)
            if there and self.types[name] != self.kept[name]:
                yield name

    def _refuse_missing(self, baseline: Sequence[str], missing: Sequence[str], renamed: Sequence[str]) -> None:
        stopping = [name for name in missing if self._policy.on(name).drop is not Drift.ACCEPT]
        if stopping:
            contract = self.settled.contract
            known = [*baseline, *(name for name in contract.names if name not in baseline)]
            new = [name for name in self.raw if name not in (*baseline, *renamed)]
            raise _gone(contract, known, stopping, new, self.origins.whereabouts(stopping[0]))

    def _refuse_new(self, baseline: Sequence[str], new: Sequence[str]) -> None:
        if new:
            raise _new(self.settled.contract, baseline, new)

    def _notes(self, contract: Contract, missing: Sequence[str], new: Sequence[str]) -> Iterator[str]:
        guesses = self._candidates
        for old, now in contract.drifted.renamed.items():
            known = self.origins.whereabouts(old) == now
            yield f"column {old} is called {now} now: it {'is the same column' if known else 'has the same place and type'}"
        for name in missing:
            sure = "" if self.origins.whereabouts(name) else "?"
            guess = f" (renamed to {guesses[name]}{sure})" if name in guesses else ""
            yield f"column {name} is gone from the source and stays empty{guess}"
        for name in new:
            yield f"column {name} is new: {type_name(contract.column(name).type)}"
        for name in self.raw:
            where = self.origins.whereabouts(name)
            if name in self.kept and name not in contract.drifted.renamed and where not in {None, name}:
                was = f"what had this name is called {where} now" if where else "what had this name was dropped"
                yield f"column {name} is another one now, and every row is read anew: {was}"
        for name in contract.drifted.refused:
            yield f"column {name} is new and not accepted: rows with a value in it go to quarantine"
        yield from self._notes_on_types(contract)

    def _notes_on_types(self, contract: Contract) -> Iterator[str]:
        renamed = contract.drifted.renamed
        before = {name: kind for name, kind in self.kept.items() if name not in renamed}
        before |= {new: self.kept[old] for old, new in renamed.items() if old in self.kept}
        for column in contract.columns:
            if column.name in before and before[column.name] != column.type:
                yield f"column {column.name} changes its type from {type_name(before[column.name])} to {type_name(column.type)}"
        aside = {of: name for name, of in contract.drifted.beside.items()}
        for name in self._retyped():
            published, promised = self.kept[name], contract.column(name).type
            if promised == published:
                yield f"column {name} is {type_name(self.types[name])} at the source now: {self._meaning(name, published, aside)}"

    def _meaning(self, name: str, published: pa.DataType, aside: Mapping[str, str]) -> str:
        if widens(self.types[name], published):
            return f"narrower, so that every value fits {type_name(published)}"
        if name in aside:
            return f"its values stand in {aside[name]}, and in {name} where they fit {type_name(published)}"
        holds = self._policy.on(name).type is Drift.BLOCK
        return f"a value that does not fit {type_name(published)} {'holds the table back' if holds else 'goes to quarantine'}"


def _gone(contract: Contract, known: Sequence[str], missing: Sequence[str], unknown: Sequence[str], now: str | None) -> SchemaDrift:
    near = difflib.get_close_matches(missing[0], unknown, n=1) or list(unknown[:1])
    renamed = f" (renamed to {near[0]}?)" if near and now is None else f" (renamed to {now})" if now else ""
    return SchemaDrift(
        f"The source of {contract.table} lacks a column",
        subject=f"{contract.table}: {', '.join(missing)}",
        seen=f"no column {missing[0]}{renamed}",
        expected=f"the columns {', '.join(known)}",
        hint=f"mend the source, or write tables: {contract.table}: drift: {{drop: accept}}",
    )


def _new(contract: Contract, known: Sequence[str], added: Sequence[str]) -> SchemaDrift:
    return SchemaDrift(
        f"The source of {contract.table} has a column that its contract does not",
        subject=f"{contract.table}: {', '.join(added)}",
        seen=f"a column {added[0]}",
        expected=f"the columns {', '.join(known)}",
        hint=f"declare it, or write tables: {contract.table}: drift: {{add: accept}}",
    )


def _renaming(contract: Contract, old: str, new: str, *, known: bool, accepted: bool) -> SchemaDrift:
    declare = f"write {new} instead of {old} in its contract or under its columns"
    return SchemaDrift(
        f"A column of {contract.table} {'has' if known else 'seems to have'} another name at the source",
        subject=f"{contract.table}: {old}",
        seen=f"{new}, {'the same column' if known else 'of the same type in the same place'}",
        expected=f"{old}",
        hint=declare if accepted else f"mend the source, or write tables: {contract.table}: drift: {{rename: accept}}",
    )


def _clash(contract: Contract, name: str, column: str) -> SchemaDrift:
    return SchemaDrift(
        f"The values of {contract.table}.{name} have no place of their own",
        subject=f"{contract.table}: {column}",
        seen=f"a column {column} at the source",
        expected=f"no column {column}, which is to hold the values of {name} in their new type",
        hint=f"write tables: {contract.table}: drift: {{columns: {{{name}: {{type: accept}}}}}}",
    )
