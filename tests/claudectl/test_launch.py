"""Starting a daemon: how it is told, what it inherits, races, and failures."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from claudectl.launch import daemon_environment
from tests.claudectl.stand_in import STARTS, install

WAIT_S = 30.0


class Start(NamedTuple):
    """What a started daemon found."""

    pid: int
    session: int
    parent: int
    cwd: str
    umask: int
    stdin: str
    stdout: str
    descriptors: list[int]
    environment: dict[str, str]


class Caller:
    """Runs `claudectl` commands with a home of their own, where the stand-in is the daemon."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = str(directory / "run" / "daemon.sock")
        self.log = directory / "state" / "claudectl" / "logs" / "claudectld.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "XDG_STATE_HOME": str(directory / "state"),
            "PYTHONPATH": os.pathsep.join([install(directory), *(path for path in sys.path if path)]),
            "CLAUDECTL_SOCKET": self.socket,
            "CLAUDECTL_STAND_IN": "serve",
        }

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        """A command that runs by itself."""
        return subprocess.Popen(
            [sys.executable, "-m", "claudectl", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **more},
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """A command's exit code and what it wrote."""
        with self.start(*arguments, **more) as process:
            out, err = process.communicate(timeout=WAIT_S)
        return process.returncode, out, err

    def starts(self) -> list[Start]:
        """What each daemon found that was started."""
        path = self.directory / STARTS
        lines = path.read_text().splitlines() if path.exists() else []
        return [msgspec.convert(list(json.loads(line).values()), Start) for line in lines]


@pytest.fixture
def caller(directory: Path) -> Iterator[Caller]:
    """Commands in a home of their own; a daemon that they started is stopped in the end."""
    caller = Caller(directory)
    yield caller
    caller.run("--no-start", "daemon", "stop")


def test_the_first_command_starts_a_daemon_and_says_so(caller: Caller) -> None:
    code, out, err = caller.run("status")

    (start,) = caller.starts()
    assert (code, err) == (0, f"claudectl: started claudectld (pid {start.pid})\n")
    assert f"(pid {start.pid})" in out


def test_the_next_command_finds_it_and_says_nothing(caller: Caller) -> None:
    caller.run("status")

    code, _, err = caller.run("status")

    assert (code, err) == (0, "")
    assert len(caller.starts()) == 1


def test_the_daemon_is_on_its_own(caller: Caller) -> None:
    caller.run("status", CLAUDECTL_SESSION="s", CLAUDECTL_RUN="r", ANTHROPIC_API_KEY="secret", TMUX="x")

    (start,) = caller.starts()
    assert start.session not in (start.pid, os.getsid(0))
    assert start.parent != os.getpid()
    assert (start.cwd, start.umask, start.stdin) == ("/", 0o077, "/dev/null")
    assert start.descriptors == [0, 1, 2, 3]
    assert start.environment["HOME"] == str(caller.directory)
    assert start.environment["CLAUDECTL_SOCKET"] == caller.socket
    assert not {"CLAUDECTL_SESSION", "CLAUDECTL_RUN", "ANTHROPIC_API_KEY", "TMUX"} & set(start.environment)


def test_the_daemon_writes_to_a_private_log_that_grows(caller: Caller) -> None:
    caller.log.parent.mkdir(parents=True, mode=0o700)
    caller.log.write_text("older\n")
    caller.log.chmod(0o600)

    caller.run("status")

    (start,) = caller.starts()
    assert start.stdout == str(caller.log)
    assert caller.log.read_text().startswith("older\nstand-in runs\n")


def test_a_new_log_and_its_directories_are_private(caller: Caller) -> None:
    caller.run("status")

    assert stat.S_IMODE(caller.log.stat().st_mode) == 0o600
    assert stat.S_IMODE(caller.log.parent.stat().st_mode) == 0o700


def test_the_socket_option_reaches_the_daemon(caller: Caller) -> None:
    other = str(caller.directory / "other" / "daemon.sock")

    code, out, _ = caller.run("--socket", other, "status")
    caller.run("--socket", other, "daemon", "stop")

    assert code == 0
    assert other in out


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["--no-start", "status"], {}),
        (["status"], {"CLAUDECTL_AUTOSTART": "0"}),
        (["daemon", "status"], {}),
        (["--no-start", "ls"], {}),
    ],
)
def test_no_daemon_is_started_when_that_is_not_wanted(
    caller: Caller, arguments: list[str], more: Mapping[str, str]
) -> None:
    code, out, err = caller.run(*arguments, **more)

    assert (code, out) == (69, "")
    assert err == (
        f"claudectl: no daemon answers at {caller.socket}; start one with 'claudectl daemon start'\n"
    )
    assert caller.starts() == []


def test_daemon_start_starts_one_even_then(caller: Caller) -> None:
    code, out, _ = caller.run("--no-start", "daemon", "start")

    (start,) = caller.starts()
    assert (code, out) == (0, f"claudectld runs (pid {start.pid})\n")


def test_clients_that_race_start_one_daemon(caller: Caller) -> None:
    processes = [caller.start("status") for _ in range(4)]
    for process in processes:
        with process:
            process.communicate(timeout=WAIT_S)

    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len(caller.starts()) == 1


SYSTEMCTL = """#!/bin/sh
# Stands in for systemctl: what it was asked for is in `asked`; it starts the daemon and waits until that serves.
echo "$*" >> {home}/asked
[ -e {home}/refuses ] && {{ echo 'Job failed.' >&2; exit 1; }}
[ "$2" = start ] || exit 0
mkfifo {home}/ready
cd /
{python} -m claudectld run --ready-fd 3 3>{home}/ready >/dev/null 2>&1 &
read word < {home}/ready
"""


@pytest.fixture
def serviced(caller: Caller) -> Caller:
    """A caller whose daemon has a service."""
    units = caller.directory / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    state = caller.directory / "state" / "claudectl"
    (units / "claudectld.service").write_text(
        f"[Unit]\nX-Claudectl-State={state}\nX-Claudectl-Socket={caller.socket}\n"
    )
    program = caller.directory / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL.format(home=caller.directory, python=sys.executable))
    program.chmod(0o700)
    caller.environment["PATH"] = f"{program.parent}:{caller.environment['PATH']}"
    return caller


def asked(caller: Caller) -> list[str]:
    """What the service manager was asked."""
    path = caller.directory / "asked"
    return path.read_text().splitlines() if path.exists() else []


def test_a_daemon_with_a_service_is_started_by_it(serviced: Caller) -> None:
    code, _, err = serviced.run("status")

    assert (code, err) == (0, "claudectl: started claudectld (its service)\n")
    assert asked(serviced) == ["--user start claudectld.service"]
    assert len(serviced.starts()) == 1


def test_stopping_it_has_the_service_stopped_too(serviced: Caller) -> None:
    serviced.run("status")

    code, out, _ = serviced.run("daemon", "stop")

    assert (code, out) == (0, "stopped claudectld; sessions go on\n")
    assert asked(serviced)[1:] == ["--user stop claudectld.service"]


def test_where_the_service_does_not_start_the_daemon_is_started_without_it(serviced: Caller) -> None:
    (serviced.directory / "refuses").touch()

    code, _, err = serviced.run("status")
    (serviced.directory / "refuses").unlink()

    (start,) = serviced.starts()
    assert (code, err) == (0, f"claudectl: started claudectld (pid {start.pid})\n")
    assert asked(serviced) == ["--user start claudectld.service"]


def test_a_service_for_another_socket_is_left_alone(serviced: Caller) -> None:
    other = str(serviced.directory / "other" / "daemon.sock")

    code, _, err = serviced.run("--socket", other, "status")
    serviced.run("--socket", other, "daemon", "stop")

    (start,) = serviced.starts()
    assert (code, err) == (0, f"claudectl: started claudectld (pid {start.pid})\n")
    assert asked(serviced) == []


def test_a_daemon_that_is_already_about_to_serve_is_waited_for(caller: Caller) -> None:
    code, out, err = caller.run("status", CLAUDECTL_STAND_IN="late")

    assert (code, err) == (0, "")
    assert "daemon" in out


def test_a_daemon_that_hangs_up_before_a_word_is_replaced(caller: Caller) -> None:
    os.mkdir(os.path.dirname(caller.socket), 0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(caller.socket)
        listener.listen()
        listener.settimeout(WAIT_S)
        with caller.start("status") as process:
            listener.accept()[0].close()
            again, _ = listener.accept()
            # The daemon that comes then must find the place free.
            os.unlink(caller.socket)
            again.close()
            out, _ = process.communicate(timeout=WAIT_S)

    assert process.returncode == 0
    assert len(caller.starts()) == 1
    assert "daemon" in out


def test_the_reason_why_a_daemon_does_not_start_is_passed_on(caller: Caller) -> None:
    code, out, err = caller.run("status", CLAUDECTL_STAND_IN="refuse")

    assert (code, out) == (69, "")
    assert err == (
        f"claudectl: no daemon could be started: the state directory belongs to nobody (see {caller.log})\n"
    )


def test_a_daemon_that_dies_at_once_points_to_its_log(caller: Caller) -> None:
    code, _, err = caller.run("status", CLAUDECTL_STAND_IN="die")

    assert code == 69
    assert err == (f"claudectl: no daemon could be started: it ended before it served (see {caller.log})\n")


def test_a_log_that_cannot_be_written_is_told(caller: Caller) -> None:
    (caller.directory / "state").write_text("a file where a directory should be")

    code, _, err = caller.run("status")

    assert code == 69
    assert err.startswith("claudectl: no daemon could be started: ")
    assert caller.starts() == []


def test_a_socket_that_cannot_be_trusted_starts_nothing(caller: Caller) -> None:
    (caller.directory / "run").mkdir(mode=0o755)
    (caller.directory / "run").chmod(0o755)

    code, _, err = caller.run("status")

    assert code == 69
    assert "cannot be trusted" in err
    assert caller.starts() == []


def test_a_daemon_inherits_who_the_person_is_but_nothing_of_a_session() -> None:
    given = {
        "HOME": "/h",
        "PATH": "/bin",
        "LANG": "C",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/r",
        "CLAUDECTL_X": "1",
        "CLAUDECTL_RUN": "r",
        "CLAUDECTL_SESSION": "s",
        "CLAUDECODE": "1",
        "SSH_AUTH_SOCK": "/s",
        "TERM": "x",
    }

    assert daemon_environment(given, "/s/d.sock") == {
        "HOME": "/h",
        "PATH": "/bin",
        "LANG": "C",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/r",
        "CLAUDECTL_X": "1",
        "CLAUDECTL_SOCKET": "/s/d.sock",
    }
