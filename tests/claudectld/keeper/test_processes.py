"""Identities and exit statuses, asked of the system itself."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudectld.keeper import processes
from claudectld.keeper.processes import Identity
from tests.claudectld.keeper.harness import DEADLINE_S


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"CLAUDECTL_RUN": "r"},
    ) as made:
        # Popen returns in the middle of the exec, before /proc has the new environment.
        assert made.stdout is not None
        assert made.stdout.readline() == b"up\n"
        yield made
        made.kill()


def test_an_identity_is_boot_pid_and_raw_start_ticks(child: subprocess.Popen[bytes]) -> None:
    found = processes.identity(child.pid)
    with open(f"/proc/{child.pid}/stat") as stat:
        assert found == Identity(processes.boot_id(), child.pid, int(stat.read().split()[21]))
    assert len(found.boot_id) == 36


def test_a_name_with_parentheses_and_spaces_confuses_nobody(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 2 ("
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as child:
        found = processes.look_up(child.pid)
        assert found is not None
        assert found.ppid == os.getpid()
        child.communicate()


def test_a_process_that_never_was_is_not_found() -> None:
    assert processes.look_up(1 << 30) is None
    assert processes.open_pidfd(1 << 30) is None


def test_descendants_are_not_looked_for_below_the_spared() -> None:
    family = {
        pid: processes.Process(pid, ppid, 0, zombie=False, exit_status=0)
        for pid, ppid in ((2, 1), (3, 2), (4, 3), (5, 2), (6, 5), (7, 1))
    }
    assert processes.descendants([2], family, frozenset({5})) == {3, 4}


def test_a_signal_reaches_only_the_process_that_was_meant(child: subprocess.Popen[bytes]) -> None:
    found = processes.look_up(child.pid)
    assert found is not None
    earlier = found._replace(start_ticks=found.start_ticks - 1)
    assert not processes.send_signal(earlier, signal.SIGKILL)
    assert child.poll() is None
    assert processes.send_signal(found, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def test_the_marker_is_a_whole_variable(child: subprocess.Popen[bytes]) -> None:
    assert processes.is_marked(child.pid, "r")
    assert not processes.is_marked(child.pid, "ru")
    assert not processes.is_marked(child.pid, "")


@pytest.mark.parametrize("status", [0, 37])
def test_an_exit_status_is_learnt_before_and_after_somebody_else_reaped(status: int) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(status)
    identity = processes.identity(pid)
    pidfd = os.pidfd_open(pid)
    try:
        assert select.select([pidfd], [], [], DEADLINE_S)[0]
        assert processes.exit_status(pidfd, identity) == status << 8
        os.waitpid(pid, 0)
        assert processes.pidfd_pid(pidfd) == -1
        expected = status << 8 if kernel() >= (6, 15) else None
        assert processes.exit_status(pidfd, identity) == expected
    finally:
        os.close(pidfd)


def test_a_living_process_has_no_exit_status(child: subprocess.Popen[bytes]) -> None:
    pidfd = os.pidfd_open(child.pid)
    try:
        assert processes.exit_status(pidfd, processes.identity(child.pid)) is None
        assert processes.pidfd_pid(pidfd) == child.pid
    finally:
        os.close(pidfd)
    with open(os.devnull) as other:
        assert processes.pidfd_pid(other.fileno()) is None


def kernel() -> tuple[int, ...]:
    """The kernel's version, as far as it matters here."""
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
