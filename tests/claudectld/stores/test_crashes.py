"""The death of a writer, at any step and at any moment, costs at most its last change."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from claudectld.core.session import LaunchContext
from claudectld.stores.private import FilePrivateStore
from tests.claudectld.stores.crashes import SESSION
from tests.claudectld.stores.older import EXPECTED, GOLDEN, copies, sessions, wanted
from tests.claudectld.stores.places import Places, environment, session

POINTS = {
    "replace-opened": 2,
    "replace-half-written": 2,
    "replace-written": 2,
    "replace-synced": 2,
    "replace-linked": 2,
    "replace-backed-up": 2,
    "replace-renamed": 3,
    "replace-durable": 3,
}
"""How many sessions are found after a death there, when a list of two was being replaced by one of three."""

ONE_SAVE = """
import sys
from pathlib import Path
from tests.claudectld.stores.places import Places, session
places = Places(Path(sys.argv[1]))
store = places.store()
store.load()
store.save_project(str(places.project), [session(name, places.project) for name in "abc"])
"""

MANY_SAVES = """
import sys
from pathlib import Path
from tests.claudectld.stores.places import Places, session
places = Places(Path(sys.argv[1]))
store = places.store()
store.load()
for number in range(1, 100000):
    store.save_project(str(places.project), [session("a", places.project, since=float(number))])
    print(number, flush=True)
"""


def _run(*arguments: str, crash: str = "") -> int:
    program = [sys.executable, *arguments]
    return subprocess.run(program, check=False, timeout=60, env=environment(CLAUDECTL_CRASH=crash)).returncode


@contextmanager
def _writer(places: Places) -> Iterator[Callable[[], int]]:
    """A process that saves for ever; gives a function that waits for its next save and says its number. At the end
    the process is killed."""
    program = [sys.executable, "-c", MANY_SAVES, str(places.root)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=environment()) as writer:
        assert writer.stdout is not None
        output = writer.stdout
        try:
            yield lambda: int(output.readline())
        finally:
            writer.kill()


def _places_after(tmp_path: Path, act: str) -> Iterator[Places]:
    root = tmp_path.resolve() / act
    assert _run("-m", "tests.claudectld.stores.crashes", str(root), act) == 0
    steps = sorted(int(name) for name in os.listdir(root))
    assert len(steps) > 5
    for step in steps:
        yield Places(root / str(step))


@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_a_named_point_leaves_a_whole_version(places: Places, point: str) -> None:
    both = [session("a", places.project), session("b", places.project)]
    places.saved(*both).save_project(str(places.project), both)

    ended = _run("-c", ONE_SAVE, str(places.root), crash=point)

    loaded = places.store().load()
    assert ended == -signal.SIGKILL
    assert [one.name for one in loaded.projects[0].sessions] == list("abc")[: POINTS[point]]
    assert loaded.notices == ()


def test_without_the_variable_nobody_dies(places: Places) -> None:
    places.saved(session("a", places.project))

    ended = _run("-c", ONE_SAVE, str(places.root))

    assert ended == 0


def test_a_save_that_dies_at_any_step_leaves_the_list_before_or_after(tmp_path: Path) -> None:
    found = []
    for places in _places_after(tmp_path, "saving"):
        loaded = places.store().load()
        assert loaded.notices == ()
        found.append("".join(one.name for one in loaded.projects[0].sessions))

    assert set(found) == {"ab", "abc"}
    assert found == sorted(found)


def test_a_project_whose_making_died_at_any_step_can_be_opened(tmp_path: Path) -> None:
    for places in _places_after(tmp_path, "opening"):
        seen = places.store().load()
        store = places.store()
        opened = store.open_project(str(places.project))
        store.save_project(str(places.project), [session("a", places.project)])

        assert seen.notices == ()
        assert (opened.sessions, opened.writable, opened.problem) == ((), True, "")
        assert len(places.store().load().projects[0].sessions) == 1


def test_a_move_that_died_at_any_step_loses_no_session(tmp_path: Path) -> None:
    for places in _places_after(tmp_path, "moving"):
        moved = places.root / "moved"
        opened = places.store().open_project(str(moved))

        assert opened.writable
        assert [(one.name, one.cwd) for one in opened.sessions] == [("a", str(moved))]
        assert [project.path for project in places.store().load().projects] == [str(moved)]
        assert places.store().load().notices == ()


def test_a_repair_that_died_at_any_step_loses_no_session(tmp_path: Path) -> None:
    for places in _places_after(tmp_path, "repairing"):
        (project,) = places.store().load().projects

        assert [one.name for one in project.sessions] == ["a", "b"]
        assert project.writable


def test_a_save_of_the_global_file_that_died_at_any_step_keeps_the_projects(tmp_path: Path) -> None:
    found = []
    for places in _places_after(tmp_path, "listing"):
        loaded = places.store().load()
        assert [project.path for project in loaded.projects] == [str(places.project)]
        assert loaded.notices == ()
        found.append("".join(one.name for one in loaded.global_sessions))

    assert set(found) == {"a", "ab"}
    assert found == sorted(found)


def test_a_migration_that_died_at_any_step_is_done_by_the_next_start(tmp_path: Path) -> None:
    for places in _places_after(tmp_path, "migrating"):
        original = (GOLDEN / "lists.json").read_text().replace("@HOME@", str(places.root))
        places.store().load()
        (places.root / "blog").mkdir()

        loaded = places.store().load()

        assert wanted(loaded) == EXPECTED["lists"]
        assert copies(places) == [original.encode()]
        for moved in (one for some in sessions(loaded).values() for one in some):
            assert FilePrivateStore(str(places.state)).load_context(moved.id) is not None


def test_a_context_is_the_one_before_or_after(tmp_path: Path) -> None:
    found = []
    for places in _places_after(tmp_path, "keeping"):
        context = FilePrivateStore(str(places.state)).load_context(SESSION)
        assert isinstance(context, LaunchContext)
        found.append(context.env["N"])

    assert set(found) == {"1", "2"}
    assert found == sorted(found)


def test_a_writer_killed_at_any_moment_loses_nothing_it_has_reported(places: Places) -> None:
    places.saved(session("a", places.project, since=0.0))
    for round_ in range(12):
        with _writer(places) as following:
            for _ in range(3 + 7 * round_):
                reported = following()

        loaded = places.store().load()
        assert loaded.notices == ()
        found = loaded.projects[0].sessions[0].since
        assert found >= reported


def test_two_writers_at_once_never_leave_half_a_file(places: Places) -> None:
    places.saved(session("a", places.project, since=0.0))
    with _writer(places) as one_writer, _writer(places) as other_writer:
        for number in range(1, 61):
            assert (one_writer(), other_writer()) == (number, number)
            loaded = places.store().load()
            assert [one.name for one in loaded.projects[0].sessions] == ["a"]
            assert loaded.notices == ()
    assert not [name for name in os.listdir(places.files) if "corrupt" in name]
