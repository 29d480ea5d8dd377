"""The keeper as a service: what it tells its manager, and as what it runs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudectld.keeper.client import KeeperClient
from tests.claudectld.keeper.harness import DEADLINE_S, INTERPRETER, Home, wait_gone

pytestmark = pytest.mark.anyio


@pytest.fixture
def manager(home: Home) -> Iterator[socket.socket]:
    """Hears as a service manager does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(home.path / "notify"))
        ear.settimeout(DEADLINE_S)
        yield ear


def serve(home: Home, *arguments: str) -> "subprocess.Popen[bytes]":
    """`claudectld keeper`, as its service has it."""
    environment = {
        "HOME": str(home.path),
        "XDG_STATE_HOME": str(home.path),
        "CLAUDECTL_SOCKET": str(home.socket.parent / "daemon.sock"),
        "NOTIFY_SOCKET": str(home.path / "notify"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SECRET": "value",
    }
    command = [sys.executable, "-P", "-m", "claudectld", "keeper", *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def proc(pid: int, name: str) -> list[bytes]:
    """The words of a file in /proc."""
    return Path(f"/proc/{pid}/{name}").read_bytes().split(b"\0")


async def test_it_is_ready_when_it_serves_and_is_the_process_that_was_started(
    home: Home, manager: socket.socket
) -> None:
    with serve(home) as process:
        assert manager.recv(4096) == b"READY=1"
        async with KeeperClient(home.socket) as client:
            assert (await client.hello()).keeper.pid == process.pid
        words, inherited = proc(process.pid, "cmdline"), proc(process.pid, "environ")
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    # The base interpreter and the copy: not what is in the installation.
    assert words[0] == os.fsencode(INTERPRETER)
    assert words[4].startswith(os.fsencode(home.path / "claudectl" / "keeper"))
    assert [word for word in inherited if word.startswith((b"SECRET", b"PYTHONPATH"))] == []


async def test_one_that_is_not_needed_is_ready_and_ends_well(home: Home, manager: socket.socket) -> None:
    with serve(home) as first:
        assert manager.recv(4096) == b"READY=1"
        with serve(home) as second:
            word = f"READY=1\nSTATUS=already running pid {first.pid}"
            assert manager.recv(4096).decode() == word
            assert second.wait(DEADLINE_S) == 0
        first.terminate()
        assert first.wait(DEADLINE_S) == 0


async def test_why_it_cannot_start_is_its_status(home: Home, manager: socket.socket) -> None:
    home.socket.parent.mkdir()
    home.socket.parent.chmod(0o755)
    with serve(home) as process:
        assert b"is not ours alone" in manager.recv(4096)
        assert process.wait(DEADLINE_S) == 1


async def test_one_that_is_to_detach_itself_leaves_its_starters_group_and_the_command_ends_when_it_serves(
    home: Home,
) -> None:
    with serve(home, "--detach") as starter:
        assert starter.wait(DEADLINE_S) == 0
    async with KeeperClient(home.socket) as client:
        keeper = (await client.hello()).keeper
    group = os.getpgid(keeper.pid)
    os.kill(keeper.pid, signal.SIGTERM)
    wait_gone(keeper.pid)
    assert group not in (os.getpgid(0), starter.pid)
