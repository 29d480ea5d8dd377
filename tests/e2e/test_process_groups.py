"""Whatever is killed together with the daemon, its process group or its whole cgroup, the sessions live on."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudectl.launch import daemon_command
from tests.counts import times
from tests.e2e.diary import LEFT, Diary, is_alive
from tests.e2e.scripts import NUMBERED_LINES, numbers_in
from tests.e2e.world import DEADLINE_S, World, wait_gone


def exit_of(world: World) -> tuple[object, object, object]:
    """(code, signal, reason) of the job."""
    found = world.shown("job")["exit"]
    assert isinstance(found, dict)
    return found["code"], found["signal"], found["reason"]


def check_that_nothing_is_missing(world: World, session: dict[str, object]) -> None:
    """End the printing session, and compare what is on record with what it printed."""
    world.ctl("send", "job", "--keys", "stop<Enter>")
    world.ctl("logs", "job", "-f", "--raw")
    numbers, end = numbers_in(world.record(session))
    assert end is not None
    assert numbers == list(range(end))
    assert exit_of(world) == (42, None, "exited")


def test_killing_the_daemons_process_group_reaches_no_session(world: World) -> None:
    session = world.run(NUMBERED_LINES)
    keeper = world.keeper_pid()
    for _ in range(times(3, 50)):
        daemon = world.daemon_pid()
        group = os.getpgid(daemon)
        assert group != os.getpgrp()
        os.killpg(group, signal.SIGKILL)
        wait_gone([daemon])
        assert is_alive(keeper)
        assert world.shown("job")["pid"] == session["pid"]
    check_that_nothing_is_missing(world, session)


def test_killing_the_whole_terminal_session_of_a_daemon_in_the_foreground_reaches_no_child(
    world: World,
) -> None:
    diary = Diary(world)
    ready, its = os.pipe()
    # As a person runs it to look at it: one process group with the shell that started it.
    shell = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" & wait', "sh", *daemon_command("--ready-fd", str(its))],
        env=world.env,
        cwd=world.project,
        pass_fds=(its,),
        start_new_session=True,
    )
    with shell, os.fdopen(ready, "rb") as told:
        os.close(its)
        try:
            assert told.readline() == b"ready\n"
            daemon = world.daemon_pid()
            session = world.new("-n", "job", "--command", "--", str(diary.program))
            diary.wait_for("start")
            assert os.getpgid(daemon) == shell.pid
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    wait_gone([daemon])

    assert world.shown("job")["pid"] == session["pid"]
    assert diary.starts == [session["pid"]]


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """An empty cgroup (v2) of our own; skips where none can be made."""
    mounted = None
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            mounted = Path(fields[1])
    if mounted is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    own = next(
        line.partition("::")[2]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.startswith("0::")
    )
    path = mounted / own.lstrip("/") / f"claudectl-test-{uuid.uuid4().hex[:8]}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if not (path / "cgroup.kill").exists():
            pytest.skip("this kernel has no cgroup.kill (Linux 5.14)")
        yield path
    finally:
        path.rmdir()


def pids_in(cgroup: Path) -> list[int]:
    """Who is in a cgroup."""
    return [int(line) for line in (cgroup / "cgroup.procs").read_text().split()]


def kill_all_in(cgroup: Path) -> None:
    """SIGKILL to everything in a cgroup at once, as a service manager does it."""
    pids = pids_in(cgroup)
    (cgroup / "cgroup.kill").write_text("1")
    wait_gone(pids)


@pytest.mark.privileged
def test_killing_the_daemons_whole_cgroup_reaches_no_session(world: World, cgroup: Path) -> None:
    session = world.run(NUMBERED_LINES)
    keeper = world.keeper_pid()
    world.kill(world.daemon_pid())
    step_in = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"'
    for _ in range(times(3, 50)):
        # The client moves into the cgroup, and so the daemon that it starts is born there.
        subprocess.run(
            ["/bin/sh", "-c", step_in, "sh", str(cgroup), *world.argv("daemon", "start")],
            env=world.env,
            cwd=world.project,
            timeout=DEADLINE_S,
            check=True,
            capture_output=True,
        )
        daemon = world.daemon_pid()
        assert pids_in(cgroup) == [daemon]
        assert world.shown("job")["pid"] == session["pid"]
        kill_all_in(cgroup)
        assert not is_alive(daemon)
        assert is_alive(keeper)
    assert world.shown("job")["pid"] == session["pid"]
    check_that_nothing_is_missing(world, session)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGUSR1, (LEFT, None, "exited")),
        (signal.SIGTERM, (None, signal.SIGTERM, "signalled")),
        (signal.SIGKILL, (None, signal.SIGKILL, "signalled")),
    ],
)
def test_how_a_child_ended_while_no_daemon_ran_is_known_to_the_next(
    world: World, number: signal.Signals, expected: tuple[int | None, int | None, str]
) -> None:
    diary = Diary(world)
    session = world.new("-n", "job", "--command", "--", str(diary.program))
    diary.wait_for("start")
    pid = int(str(session["pid"]))
    world.kill(world.daemon_pid())
    os.kill(pid, number)
    wait_gone([pid])

    assert exit_of(world) == expected
    assert diary.starts == [pid]
