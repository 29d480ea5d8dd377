"""The real machine: which processes exist, and which belong to a run."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from claudectl_protocol.sessions import RunId
from claudectld.core.session import ProcessIdentity
from claudectld.machine import MARKER, LocalMachine


@pytest.fixture
def run() -> RunId:
    return RunId(str(uuid.uuid4()))


@pytest.fixture
def child(run: RunId) -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the marker of `run` and waits for its stdin to end."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdout.write('up'); sys.stdout.flush(); sys.stdin.read()"],
        env={MARKER: run},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"up"
        yield process
        process.kill()


def identity(pid: int) -> ProcessIdentity:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return ProcessIdentity(boot_id=LocalMachine().boot_id(), pid=pid, start_ticks=int(fields[19]))


def test_a_process_is_alive_only_as_itself(child: subprocess.Popen[bytes]) -> None:
    machine = LocalMachine()
    process = identity(child.pid)

    assert machine.is_alive(process)
    assert not machine.is_alive(replace(process, start_ticks=process.start_ticks - 1))
    assert not machine.is_alive(replace(process, boot_id="another boot"))


def test_a_zombie_is_gone(child: subprocess.Popen[bytes]) -> None:
    machine = LocalMachine()
    process = identity(child.pid)

    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert not machine.is_alive(process)


def test_a_run_is_found_by_its_marker_and_no_other_is(child: subprocess.Popen[bytes], run: RunId) -> None:
    machine = LocalMachine()

    stranger = RunId(str(uuid.uuid4()))
    assert machine.marked((stranger, run)) == (run,)
    child.kill()
    child.wait()
    assert machine.marked((stranger, run)) == ()


def test_waiting_ends_with_the_process_or_with_the_time(child: subprocess.Popen[bytes]) -> None:
    machine = LocalMachine()

    assert not machine.wait_gone((child.pid,), 0.0)
    child.kill()
    assert machine.wait_gone((child.pid,), 20.0)
