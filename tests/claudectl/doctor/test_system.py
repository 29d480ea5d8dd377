"""Reading the operating system, from a /proc of the test's own and from the real one."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from claudectl.doctor import system
from claudectl.doctor.facts import Groups, Process, Processes, Terminals

UID = os.geteuid()
PYTHON = "/usr/bin/python3"
LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max processes             1000                 2000                 processes
Max open files            1024                 524288               files
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


class Proc:
    """A made-up /proc."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "self").mkdir(parents=True)

    def add(
        self,
        pid: int,
        argv: list[str],
        *,
        parent: int = 1,
        env: Mapping[str, str] | None = None,
        group: str = "",
    ) -> None:
        directory = self.path / str(pid)
        (directory / "fd").mkdir(parents=True)
        for number in range(3):
            (directory / "fd" / str(number)).touch()
        (directory / "cmdline").write_text("".join(f"{word}\0" for word in argv))
        (directory / "environ").write_text("".join(f"{key}={value}\0" for key, value in (env or {}).items()))
        (directory / "stat").write_text(f"{pid} (a) (b c) S {parent} 1 1 0")
        (directory / "limits").write_text(LIMITS)
        (directory / "cgroup").write_text(group)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path / "proc")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def state(home: Path) -> str:
    return str(home / ".local" / "state" / "claudectl")


def found(proc: Proc, home: Path) -> Processes:
    processes = system.processes(state(home), UID, str(proc.path))
    assert processes is not None
    return processes


def test_daemons_and_keepers_of_this_state_directory_are_found(proc: Proc, home: Path) -> None:
    env = {"HOME": str(home)}
    proc.add(10, [PYTHON, "-m", "claudectld", "run", "--ready-fd", "3"], env=env, group="0::/a.service\n")
    proc.add(
        11,
        [PYTHON, "/venv/bin/claudectld", "run"],
        env={"HOME": "/", "XDG_STATE_HOME": str(home / ".local/state")},
    )
    proc.add(20, [PYTHON, "-I", f"{state(home)}/keeper/0123abcd", "--state", state(home), "--socket", "/s"])
    assert found(proc, home) == Processes(
        daemons=(
            Process(pid=10, group="/a.service", files_open=3, files_soft=1024, files_hard=524288),
            Process(pid=11, group=None, files_open=3, files_soft=1024, files_hard=524288),
        ),
        keepers=(
            Process(pid=20, group=None, files_open=3, files_soft=1024, files_hard=524288, code="0123abcd"),
        ),
    )


@pytest.mark.parametrize(
    "argv",
    [
        [PYTHON, "-m", "claudectld", "diagnose"],
        ["vim", "claudectld"],
        [PYTHON, "-m", "claudectl", "run"],
        ["ls", "{state}/keeper/0123abcd"],
        [PYTHON, "-I", "/other/keeper/0123abcd", "--state", "/other"],
        [""],
    ],
)
def test_other_processes_are_none_of_them(proc: Proc, home: Path, argv: list[str]) -> None:
    proc.add(10, [word.format(state=state(home)) for word in argv], env={"HOME": str(home)})

    assert found(proc, home) == Processes()


def test_daemon_of_another_state_directory_is_none_of_ours(proc: Proc, home: Path) -> None:
    proc.add(10, [PYTHON, "-m", "claudectld", "run"], env={"HOME": "/home/bob"})

    assert found(proc, home) == Processes()


def test_child_between_fork_and_exec_is_no_second_daemon_or_keeper(proc: Proc, home: Path) -> None:
    daemon = [PYTHON, "-m", "claudectld", "run"]
    keeper = [PYTHON, f"{state(home)}/keeper/0123abcd", "--state", state(home)]
    for pid, argv, parent in ((10, daemon, 1), (11, daemon, 10), (20, keeper, 1), (21, keeper, 20)):
        proc.add(pid, argv, parent=parent, env={"HOME": str(home)})

    processes = found(proc, home)

    assert [process.pid for process in processes.daemons] == [10]
    assert [process.pid for process in processes.keepers] == [20]


def test_process_that_has_just_ended_is_passed_over(proc: Proc, home: Path) -> None:
    (proc.path / "10").mkdir()

    assert found(proc, home) == Processes()
    assert not system.is_daemon(10, str(proc.path))


def test_where_there_is_no_proc_nothing_is_said(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")

    assert system.processes("/state", UID, nowhere) is None
    assert system.boot_at(nowhere) is None
    assert system.terminals(nowhere) is None


def test_pid_that_is_used_again_is_no_daemon(proc: Proc) -> None:
    proc.add(10, [PYTHON, "-m", "claudectld", "run"])
    proc.add(11, ["vim"])

    assert system.is_daemon(10, str(proc.path))
    assert not system.is_daemon(11, str(proc.path))


@pytest.mark.parametrize(
    ("lines", "group"),
    [
        ("0::/user.slice/k.scope\n", "/user.slice/k.scope"),
        ("4:memory:/m\n1:name=systemd:/user.slice/k.scope\n0::/\n", "/user.slice/k.scope"),
        ("4:memory:/m\n1:name=systemd:/\n0::/\n", "/"),
        ("", None),
    ],
)
def test_cgroup_is_the_unified_one_or_systemds(proc: Proc, home: Path, lines: str, group: str | None) -> None:
    proc.add(10, [PYTHON, "-m", "claudectld", "run"], env={"HOME": str(home)}, group=lines)

    assert found(proc, home).daemons[0].group == group


def test_terminals_are_counted(proc: Proc) -> None:
    directory = proc.path / "sys" / "kernel" / "pty"
    directory.mkdir(parents=True)
    (directory / "max").write_text("4096\n")
    (directory / "nr").write_text("12\n")

    assert system.terminals(str(proc.path)) == Terminals(most=4096, used=12)


def test_cgroup_controllers_are_those_of_the_users_manager(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    assert system.groups(1000, str(root)) is None
    root.mkdir()
    assert system.groups(1000, str(root)) == Groups(unified=False)
    (root / "cgroup.controllers").write_text("cpu memory pids\n")
    assert system.groups(1000, str(root)) == Groups(unified=True)
    manager = root / "user.slice" / "user-1000.slice" / "user@1000.service"
    manager.mkdir(parents=True)
    (manager / "cgroup.controllers").write_text("memory pids\n")
    assert system.groups(1000, str(root)) == Groups(unified=True, controllers=("memory", "pids"))


def test_lingering_is_a_file_named_after_the_user(tmp_path: Path) -> None:
    (tmp_path / "ada").touch()

    assert system.lingering("ada", str(tmp_path)) is True
    assert system.lingering("bob", str(tmp_path)) is None


def test_boot_was_before_now() -> None:
    at = system.boot_at()

    assert at is not None
    assert 0 < at < os.stat("/proc/self").st_ctime + 60
