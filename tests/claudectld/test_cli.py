"""The daemon's start, from its command line to the word that it serves."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scripts import ECHO
from tests.e2e.world import World, wait_gone
from tests.support.files import wait_for_file


@pytest.fixture
def world() -> Iterator[World]:
    """A world that ends as the product ends it."""
    with World() as made:
        yield made
        made.end()


def test_a_daemon_that_is_asked_for_its_socket_before_it_has_one_lives(world: World) -> None:
    locks = world.state / "locks"
    ready, its = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "claudectld", "run", "--ready-fd", str(its)], env=world.env, pass_fds=(its,)
    ) as daemon:
        os.close(its)
        lock = locks / "daemon.lock"

        def holds() -> bool | None:
            return (lock.exists() and lock.read_text().strip() == str(daemon.pid)) or None

        wait_for_file(locks, holds)
        # What another one does that finds the lock taken and no socket: it wakes whoever holds the lock.
        daemon.send_signal(signal.SIGUSR1)
        with os.fdopen(ready) as pipe:
            assert pipe.readline() == "ready\n"
        world.ctl("daemon", "stop")
        assert daemon.wait(20) == 0
        wait_gone(world.processes())


class Manager:
    """A service manager's ear, and daemons that it started."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._path = world.home / "notify"
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(self._path))
        self._ear.settimeout(20)

    def start(self, **more: str) -> "subprocess.Popen[bytes]":
        """A daemon."""
        env = {**self._world.env, "NOTIFY_SOCKET": str(self._path), **more}
        command = [sys.executable, "-m", "claudectld", "run"]
        # A daemon that is aborted may leave its core where it was started.
        return subprocess.Popen(command, env=env, cwd=self._world.home, stderr=subprocess.PIPE)

    def heard(self) -> list[str]:
        """The next message."""
        return self._ear.recv(4096).decode().split("\n")

    def close(self) -> None:
        """Listen no more."""
        self._ear.close()


@pytest.fixture
def manager(world: World) -> Iterator[Manager]:
    """A service manager of the world."""
    made = Manager(world)
    yield made
    made.close()


def test_the_service_manager_hears_ready_when_calls_are_answered_how_it_is_and_that_it_leaves(
    world: World, manager: Manager
) -> None:
    with manager.start(WATCHDOG_USEC="200000") as daemon:
        assert manager.heard() == ["READY=1"]
        # Nobody has been waited for since: the call is answered now or never.
        assert world.ctl("--no-start", "status", "--json").json()["daemon"]["pid"] == daemon.pid  # type: ignore[index]
        session = world.new("-n", "job", "--command", "--", "cat")
        while manager.heard() != ["WATCHDOG=1", "STATUS=1 of 1 sessions active; keeper ok"]:
            pass
        with open(f"/proc/{session['pid']}/environ", "rb") as file:
            assert b"NOTIFY_SOCKET" not in file.read()
        with open(f"/proc/{world.keeper_pid()}/environ", "rb") as file:
            assert b"NOTIFY_SOCKET" not in file.read()
        daemon.terminate()
        while manager.heard() != ["STOPPING=1", "STATUS=leaving"]:
            pass
        assert daemon.wait(20) == 0
    assert world.shown("job")["pid"] == session["pid"]


def test_a_daemon_that_is_not_needed_is_ready_and_ends_well(manager: Manager) -> None:
    with manager.start() as first:
        assert manager.heard() == ["READY=1"]
        with manager.start() as second:
            heard = [manager.heard() for _ in range(3)]
            assert ["READY=1"] in heard
            assert [f"STATUS=claudectld is already running (pid {first.pid})"] in heard
            assert second.wait(20) == 0
        first.terminate()
        assert first.wait(20) == 0


def test_why_a_daemon_does_not_start_is_its_status(world: World, manager: Manager) -> None:
    world.state.parent.mkdir(parents=True)
    world.state.write_text("a file")
    with manager.start() as daemon:
        (line,) = manager.heard()
        assert line.startswith("STATUS=")
        assert str(world.state) in line
        assert daemon.wait(20) == 1
    world.state.unlink()


@pytest.mark.parametrize(("number", "lives"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_daemon_that_is_set_to_ends_its_sessions_when_a_service_manager_stops_it(
    world: World, number: int, lives: bool
) -> None:
    world.configure('[daemon]\non_stop = "stop"\n')
    session = world.run(ECHO)
    daemon = world.daemon_pid()
    os.kill(daemon, number)
    wait_gone([daemon])
    if not lives:
        wait_gone([int(str(session["pid"]))])
    shown = world.shown("job")
    assert shown["run"] == session["run"]
    assert (shown["wanted"] == "running") is lives
    assert Path(f"/proc/{session['pid']}").exists() is lives


def test_a_watchdogs_abort_leaves_word_of_where_it_hung(manager: Manager) -> None:
    with manager.start() as daemon:
        assert manager.heard() == ["READY=1"]
        daemon.send_signal(signal.SIGABRT)
        assert daemon.wait(20) == -signal.SIGABRT
        assert daemon.stderr is not None
        assert b"Fatal Python error: Aborted" in daemon.stderr.read()
