"""A program: a daemon and its clients on full and read-only disks, among other users, and without privileges. It wants
root in a mount namespace of its own. Usage: scenes SCENE; it exits with 77 where the machine does not allow the scene.
"""

import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from claudectl.client import Client
from claudectl_protocol.calls import List, Status
from claudectl_protocol.connection import ClientConnection, Dismissed
from claudectl_protocol.faults import Denied
from claudectl_protocol.sessions import Lifecycle, SessionInfo
from tests.e2e.diary import is_alive
from tests.e2e.scripts import ECHO, NUMBERED_LINES, numbers_in
from tests.e2e.world import DEADLINE_S, World

NOT_HERE = 77
SOMEBODY, NEIGHBOUR = 12345, 12346
FAILED, REFUSED, NO_PROGRAM, NOT_SPAWNED, UNREACHABLE = 1, 4, 7, 8, 69


def mount(*arguments: str) -> None:
    """Mount, or leave because the machine does not allow it."""
    if subprocess.run(["mount", *arguments], check=False).returncode != 0:
        raise SystemExit(NOT_HERE)


def fill(directory: Path) -> Path:
    """Take all the space there is; the file that has it."""
    filler = directory / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, bytes(4096)):
            pass
    except OSError:
        os.close(descriptor)
    return filler


def sessions(world: World) -> tuple[SessionInfo, ...]:
    """Every session there is."""
    with Client.connect(world.socket) as client:
        return client.call(List(cwd="/", all_projects=True, stopped=True)).sessions


def problems(world: World) -> str:
    """What the daemon finds wrong."""
    with Client.connect(world.socket) as client:
        return "\n".join(client.call(Status()).problems)


# --- disks ------------------------------------------------------------------------------------------------------


def read_only_project(world: World) -> None:
    """A project's disk becomes read-only under a running session, across a restart, and writable again."""
    path = str(world.project)
    mount("--bind", path, path)
    session = world.run(ECHO)
    pid = int(str(session["pid"]))
    mount("-o", "remount,bind,ro", path)
    assert world.ctl("new", "--command", "--", "true", code=FAILED).err == (
        f"claudectl: '{path}/.claudectl/sessions.json' could not be written (EROFS); nothing was changed\n"
    )
    world.kill(world.daemon_pid())
    world.start()

    (found,) = sessions(world)
    assert (found.lifecycle, found.pid) == (Lifecycle.ACTIVE, pid)
    assert f"{path}: the directory cannot be written" in world.ctl("ls").err
    assert world.ctl("new", "--command", "--", "true", code=REFUSED).err.startswith("claudectl: ")
    with world.attach("job") as terminal:
        terminal.wait_for("ready")
        terminal.type("hello\r")
        terminal.wait_for("got hello")
    world.ctl("stop", "job")
    assert not is_alive(pid)

    mount("-o", "remount,bind,rw", path)
    world.run("", name="again")
    assert sorted((one.name, one.lifecycle.is_live) for one in sessions(world) if one.name == "job") == [
        ("job", False)
    ]


def fresh_read_only_project(world: World) -> None:
    """A directory that cannot become a project; the way out that the sentence names works."""
    path = str(world.project)
    mount("--bind", path, path)
    mount("-o", "remount,bind,ro", path)

    assert world.ctl("new", "--command", "--", "true", code=REFUSED).err.endswith(
        f"'{path}' cannot hold .claudectl (EROFS); "
        "use another directory with -C, or --global for a session of no project\n"
    )
    world.ctl("new", "--global", "-n", "free", "--command", "--", "cat")
    assert [one.name for one in sessions(world)] == ["free"]


def full_project(world: World) -> None:
    """A project's disk is full: what runs goes on and can be stopped; when there is room again, all is written."""
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(world.project))
    session = world.run(ECHO)
    filler = fill(world.project)

    refusal = world.ctl("new", "-n", "late", "--command", "--", "cat", code=FAILED).err
    assert refusal == (
        f"claudectl: '{world.project}/.claudectl/sessions.json' could not be written (ENOSPC); nothing was changed\n"
    )
    world.ctl("stop", "job")
    (found,) = sessions(world)
    assert (found.name, found.lifecycle) == ("job", Lifecycle.STOPPED)
    assert not is_alive(int(str(session["pid"])))
    assert f"{world.project}: not saved: " in problems(world)

    filler.unlink()
    world.run(ECHO, name="next")
    assert problems(world) == ""
    world.kill(world.daemon_pid())
    world.start()
    assert {one.name: one.lifecycle for one in sessions(world)} == {
        "job": Lifecycle.STOPPED,
        "next": Lifecycle.ACTIVE,
    }


def full_state(world: World) -> None:
    """The disk of the state directory is full: children print on, the loss is a gap of known size, nobody dies."""
    world.state.mkdir(parents=True, mode=0o700)
    mount("-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", str(world.state))
    session = world.run(NUMBERED_LINES)
    pid, daemon = int(str(session["pid"])), world.daemon_pid()
    filler = fill(world.state)

    failed = world.ctl("new", "-n", "late", "--command", "--", "cat", code=FAILED).err
    assert failed.startswith("claudectl: ")
    assert "could not be written (ENOSPC)" in failed
    assert [one.name for one in sessions(world)] == ["job"]
    assert (world.daemon_pid(), is_alive(pid)) == (daemon, True)

    filler.unlink()
    world.ctl("send", "job", "--keys", "stop<Enter>")
    ended = world.ctl("logs", "job", "-f", "--raw")
    numbers, end = numbers_in(ended.out.encode())
    assert end is not None
    assert numbers == sorted(set(numbers))
    assert world.shown("job")["exit"] != {}
    world.ctl("rm", "job")


# --- users ------------------------------------------------------------------------------------------------------


def uncover(*needed: str) -> None:
    """Make paths reachable for everybody in this namespace, whatever the directories above them allow."""
    for path in needed:
        for above in [*reversed(Path(path).resolve().parents)]:
            if above.stat().st_mode & 0o001:
                continue
            keep = tempfile.mkdtemp(prefix="cc-keep-", dir="/tmp")
            child = above / Path(path).resolve().relative_to(above).parts[0]
            mount("--bind", str(child), keep)
            mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(above))
            child.mkdir()
            mount("--move", keep, str(child))
            os.rmdir(keep)


def become(uid: int) -> None:
    """Be an ordinary user from now on."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def another_user(world: World) -> None:
    """Somebody else reaches the socket because its permissions were opened: refused by who they are."""
    directory = world.home / "run"
    world.env["CLAUDECTL_SOCKET"] = str(directory / "daemon.sock")
    world.run(ECHO)
    world.home.chmod(0o711)
    directory.chmod(0o711)
    os.chmod(world.socket, 0o666)
    child = os.fork()
    if child == 0:
        try:
            become(NEIGHBOUR)
            check_refused(world.socket)
        except BaseException:  # noqa: BLE001 — a fork of a test must not come back from here
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "event=peer_refused uid=12346" in world.log()

    # Its own user does not trust the place any more either, and says so.
    refusal = world.ctl("ls", code=UNREACHABLE).err
    assert refusal.startswith("claudectl: the daemon's socket cannot be trusted: ")
    assert refusal.endswith(f"{directory} has mode 0711 instead of 0700\n")
    directory.chmod(0o700)
    world.ctl("ls")


def check_refused(path: str) -> None:
    """As somebody else: the daemon says why, and reads nothing."""
    client = ClientConnection("0", os.getpid())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.settimeout(DEADLINE_S)
        try:
            connection.sendall(client.start())
        except (BrokenPipeError, ConnectionResetError):
            pass
        events = []
        try:
            while data := connection.recv(65536):
                events += client.receive_data(data)
        except ConnectionResetError:
            pass
    assert events == [Dismissed(Denied(why="this daemon serves user 0 only"))], events


def ordinary_user(world: World) -> None:
    """What an ordinary user may not read, write or enter."""
    closed, stubborn = world.home / "closed", world.home / "stubborn"
    for directory, mode in ((closed, 0o000), (stubborn, 0o555)):
        directory.mkdir()
        directory.chmod(mode)
    forbidden = world.home / "forbidden"
    forbidden.write_text("#!/bin/sh\n")
    forbidden.chmod(0o600)

    def sentence(code: int, *arguments: str) -> str:
        return world.ctl("new", *arguments, code=code).err.splitlines()[-1]

    assert sentence(NOT_SPAWNED, "-C", str(closed), "--command", "--", "true") == (
        f"claudectl: the session could not be started: cwd '{closed}' failed with EACCES"
    )
    assert sentence(REFUSED, "-C", str(stubborn), "--command", "--", "true") == (
        f"claudectl: '{stubborn}' cannot hold .claudectl (EACCES); "
        "use another directory with -C, or --global for a session of no project"
    )
    assert sentence(NO_PROGRAM, "--command", "--", str(forbidden)) == (
        f"claudectl: '{forbidden}' may not be executed; make it executable, or name another program"
    )
    session = world.run(ECHO)
    status = Path(f"/proc/{session['pid']}/status").read_text()
    assert f"Uid:\t{SOMEBODY}\t{SOMEBODY}\t{SOMEBODY}\t{SOMEBODY}" in status

    # A file that may not be read any more hides nothing: what is known stays, the rest is told.
    path = world.project / ".claudectl" / "sessions.json"
    path.chmod(0o000)
    world.kill(world.daemon_pid())
    world.start()
    assert "sessions.json cannot be read (EACCES)" in world.ctl("ls").err
    (found,) = sessions(world)
    assert (found.lifecycle, found.pid) == (Lifecycle.ACTIVE, session["pid"])
    path.chmod(0o600)


Scene = Callable[[World], None]
DISKS: Sequence[Scene] = (read_only_project, fresh_read_only_project, full_project, full_state)
USERS: Sequence[Scene] = (another_user, ordinary_user)
SCENES = {scene.__name__: scene for scene in (*DISKS, *USERS)}


def main(scene: Scene) -> None:
    """Play one scene in a world of its own."""
    if scene is ordinary_user:
        uncover(sys.executable, os.path.realpath(sys.executable), sysconfig.get_path("stdlib"), __file__)
        become(SOMEBODY)
    with World() as world:
        scene(world)
        world.end()
    if scene is ordinary_user:
        with contextlib.suppress(OSError):  # a scene beside this one may still be in there
            os.rmdir(os.path.dirname(os.path.dirname(world.socket)))


if __name__ == "__main__":
    main(SCENES[sys.argv[1]])
