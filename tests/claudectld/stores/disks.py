"""A program: the stores on a full disk, on a read-only one, and without permission. It wants a mount namespace
of its own and root in it. Usage: disks ROOT SCENE; it exits with 77 where the machine does not allow the scene.
"""

import codecs
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from claudectl_protocol.faults import AnyFault, ProjectUnwritable, Rejected, StoreFailed
from claudectld.stores.sessions import FileSessionStore
from tests.claudectld.stores.places import Places, session

REFUSED = 77


def _mount(*arguments: str) -> None:
    if subprocess.run(["mount", *arguments], check=False).returncode != 0:
        raise SystemExit(REFUSED)


def _fault(act: Callable[[], object]) -> AnyFault:
    try:
        act()
    except Rejected as refused:
        return refused.fault
    raise AssertionError("was not refused")


def _names(store: FileSessionStore) -> list[str]:
    return [one.name for one in store.load().projects[0].sessions]


def full(places: Places) -> None:
    """The project's disk fills up and is emptied again."""
    _mount("-t", "tmpfs", "-o", "size=128k", "tmpfs", str(places.project))
    store = places.saved(session("a", places.project))
    before = places.sessions.read_bytes()
    two = [session("a", places.project), session("b", places.project)]
    filler = os.open(places.project / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(filler, bytes(4096)):
            pass
    except OSError:
        os.close(filler)

    fault = _fault(lambda: store.save_project(str(places.project), two))

    assert fault == StoreFailed(path=str(places.sessions), error="ENOSPC"), fault
    assert places.sessions.read_bytes() == before
    assert not [name for name in os.listdir(places.files) if name.endswith(".tmp")]
    assert _names(places.store()) == ["a"]
    (places.project / "filler").unlink()
    store.save_project(str(places.project), two)
    assert _names(places.store()) == ["a", "b"]


def read_only(places: Places) -> None:
    """The project's disk becomes read-only, and later writable again."""
    path = str(places.project)
    _mount("--bind", path, path)
    store = places.saved(session("a", places.project))
    store.save_project(path, [session("a", places.project), session("b", places.project)])
    _mount("-o", "remount,bind,ro", path)
    fresh = places.store()

    (project,) = fresh.load().projects
    saving = _fault(lambda: fresh.save_project(path, project.sessions))
    opening = _fault(lambda: fresh.open_project(path))

    assert (project.available, project.writable) == (True, False)
    assert project.problem
    assert _names(fresh) == ["a", "b"]
    assert isinstance(saving, StoreFailed)
    assert saving.error == "EROFS", saving
    assert opening == ProjectUnwritable(path=path, error="EROFS"), opening

    _mount("-o", "remount,bind,rw", path)
    places.sessions.write_text("garbage")
    _mount("-o", "remount,bind,ro", path)
    (damaged,) = places.store().load().projects
    assert [one.name for one in damaged.sessions] == ["a"]
    assert not damaged.writable
    assert "EROFS" in damaged.problem
    assert places.sessions.read_text() == "garbage"

    _mount("-o", "remount,bind,rw", path)
    fresh.save_project(path, project.sessions)
    assert _names(places.store()) == ["a", "b"]


def fresh_read_only(places: Places) -> None:
    """A project that never was one, on a read-only disk."""
    path = str(places.project)
    _mount("--bind", path, path)
    _mount("-o", "remount,bind,ro", path)

    fault = _fault(lambda: places.store().open_project(path))

    assert fault == ProjectUnwritable(path=path, error="EROFS"), fault
    assert places.store().load().projects == ()


def denied(places: Places) -> None:
    """A project directory that an ordinary user may only read."""
    path = str(places.project)
    places.project.chmod(0o755)
    for directory in (places.config, places.state):
        directory.mkdir(parents=True)
        os.chown(directory, 12345, 12345)
    for above in (places.root, *places.root.parents):
        if not above.stat().st_mode & 0o001:
            raise SystemExit(REFUSED)
    # Imported while the interpreter may still read its own files.
    codecs.lookup("ascii")
    os.setgroups([])
    os.setgid(12345)
    os.setuid(12345)
    store = places.store()

    fault = _fault(lambda: store.open_project(path))

    assert fault == ProjectUnwritable(path=path, error="EACCES"), fault
    assert os.listdir(path) == []
    assert store.load().projects == ()


SCENES = {scene.__name__: scene for scene in (full, read_only, fresh_read_only, denied)}


def main(root: Path, scene: Callable[[Places], None]) -> None:
    """Play one scene below ROOT."""
    places = Places(root)
    places.project.mkdir(parents=True)
    scene(places)


if __name__ == "__main__":
    main(Path(sys.argv[1]), SCENES[sys.argv[2]])
