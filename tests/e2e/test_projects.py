"""Projects: what is seen from where, and what becomes of a project that is moved or copied."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import Fifo, World, wait_gone

HERE = 'pwd > "$1"; exec cat'
"""Says on a named pipe where it was started, then waits."""


@pytest.fixture
def starts(world: World) -> Iterator[Fifo]:
    """Where sessions of HERE are started, in order."""
    fifo = Fifo(world.home / "starts")
    yield fifo
    fifo.close()


def cat(world: World, name: str, *options: str, cwd: Path | None = None) -> dict[str, object]:
    return world.new("-n", name, *options, "--command", "--", "cat", cwd=cwd)


def here(world: World, name: str, starts: Fifo, cwd: Path) -> dict[str, object]:
    """A session of HERE that is restored after an interruption."""
    words = ("sh", "-c", HERE, "sh", str(starts.path))
    return world.new("-n", name, "--restore", "--command", "--", *words, cwd=cwd)


def listed(world: World, *options: str, cwd: Path) -> list[str]:
    """Names in `ls`."""
    return [str(session["name"]) for session in sessions(world, *options, cwd=cwd)]


def sessions(world: World, *options: str, cwd: Path) -> list[dict[str, object]]:
    found = world.ctl("ls", "--json", *options, cwd=cwd).json()["sessions"]
    assert isinstance(found, list)
    return found


def projects(world: World) -> dict[str, dict[str, object]]:
    found = world.ctl("project", "ls", "--json").json()["projects"]
    assert isinstance(found, list)
    return {project["path"]: project for project in found}


def stored(project: Path) -> list[dict[str, object]]:
    """The sessions in a project's file."""
    found = json.loads((project / ".claudectl" / "sessions.json").read_text())["sessions"]
    assert isinstance(found, list)
    return found


def contents(*roots: Path) -> dict[str, bytes | None]:
    """Every path below the roots, with the bytes of files."""
    found = (path for root in roots for path in [root, *root.rglob("*")] if path.exists())
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}


def interrupt(world: World, session: dict[str, object]) -> None:
    """End the daemon, then the session's child: the next daemon will want it back."""
    world.ctl("daemon", "stop")
    pid = int(str(session["pid"]))
    os.kill(pid, signal.SIGTERM)
    wait_gone([pid])


def directory(world: World, name: str) -> Path:
    path = world.home / name
    path.mkdir()
    return path


def test_a_session_of_one_project_is_not_seen_from_another(world: World) -> None:
    web = directory(world, "web")
    cat(world, "job")
    other = cat(world, "job", cwd=web)
    cat(world, "only-here", cwd=web)
    id_ = str(other["id"])

    assert listed(world, cwd=world.project) == ["job"]
    assert listed(world, cwd=web) == ["job", "only-here"]
    assert listed(world, "-g", cwd=world.project) == ["job", "job", "only-here"]
    for hidden in ("only-here", id_[:7]):
        assert "no session" in world.ctl("show", hidden, code=3).err
    assert world.ctl("show", "only-here", "--json", "-g").json()["session"]
    for anywhere in (id_[:8], id_):
        assert world.ctl("show", anywhere, "--json").json()["session"] == other
    assert world.ctl("show", "job", "--json", cwd=web).json()["session"] == other
    assert world.ctl("show", id_[:7], "--json", cwd=web).json()["session"] == other


def test_ls_creates_nothing(world: World) -> None:
    below = directory(world, "repository") / "src"
    below.mkdir()
    (below.parent / ".git").mkdir()
    world.start()
    before = contents(world.project, below.parent, world.config)

    for place in (world.project, below, world.home):
        assert sessions(world, "-g", cwd=place) == []
        assert world.ctl("ls", "-a", cwd=place).out == ""
        world.ctl("show", "nobody", code=3, cwd=place)

    assert contents(world.project, below.parent, world.config) == before
    assert projects(world) == {}


def test_global_sessions_and_those_of_home_live_in_data_json(world: World) -> None:
    cat(world, "loose", "--global")
    cat(world, "home", cwd=world.home)
    cat(world, "own")

    data = json.loads((world.config / "data.json").read_text())
    assert [session["name"] for session in data["sessions"]] == ["loose", "home"]
    assert [session["name"] for session in stored(world.project)] == ["own"]
    assert not (world.home / ".claudectl").exists()
    assert listed(world, cwd=world.project) == ["own"]
    assert listed(world, cwd=world.home) == ["loose", "home"]
    assert [session["project"] for session in sessions(world, "-g", cwd=world.project)] == [
        None,
        None,
        str(world.project),
    ]

    world.kill(world.daemon_pid())
    assert listed(world, cwd=world.home) == ["loose", "home"]


def test_a_project_moved_while_no_daemon_ran_is_followed_with_its_children(world: World) -> None:
    session = cat(world, "job")
    cat(world, "over")
    world.ctl("stop", "over")
    world.ctl("daemon", "stop")
    moved = world.project.rename(world.home / "moved")
    world.project.mkdir()

    told = world.ctl("ls", "-a", cwd=moved)
    assert f"{moved}: moved here from {world.project}" in told.err
    (job,) = sessions(world, cwd=moved)
    assert job == {**session, "project": str(moved), "cwd": str(moved), "since": job["since"]}
    assert listed(world, "-a", cwd=moved) == ["job", "over"]
    assert listed(world, "-a", cwd=world.project) == []
    assert list(projects(world)) == [str(moved)]
    with world.attach("job") as terminal:
        terminal.type("hello\r")
        terminal.wait_for_output(b"hello\r\nhello")


def test_what_was_wanted_in_a_moved_project_comes_back_at_its_new_place(world: World, starts: Fifo) -> None:
    session = here(world, "job", starts, world.project)
    assert starts.line() == str(world.project)
    interrupt(world, session)
    moved = world.project.rename(world.home / "moved")
    world.project.mkdir()
    world.start()

    assert listed(world, cwd=moved) == ["job"]

    assert starts.line() == str(moved)


def test_a_project_moved_under_a_running_daemon_takes_its_sessions_along(world: World) -> None:
    session = cat(world, "job")
    moved = world.project.rename(world.home / "moved")
    world.project.mkdir()

    assert world.ctl("rename", "job", "new-name", cwd=moved).code == 0

    assert list(projects(world)) == [str(moved)]
    assert [(entry["name"], entry["cwd"]) for entry in stored(moved)] == [("new-name", str(moved))]
    assert list(world.project.iterdir()) == []
    cat(world, "second", cwd=moved)
    world.kill(world.daemon_pid())
    after = sessions(world, cwd=moved)
    assert [(one["name"], one["problem"]) for one in after] == [("new-name", ""), ("second", "")]
    assert (after[0]["pid"], after[0]["lifecycle"]) == (session["pid"], "active")


def test_a_copied_project_is_only_shown_and_the_original_stays_usable(world: World) -> None:
    session = cat(world, "job")
    id_ = str(session["id"])
    copy = world.home / "copy"
    shutil.copytree(world.project, copy)
    before = contents(copy)

    told = world.ctl("ls", cwd=copy)
    (shown,) = sessions(world, cwd=copy)

    assert "unavailable" in told.out
    assert f"a copy of {world.project}" in told.err
    assert (shown["id"], shown["project"], shown["lifecycle"], shown["pid"]) == (
        id_,
        str(copy),
        "unavailable",
        None,
    )
    for verb in (["stop", "job"], ["rm", "--force", "job"], ["restart", "job"], ["rename", "job", "x"]):
        assert "copy" in world.ctl(*verb, code=4, cwd=copy).err
    world.ctl("new", "-n", "more", "--command", "--", "cat", code=4, cwd=copy)
    assert world.ctl("show", id_, "--json", cwd=copy).json()["session"] == session
    assert world.ctl("show", "job", "--json").json()["session"] == session
    world.ctl("stop", id_[:8], cwd=copy)
    assert world.shown(id_)["lifecycle"] == "stopped"
    assert contents(copy) == before


def test_a_copy_is_never_restored(world: World, starts: Fifo) -> None:
    session = here(world, "job", starts, world.project)
    assert starts.line() == str(world.project)
    interrupt(world, session)
    copy = world.home / "copy"
    shutil.copytree(world.project, copy)
    before = contents(copy)
    world.ctl("ls", cwd=copy)
    assert starts.line() == str(world.project)
    world.ctl("rm", "--force", "job")

    world.ctl("daemon", "stop")
    assert [shown["lifecycle"] for shown in sessions(world, cwd=copy)] == ["unavailable"]
    world.ctl("project", "show", cwd=copy)

    # Whatever else had been started would have said so before this one.
    last = directory(world, "last")
    here(world, "job", starts, last)
    assert starts.line() == str(last)
    assert contents(copy) == before


def test_a_project_is_added_listed_shown_and_taken_off_the_list(world: World) -> None:
    web = directory(world, "web")
    added = world.ctl("project", "add", str(web), "--json").json()["project"]
    assert added == projects(world)[str(web)]
    assert (web / ".claudectl" / ".gitignore").read_text() == "*\n"
    cat(world, "job", cwd=web)

    shown = world.ctl("project", "show", str(web), "--json").json()
    assert (shown["project"], shown["sessions"]) == (
        {**projects(world)[str(web)], "sessions": 1, "active": 1},
        sessions(world, cwd=web),
    )
    assert str(web) in world.ctl("project", "ls").out
    world.ctl("project", "show", code=3)

    world.ctl("project", "rm", str(web), code=4)
    world.ctl("stop", "job", cwd=web)
    before = contents(web)
    world.ctl("project", "rm", str(web))

    assert contents(web) == before
    assert projects(world) == {}
    gone = world.ctl("ls", "-a", cwd=web)
    assert (gone.out, "project add" in gone.err) == ("", True)
    assert projects(world) == {}
    world.ctl("project", "show", str(web), code=3)
    world.ctl("project", "add", cwd=web)
    assert listed(world, "-a", cwd=web) == ["job"]


def test_a_project_whose_directory_is_missing_stays_on_the_list_and_comes_back(world: World) -> None:
    cat(world, "job")
    world.ctl("stop", "job")
    world.ctl("daemon", "stop")
    away = world.project.rename(world.home / "away")

    told = world.ctl("ls", "-g", cwd=world.home)
    assert f"{world.project}: the directory is missing" in told.err
    found = world.ctl("project", "ls", "--json", cwd=world.home).json()["projects"]
    assert isinstance(found, list)
    assert [(project["path"], project["available"]) for project in found] == [(str(world.project), False)]

    away.rename(world.project)
    assert listed(world, "-a", cwd=world.project) == ["job"]
    assert projects(world)[str(world.project)]["available"] is True
