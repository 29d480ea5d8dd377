"""Files that were damaged, edited, written by a newer version, or are gone: what runs goes on, nothing is lost, and the
person is told."""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from claudectl.client import Client
from claudectl_protocol.calls import List, Status
from claudectl_protocol.sessions import DaemonStatus, Lifecycle, SessionInfo
from tests.counts import times
from tests.e2e.diary import is_alive
from tests.e2e.scripts import ECHO
from tests.e2e.world import World
from tests.support.files import wait_for_file

REFUSED = 4
Damage = Callable[[Path], None]


def files(world: World) -> dict[str, Path]:
    """The JSON files of the world by name."""
    inside = world.project / ".claudectl"
    return {
        "project.json": inside / "project.json",
        "sessions.json": inside / "sessions.json",
        "data.json": world.config / "data.json",
    }


def restarted(world: World, change: Callable[[], object]) -> None:
    """Change something while no daemon runs; then one does."""
    world.kill(world.daemon_pid())
    change()
    world.start()


def told(world: World) -> str:
    """What the person is told beside the list; status says the same."""
    notices = world.ctl("ls").err
    assert notices == "".join(f"claudectl: {problem}\n" for problem in status(world).problems)
    return notices


def status(world: World) -> DaemonStatus:
    """How the daemon is."""
    with Client.connect(world.socket) as client:
        return client.call(Status())


def sessions(world: World) -> tuple[SessionInfo, ...]:
    """Every session there is."""
    with Client.connect(world.socket) as client:
        return client.call(List(cwd="/", all_projects=True, stopped=True)).sessions


def orphans(world: World) -> list[str]:
    """Runs that the keeper has and no session knows."""
    return list(status(world).orphans)


def check_untouched(world: World, session: dict[str, object], name: str | None = "job") -> None:
    """The session is the same, its child lives, and it can be typed to; None for any name."""
    (shown,) = (one for one in sessions(world) if one.id == session["id"])
    assert (shown.run, shown.pid) == (session["run"], session["pid"])
    assert name in (shown.name, None)
    assert shown.lifecycle is Lifecycle.ACTIVE
    word = uuid.uuid4().hex
    world.ctl("send", shown.id, "--keys", f"{word}<Enter>")
    record = world.state / "records" / shown.id / str(shown.run)
    wait_for_file(record, lambda: f"got {word}".encode() in world.record(session) or None)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _strange(path: Path) -> None:
    path.write_text('["another", "shape"]')


def _remove(path: Path) -> None:
    path.unlink()


DAMAGES: tuple[Damage, ...] = (_truncate, _empty, _zeros, _strange)


@pytest.mark.parametrize("name", ["project.json", "sessions.json", "data.json"])
def test_a_damaged_file_is_set_aside_and_the_version_before_is_used(world: World, name: str) -> None:
    session = world.run(ECHO)
    path = files(world)[name]
    for number, damage in enumerate(DAMAGES[: times(1, len(DAMAGES))]):
        restarted(world, lambda damage=damage: damage(path))  # type: ignore[misc]
        notice = told(world)

        assert f"{path.parent if name == 'data.json' else world.project}: {name} " in notice
        assert "the version before it is used" in notice
        assert orphans(world) == []
        check_untouched(world, session, name=None)

        # The next write makes a good version and a good backup again, and keeps the damaged one.
        world.ctl("rename", str(session["id"]), "other")
        world.run("", name="one more", cwd=_made(world.home / f"project-{number}"))
        assert len(list(path.parent.glob(f"{name}.corrupt-*"))) == number + 1
        assert len(sessions(world)) == number + 2
        world.ctl("rename", str(session["id"]), "job")


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_sessions_without_any_good_version_live_on_as_orphans_until_it_is_back(world: World) -> None:
    session = world.run(ECHO)
    path = files(world)["sessions.json"]
    backup = path.with_name("sessions.json.backup")
    good = path.read_bytes()

    def spoil() -> None:
        _truncate(path)
        _truncate(backup)

    restarted(world, spoil)

    assert "its content is lost" in told(world)
    assert orphans(world) == [session["run"]]
    assert is_alive(int(str(session["pid"])))
    assert len(list(path.parent.glob("sessions.json*.corrupt-*"))) == 2

    restarted(world, lambda: path.write_bytes(good))
    assert told(world) == ""
    assert orphans(world) == []
    check_untouched(world, session)


@pytest.mark.parametrize("name", ["project.json", "sessions.json"])
def test_a_project_of_a_newer_version_is_only_read_and_its_sessions_can_be_used_and_stopped(
    world: World, name: str
) -> None:
    session = world.run(ECHO)
    path = files(world)[name]
    good = path.read_bytes()
    newer = json.dumps({**json.loads(good), "schema": 99, "invention": [1, 2]}).encode()
    restarted(world, lambda: path.write_bytes(newer))

    assert told(world).startswith(
        f"claudectl: {world.project}: {name} was written by a newer version (schema 99): it is only read\n"
    )
    check_untouched(world, session)
    for command in (("new", "--command", "--", "true"), ("rename", "job", "other")):
        refusal = world.ctl(*command, code=REFUSED).err
        assert refusal.startswith(f"claudectl: '{world.project}' may not be changed: ")
        assert "newer version" in refusal
    world.ctl("stop", "job")
    assert not is_alive(int(str(session["pid"])))
    assert path.read_bytes() == newer

    # What could not be written while it was newer is known all the same once it is not.
    restarted(world, lambda: path.write_bytes(good))
    (found,) = sessions(world)
    assert found.exit is not None
    assert (found.lifecycle.is_live, found.exit.reason) == (False, "signalled")


def test_a_list_of_projects_of_a_newer_version_is_used_and_not_written(world: World) -> None:
    session = world.run(ECHO)
    path = files(world)["data.json"]
    good = path.read_bytes()
    newer = json.dumps({**json.loads(good), "schema": 99}).encode()
    restarted(world, lambda: path.write_bytes(newer))

    assert "data.json was written by a newer version (schema 99): it is only read" in told(world)
    check_untouched(world, session)
    world.ctl("rename", "job", "renamed")
    other = _made(world.home / "other")
    refusal = world.ctl("new", "--command", "--", "true", cwd=other, code=REFUSED).err
    assert refusal.startswith(f"claudectl: '{path}' may not be changed: it was written by a newer claudectl")
    assert path.read_bytes() == newer


def test_an_edit_by_hand_is_used_and_said(world: World) -> None:
    session = world.run(ECHO)
    path = files(world)["sessions.json"]

    def edit() -> None:
        body = json.loads(path.read_bytes())
        body["sessions"][0]["name"] = "by-hand"
        body["sessions"][0]["note to myself"] = "keep"
        body["sessions"].append({"id": "no session"})
        path.write_text(json.dumps(body))

    restarted(world, edit)

    notice = told(world)
    assert "sessions.json was edited by hand: its content is used" in notice
    assert "sessions.json: entry 2 is no session of this version and is kept as it is" in notice
    check_untouched(world, session, name="by-hand")
    world.ctl("rename", "by-hand", "job")
    entries = json.loads(path.read_bytes())["sessions"]
    assert entries[0]["note to myself"] == "keep"
    assert entries[1] == {"id": "no session"}


def test_a_session_that_was_copied_into_another_projects_file_stays_the_first_ones(world: World) -> None:
    session = world.run(ECHO)
    other = _made(world.home / "a-copy")
    world.run(ECHO, name="neighbour", cwd=other)
    path = other / ".claudectl" / "sessions.json"

    def copy() -> None:
        own = json.loads(files(world)["sessions.json"].read_bytes())["sessions"]
        body = json.loads(path.read_bytes())
        path.write_text(json.dumps({**body, "sessions": [*body["sessions"], *own]}))

    restarted(world, copy)

    known = sorted((one.name, one.lifecycle, one.pid) for one in sessions(world))
    assert [(name, lifecycle) for name, lifecycle, _ in known] == [
        ("job", Lifecycle.ACTIVE),
        ("job", Lifecycle.UNAVAILABLE),
        ("neighbour", Lifecycle.ACTIVE),
    ]
    assert known[0][2] == session["pid"]
    # Both are still the person's to stop.
    world.ctl("stop", "neighbour", "-g")
    world.ctl("stop", str(session["id"]))
    restarted(world, lambda: _without(path, str(session["id"])))


def _without(path: Path, session: str) -> None:
    body = json.loads(path.read_bytes())
    body["sessions"] = [one for one in body["sessions"] if one["id"] != session]
    path.write_text(json.dumps(body))


def test_a_broken_config_is_said_and_defaults_are_used(world: World) -> None:
    world.config.mkdir(parents=True)
    path = world.config / "claudectld.toml"
    path.write_text("[daemon\n")
    world.run(ECHO)

    assert told(world).startswith(f"claudectl: {path} is not used: ")


# --- projects that go away --------------------------------------------------------------------------------------


def test_a_project_that_is_deleted_while_a_session_runs(world: World) -> None:
    session = world.run(ECHO)
    shutil.rmtree(world.project)

    # Something is to be saved, and cannot be.
    world.ctl("rename", str(session["id"]), "renamed", cwd=world.home)
    (found,) = sessions(world)
    assert (found.name, found.lifecycle, found.pid) == ("renamed", Lifecycle.ACTIVE, session["pid"])
    assert f"{world.project}: not saved: " in world.ctl("ls", cwd=world.home).err
    assert is_alive(int(str(session["pid"])))

    world.ctl("stop", str(session["id"]), cwd=world.home)
    assert not is_alive(int(str(session["pid"])))
    world.project.mkdir()


def test_a_project_that_is_renamed_while_a_session_runs(world: World) -> None:
    session = world.run(ECHO)
    moved = world.home / "moved"
    world.project.rename(moved)

    assert [one.id for one in sessions(world)] == [session["id"]]
    world.ctl("send", str(session["id"]), "--keys", "hello<Enter>", cwd=moved)
    world.ctl("stop", str(session["id"]), cwd=moved)
    assert not is_alive(int(str(session["pid"])))
    moved.rename(world.project)


def test_a_project_that_is_away_when_the_daemon_starts_is_unavailable_until_it_is_back(world: World) -> None:
    session = world.run(ECHO)
    away = world.home / "away"
    world.kill(world.daemon_pid())
    world.project.rename(away)
    os.symlink("/nonexistent", world.project)
    world.ctl("daemon", "start", cwd=world.home)

    assert orphans(world) == [session["run"]]
    assert any(str(world.project) in problem for problem in status(world).problems)
    assert is_alive(int(str(session["pid"])))

    world.project.unlink()
    away.rename(world.project)
    restarted(world, lambda: None)
    check_untouched(world, session)
