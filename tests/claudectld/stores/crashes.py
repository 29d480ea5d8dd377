"""A program: does one act of the stores again and again, each time in a place of its own and each time killed
one step later, until it is no longer killed. Usage: crashes ROOT ACT; the places are ROOT/1, ROOT/2, …

A step is a named crash point or a call that changes or opens a file.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from claudectl_protocol.sessions import SessionId
from claudectld.core.session import LaunchContext
from claudectld.stores import files
from claudectld.stores.private import FilePrivateStore
from tests.claudectld.stores.older import put
from tests.claudectld.stores.places import Places, session

Act = Callable[[Places], Callable[[], object]]
"""Prepares a place, and returns what is to be interrupted."""

SESSION = SessionId("5e55104e-0000-4000-8000-000000000001")
STEPS = frozenset({"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.chmod", "os.listdir"})


def _saving(places: Places) -> Callable[[], object]:
    store = places.saved(session("a", places.project))
    store.save_project(str(places.project), [session("a", places.project), session("b", places.project)])
    third = [session(name, places.project) for name in "abc"]
    return lambda: store.save_project(str(places.project), third)


def _opening(places: Places) -> Callable[[], object]:
    store = places.store()
    return lambda: store.open_project(str(places.project))


def _moving(places: Places) -> Callable[[], object]:
    places.saved(session("a", places.project))
    moved = places.root / "moved"
    places.project.rename(moved)
    store = places.store()
    return lambda: store.open_project(str(moved))


def _repairing(places: Places) -> Callable[[], object]:
    store = _saving(places)
    store()
    places.sessions.write_text("{")
    again = places.store()
    both = [session("a", places.project), session("b", places.project)]

    def repair() -> None:
        again.load()
        again.save_project(str(places.project), both)

    return repair


def _listing(places: Places) -> Callable[[], object]:
    places.saved()
    store = places.store()
    store.save_global([session("a")])
    return lambda: store.save_global([session("a"), session("b")])


def _keeping(places: Places) -> Callable[[], object]:
    private = FilePrivateStore(str(places.state))
    private.save_context(SESSION, LaunchContext(env={"N": "1"}))
    return lambda: private.save_context(SESSION, LaunchContext(env={"N": "2"}))


def _migrating(places: Places) -> Callable[[], object]:
    put(places, "lists", missing=("blog",))
    return places.store().load


ACTS: dict[str, Act] = {
    "saving": _saving,
    "opening": _opening,
    "moving": _moving,
    "repairing": _repairing,
    "listing": _listing,
    "keeping": _keeping,
    "migrating": _migrating,
}


def main(root: Path, act: Act) -> None:
    """Interrupt the act at its first step, its second, … until it ends by itself."""
    for last in range(1, 1000):
        child = os.fork()
        if child == 0:
            places = Places(root / str(last))
            places.project.mkdir(parents=True)
            _interrupted(act(places), last)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return
    raise SystemExit("the act never ends")


def _interrupted(act: Callable[[], object], last: int) -> None:
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if taken == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(lambda event, _: step() if event in STEPS else None)
    with mock.patch.object(files, "crashpoint", side_effect=lambda _: step()):
        act()


if __name__ == "__main__":
    main(Path(sys.argv[1]), ACTS[sys.argv[2]])
