from __future__ import annotations

import os
from pathlib import Path

import pytest

from limnos import Lake
from limnos.errors import UnknownName


def test_a_sound_lake_has_nothing_to_complain_of(loaded: Lake) -> None:
    findings = loaded.doctor()
    assert all(finding.ok for finding in findings)
    assert [finding.subject for finding in findings][:4] == ["state", "ledger", "lake", "runs"]
    assert not any(finding.hint for finding in findings)


def test_it_examines_one_source_alone(loaded: Lake) -> None:
    assert {finding.subject.split(":")[0] for finding in loaded.doctor("files")} == {"files"}
    with pytest.raises(UnknownName) as told:
        loaded.doctor("flies")
    assert told.value.expected == "files (did you mean this?)"


def test_a_file_that_is_gone_is_found_and_the_others_are_still_looked_at(loaded: Lake) -> None:
    (loaded.project.root / "orders.csv").unlink()
    found = {finding.subject: finding for finding in loaded.doctor("files")}
    assert [subject for subject, finding in found.items() if not finding.ok] == ["files: orders: orders.csv"]
    assert found["files: orders: orders.csv"].hint


def test_a_source_type_that_is_not_known_is_a_finding_and_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text("version: 1\nproject: p\nsources:\n  a: {type: sqlit, path: x.db}\n")
    (bad,) = [finding for finding in Lake(tmp_path).doctor() if not finding.ok]
    assert (bad.subject, bad.detail) == ("a", "No source type is called sqlit")


def test_a_run_that_died_is_found_until_the_next_one_clears_it_away(shop: Lake) -> None:
    child = os.fork()
    if not child:
        Lake(shop.project.root, observer=lambda step: os._exit(9) if step.name == "run.publish" else None).run()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (bad,) = [finding for finding in shop.doctor() if not finding.ok]
    assert (bad.subject, bad.hint) == ("runs", "limnos run clears them away")
    Lake(shop.project.root).run()
    assert all(finding.ok for finding in Lake(shop.project.root).doctor())
