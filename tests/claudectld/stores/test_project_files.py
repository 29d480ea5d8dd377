"""What is in `.claudectl/`, and telling an owned project from a moved one, a copy and somebody else's."""

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from claudectl_protocol.faults import AnyFault, ProjectUnwritable, Rejected, StoreFailed, StoreReadOnly
from claudectld.ports import StoredProject
from claudectld.stores.sessions import FileSessionStore
from tests.claudectld.stores.places import NOW, Places, document, rewrite, session


def _refusal(store: FileSessionStore, path: Path) -> AnyFault:
    with pytest.raises(Rejected) as refused:
        store.save_project(str(path), [session("a", path), session("more", path)])
    return refused.value.fault


def _project(store: FileSessionStore, path: Path) -> StoredProject:
    return next(project for project in store.load().projects if project.path == str(path))


def _contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def saved(places: Places) -> Places:
    """A project with one session, `a`."""
    places.saved(session("a", places.project))
    return places


def test_opening_makes_the_files_of_the_project_private(places: Places) -> None:
    os.umask(0)

    places.store().open_project(str(places.project))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in places.files.iterdir()}
    assert stat.S_IMODE(places.files.stat().st_mode) == 0o700
    assert modes == {
        ".gitignore": 0o600,
        "project.json": 0o600,
        "project.json.backup": 0o600,
        "sessions.json": 0o600,
    }
    assert (places.files / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(places.data.stat().st_mode) == 0o600
    assert stat.S_IMODE(places.config.stat().st_mode) == 0o700


def test_the_project_file_says_whose_the_project_is(places: Places) -> None:
    places.store().open_project(str(places.project))

    found = document(places.files / "project.json")

    assert found["name"] == "project"
    assert found["created_at"] == NOW
    assert found["stamp"] == {
        "machine": Path("/etc/machine-id").read_text().strip() if Path("/etc/machine-id").exists() else "",
        "uid": os.geteuid(),
        "state": (places.state / "id").read_text().strip(),
        "path": str(places.project),
        "device": places.files.stat().st_dev,
        "inode": places.files.stat().st_ino,
    }


def test_looking_writes_nothing(saved: Places) -> None:
    before = {path: path.lstat().st_mtime_ns for path in saved.root.rglob("*")}

    saved.store().load()

    assert {path: path.lstat().st_mtime_ns for path in saved.root.rglob("*")} == before


def test_looking_at_nothing_makes_nothing(places: Places) -> None:
    places.store().load()

    assert not places.config.exists()
    assert list(places.project.iterdir()) == []


def test_opening_again_changes_nothing(saved: Places) -> None:
    before = _contents(saved.files)

    saved.store().open_project(str(saved.project))

    assert _contents(saved.files) == before


def test_what_a_crash_left_is_swept_by_a_later_save(saved: Places) -> None:
    leftovers = [
        saved.files / ".sessions.json.0123456789abcdef.tmp",
        saved.config / ".data.json.0123456789abcdef.tmp",
    ]
    for leftover in leftovers:
        leftover.write_text("half")
        os.utime(leftover, (NOW - 3600, NOW - 3600))
    store = saved.store()

    store.save_project(str(saved.project), [session("a", saved.project)])
    store.save_global([session("g")])

    assert not any(leftover.exists() for leftover in leftovers)


def test_files_of_others_are_left_alone(places: Places) -> None:
    places.files.mkdir()
    theirs = {
        ".gitignore": "!mine\n",
        "other.json": "{}",
        "sessions.json.bak": "x",
        ".sessions.json.swp": "y",
    }
    for name, content in theirs.items():
        (places.files / name).write_text(content)

    store = places.saved(session("a", places.project))
    store.save_project(str(places.project), [], removed="rm")

    assert {name: (places.files / name).read_text() for name in theirs} == theirs


def test_unknown_fields_of_the_project_file_survive_a_new_stamp(saved: Places) -> None:
    rewrite(saved.files / "project.json", remark="mine")
    moved = saved.root / "moved"
    saved.project.rename(moved)

    saved.store().open_project(str(moved))

    found = document(moved / ".claudectl" / "project.json")
    assert found["remark"] == "mine"
    assert found["created_at"] == NOW


# --- moved ------------------------------------------------------------------------------------------------------


def test_a_moved_project_keeps_its_sessions_under_the_new_path(saved: Places) -> None:
    store = saved.store()
    store.load()
    store.save_project(
        str(saved.project),
        [
            session("a", saved.project),
            session("deep", saved.project, cwd=str(saved.project / "src")),
            session("away", saved.project, cwd=str(saved.project) + "-other"),
        ],
    )
    moved = saved.root / "moved"
    saved.project.rename(moved)

    opened = saved.store().open_project(str(moved))

    assert (opened.writable, opened.problem, opened.moved_from) == (True, "", str(saved.project))
    assert [(one.project, one.cwd) for one in opened.sessions] == [
        (str(moved), str(moved)),
        (str(moved), str(moved / "src")),
        (str(moved), str(saved.project) + "-other"),
    ]
    after = saved.store().load()
    assert [(p.path, p.problem, p.sessions) for p in after.projects] == [(str(moved), "", opened.sessions)]
    assert after.notices == ()


def test_whoever_only_looks_finds_a_moved_project_at_its_new_path(saved: Places) -> None:
    moved = saved.root / "moved"
    saved.project.rename(moved)

    found = saved.store().find_project(str(moved))

    assert found is not None
    assert (found.writable, found.moved_from) == (True, str(saved.project))
    assert [(one.project, one.cwd) for one in found.sessions] == [(str(moved), str(moved))]
    assert [project.path for project in saved.store().load().projects] == [str(moved)]


def test_whoever_only_looks_finds_a_copy_and_changes_nothing(saved: Places) -> None:
    copy = saved.root / "copy"
    shutil.copytree(saved.project, copy)
    before = _contents(saved.root)

    found = saved.store().find_project(str(copy))

    assert found is not None
    assert (found.writable, [one.name for one in found.sessions]) == (False, ["a"])
    assert f"a copy of {saved.project}" in found.problem
    assert _contents(saved.root) == before


def test_whoever_only_looks_at_a_project_off_the_list_or_at_none_gets_nothing_and_changes_nothing(
    saved: Places,
) -> None:
    store = saved.store()
    store.close_project(str(saved.project))
    plain = saved.root / "plain"
    plain.mkdir()
    before = _contents(saved.root)

    assert store.find_project(str(saved.project)) is None
    assert store.find_project(str(plain)) is None
    assert _contents(saved.root) == before


def test_whoever_only_looks_finds_a_listed_project_that_had_been_out_of_reach(saved: Places) -> None:
    store = saved.store()
    away = saved.project.rename(saved.root / "away")
    assert not store.load().projects[0].available
    away.rename(saved.project)

    found = store.find_project(str(saved.project))

    assert found is not None
    assert (found.writable, [one.name for one in found.sessions]) == (True, ["a"])
    store.save_project(str(saved.project), found.sessions)


def test_a_move_that_was_cut_short_is_still_seen(saved: Places) -> None:
    moved = saved.root / "moved"
    saved.project.rename(moved)
    store = saved.store()
    store._global.add(str(moved), instead_of=str(saved.project))
    (project,) = saved.store().load().projects
    before = _contents(moved / ".claudectl")

    assert project.problem == f"moved here from {saved.project}"
    assert project.sessions[0].cwd == str(moved)
    assert _contents(moved / ".claudectl") == before

    late = saved.store()
    late.load()
    late.save_project(str(moved), project.sessions)

    (settled,) = saved.store().load().projects
    assert (settled.sessions, settled.problem, settled.writable) == (project.sessions, "", True)


def test_a_project_whose_device_has_another_number_after_a_reboot_is_still_ours(saved: Places) -> None:
    stamp = document(saved.files / "project.json")["stamp"]
    assert isinstance(stamp, dict)
    rewrite(saved.files / "project.json", stamp={**stamp, "device": 12345})
    store = saved.store()

    project = _project(store, saved.project)
    store.save_project(str(saved.project), project.sessions)

    assert project.writable
    written = document(saved.files / "project.json")["stamp"]
    assert isinstance(written, dict)
    assert written["device"] == saved.files.stat().st_dev


def test_the_same_inode_number_on_another_device_is_no_move(saved: Places) -> None:
    stamp = document(saved.files / "project.json")["stamp"]
    assert isinstance(stamp, dict)
    rewrite(saved.files / "project.json", stamp={**stamp, "device": 12345})
    moved = saved.root / "moved"
    saved.project.rename(moved)

    opened = saved.store().open_project(str(moved))

    assert not opened.writable
    assert opened.problem.startswith(f"a copy of {saved.project}")


# --- copies -----------------------------------------------------------------------------------------------------


def test_a_copy_is_listed_and_never_written(saved: Places) -> None:
    copy = saved.root / "copy"
    shutil.copytree(saved.project, copy)
    before = _contents(copy / ".claudectl")
    store = saved.store()

    opened = store.open_project(str(copy))
    refusal = _refusal(store, copy)

    assert not opened.writable
    assert f"a copy of {saved.project}" in opened.problem
    assert [(one.name, one.project) for one in opened.sessions] == [("a", str(copy))]
    assert isinstance(refusal, StoreReadOnly)
    assert refusal.why == "copy"
    assert _contents(copy / ".claudectl") == before
    assert _project(saved.store(), copy) == opened
    assert _project(saved.store(), saved.project).writable


def test_a_copy_stays_a_copy_when_the_original_is_gone(saved: Places) -> None:
    copy = saved.root / "copy"
    shutil.copytree(saved.project, copy)
    shutil.rmtree(saved.project)

    opened = saved.store().open_project(str(copy))

    assert not opened.writable


def test_damage_in_a_copy_is_left_where_it_is(saved: Places) -> None:
    copy = saved.root / "copy"
    shutil.copytree(saved.project, copy)
    (copy / ".claudectl" / "sessions.json").write_text("{")
    before = _contents(copy / ".claudectl")

    opened = saved.store().open_project(str(copy))

    assert not opened.writable
    assert "sessions.json" in opened.problem
    assert _contents(copy / ".claudectl") == before


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("machine", "another", "another machine"),
        ("uid", 4242, "another user"),
        ("state", "another", "another state directory"),
        ("inode", 1, "a copy of"),
    ],
)
def test_a_stamp_that_is_not_ours_makes_a_copy(saved: Places, field: str, value: object, why: str) -> None:
    if field == "machine" and not Path("/etc/machine-id").exists():
        pytest.skip("this machine has no id, and an unknown one differs from nobody")
    stamp = document(saved.files / "project.json")["stamp"]
    assert isinstance(stamp, dict)
    rewrite(saved.files / "project.json", stamp={**stamp, field: value})
    store = saved.store()

    project = _project(store, saved.project)
    refusal = _refusal(store, saved.project)

    assert not project.writable
    assert why in project.problem
    assert [one.name for one in project.sessions] == ["a"]
    assert isinstance(refusal, StoreReadOnly)
    assert refusal.why == "copy"


def test_sessions_that_came_without_a_stamp_are_shown_and_not_trusted(saved: Places) -> None:
    for name in ("project.json", "project.json.backup"):
        (saved.files / name).unlink()
    before = _contents(saved.files)
    store = saved.store()

    opened = store.open_project(str(saved.project))
    refusal = _refusal(store, saved.project)

    assert [one.name for one in opened.sessions] == ["a"]
    assert not opened.writable
    assert isinstance(refusal, StoreReadOnly)
    assert refusal.why == "not_trusted"
    assert _contents(saved.files) == before


def test_a_directory_without_stamp_and_sessions_is_taken(places: Places) -> None:
    places.files.mkdir()
    (places.files / "project.json").write_text("garbage")

    opened = places.store().open_project(str(places.project))

    assert opened.writable
    assert _project(places.store(), places.project).problem == ""
    assert (places.files / "project.json.corrupt-20261122T120000Z").read_text() == "garbage"


def test_a_damaged_project_file_is_restored_from_its_backup(saved: Places) -> None:
    (saved.files / "project.json").write_text("garbage")
    store = saved.store()

    project = _project(store, saved.project)
    store.save_project(str(saved.project), project.sessions)

    assert project.writable
    assert "project.json" in project.problem
    assert _project(saved.store(), saved.project).problem == ""


# --- missing and out of reach -----------------------------------------------------------------------------------


def test_a_missing_project_is_unavailable_and_stays_on_the_list(saved: Places) -> None:
    saved.project.rename(saved.root / "elsewhere")
    store = saved.store()

    project = _project(store, saved.project)
    refusal = _refusal(store, saved.project)

    assert (project.available, project.writable, project.sessions) == (False, False, ())
    assert "missing" in project.problem
    assert isinstance(refusal, StoreFailed)
    assert refusal.error == "ENOENT"
    assert not saved.project.exists()

    (saved.root / "elsewhere").rename(saved.project)
    assert [one.name for one in _project(store, saved.project).sessions] == ["a"]


def test_files_that_vanish_while_the_daemon_runs_are_made_again(saved: Places) -> None:
    store = saved.store()
    sessions = _project(store, saved.project).sessions
    shutil.rmtree(saved.files)

    store.save_project(str(saved.project), sessions)

    after = _project(saved.store(), saved.project)
    assert (after.sessions, after.writable, after.problem) == (sessions, True, "")


def test_files_that_vanished_before_the_start_are_a_loss_that_is_said(saved: Places) -> None:
    shutil.rmtree(saved.files)
    store = saved.store()

    project = _project(store, saved.project)
    store.save_project(str(saved.project), [session("next", saved.project)])

    assert "lost" in project.problem
    assert (project.available, project.writable) == (True, True)
    assert [one.name for one in _project(saved.store(), saved.project).sessions] == ["next"]


def test_a_link_in_place_of_the_files_is_not_followed(saved: Places) -> None:
    elsewhere = saved.root / "elsewhere"
    saved.files.rename(elsewhere)
    saved.files.symlink_to(elsewhere)
    before = _contents(elsewhere)
    store = saved.store()

    project = _project(store, saved.project)
    refusal = _refusal(store, saved.project)
    with pytest.raises(Rejected) as refused:
        store.open_project(str(saved.project))

    assert (project.available, project.writable, project.sessions) == (True, False, ())
    assert project.problem
    assert isinstance(refusal, StoreReadOnly)
    assert refusal.why == "not_trusted"
    assert isinstance(refused.value.fault, ProjectUnwritable)
    assert _contents(elsewhere) == before


@pytest.mark.privileged
def test_the_directory_of_another_user_is_not_used(saved: Places) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(saved.files, 12345, 12345)
    store = saved.store()

    project = _project(store, saved.project)
    refusal = _refusal(store, saved.project)
    with pytest.raises(Rejected) as refused:
        store.open_project(str(saved.project))

    assert (project.writable, project.sessions) == (False, ())
    assert isinstance(refusal, StoreReadOnly)
    assert isinstance(refused.value.fault, ProjectUnwritable)
    assert refused.value.fault.error == "EPERM"


@pytest.mark.parametrize(("kind", "error"), [("missing", "ENOENT"), ("file", "ENOTDIR")])
def test_what_is_no_directory_cannot_be_opened(places: Places, kind: str, error: str) -> None:
    path = places.root / kind
    if kind == "file":
        path.write_text("")
    store = places.store()

    with pytest.raises(Rejected) as refused:
        store.open_project(str(path))

    assert refused.value.fault == ProjectUnwritable(path=str(path), error=error)
    assert store.load().projects == ()


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a/"])
def test_a_path_that_is_not_normal_is_an_error_of_the_caller(places: Places, path: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        places.store().open_project(path)


def test_a_full_disk_is_reported_and_costs_nothing(saved: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    store = saved.store()
    sessions = _project(store, saved.project).sessions
    before = _contents(saved.files)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        refusal = _refusal(store, saved.project)

    assert refusal == StoreFailed(path=str(saved.sessions), error="ENOSPC")
    assert _contents(saved.files) == before
    store.save_project(str(saved.project), [*sessions, session("later", saved.project)])
    assert len(_project(saved.store(), saved.project).sessions) == 2


def test_threads_save_one_project_in_turn(saved: Places) -> None:
    store = saved.store()
    store.load()

    def save(name: str) -> None:
        for number in range(20):
            changed = session("a", saved.project, since=float(number))
            store.save_project(str(saved.project), [changed, session("t", saved.project)])
            store.save_global([session(name)], removed="test")

    with ThreadPoolExecutor(4) as threads:
        for ended in [threads.submit(save, f"t{number}") for number in range(4)]:
            ended.result()

    after = saved.store().load()
    assert [one.name for one in after.projects[0].sessions] == ["a", "t"]
    assert after.notices == ()
    assert not [name for name in os.listdir(saved.files) if name.endswith(".tmp")]
