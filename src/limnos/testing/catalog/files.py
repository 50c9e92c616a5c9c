"""Which files a catalog leaves, and which it deletes."""

from __future__ import annotations

from limnos.testing.catalog.world import FISH, WEED, World, fish


class Files:
    """Which files a catalog leaves, and which it deletes."""

    def test_discard_takes_the_delete_files_along(self, world: World) -> None:
        world.load(FISH, fish(*range(4)), "run-1")
        before = world.files()
        staged = world.change(FISH, [], "run-2", where="id = 1")
        stray = world.files() - before
        assert set(staged.relation.deletes) <= stray
        assert world.catalog.discard("run-2") == len(stray)
        assert world.files() == before
        world.publish(world.change(FISH, fish(5), "run-3", where="id = 1"))
        assert world.catalog.discard("run-3") == 0
        assert world.scanned(FISH) == fish(0, 2, 3, 5)

    def test_discard_deletes_exactly_what_was_not_published(self, world: World) -> None:
        world.load(FISH, [{"id": 0, "name": "base"}], "run-0")
        before = world.files()
        world.stage(FISH, [{"id": 1, "name": "never"}], "run-1")
        world.stage(WEED, [{"id": 1, "name": "never"}], "run-1")
        stray = world.files() - before
        assert world.catalog.discard("run-1") == len(stray) > 0
        assert world.files() == before
        assert world.catalog.discard("run-1") == 0

    def test_discard_keeps_what_the_run_published(self, world: World) -> None:
        layout = world.catalog.layout(FISH, "run-1", replace=True)
        kept = world.catalog.stage(FISH, world.write(layout, FISH, [{"id": 1, "name": "kept"}]), "run-1", replace=True)
        before = world.files()
        world.write(layout, FISH, [{"id": 2, "name": "written and not staged"}])
        world.stage(WEED, [{"id": 1, "name": "never"}], "run-1")
        (snapshot,) = world.publish(kept)
        stray = world.files() - before
        assert world.catalog.discard("run-1") == len(stray) > 1
        assert world.files() == before
        assert world.rows(snapshot, world.elsewhere()[0]) == [{"id": 1, "name": "kept"}]

    def test_files_that_are_not_staged_can_be_deleted(self, world: World) -> None:
        before = world.files()
        files = world.write(world.catalog.layout(FISH, "run-1", replace=True), FISH, [{"id": 1, "name": "pike"}])
        assert world.files() - before == {file.path for file in files}
        world.catalog.delete(files)
        assert world.files() == before
        world.catalog.delete(files)

    def test_a_layout_changes_nothing(self, world: World) -> None:
        before, files = world.seen(), world.files()
        world.catalog.layout(FISH, "run-1", replace=True)
        assert (world.seen(), world.files()) == (before, files)

    def test_a_probe_says_so_and_leaves_nothing(self, world: World) -> None:
        before = world.files()
        assert world.catalog.probe()
        assert world.files() == before
