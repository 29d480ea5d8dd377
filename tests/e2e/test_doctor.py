"""`claudectl doctor` on a real daemon and keeper, and on broken ones."""

import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from claudectl.client import Client
from claudectl_protocol.calls import Diagnose
from claudectl_protocol.diagnosis import Diagnosis
from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.scripts import ECHO
from tests.e2e.user_manager import NOT_HERE
from tests.e2e.world import Fifo, World, wait_gone
from tests.support.terminal import Terminal

ROOT = Path(__file__).parents[2]
Spoil = Callable[[World], None]


@pytest.fixture
def world(world: World) -> World:
    """A world in which a claude is installed that only says its version, and no other claudectl is on PATH."""
    claude = world.home / "bin" / "claude"
    claude.parent.mkdir()
    claude.write_text("#!/bin/sh\necho '2.1.330 (Claude Code)'\n")
    claude.chmod(0o755)
    world.env["PATH"] = f"{claude.parent}:/usr/bin:/bin"
    world.env["ANTHROPIC_API_KEY"] = "sk-ant-very-secret"
    return world


def findings(world: World, *, code: int = 0) -> dict[str, tuple[str, str, str]]:
    """(grade, found, fix) by check."""
    document = world.ctl("doctor", "--json", code=code).json()
    assert document["schema"] == 1
    listed = document["findings"]
    assert isinstance(listed, list)
    return {one["check"]: (one["grade"], one["found"], one["fix"]) for one in listed}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does not run meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_a_daemon_it_examines_all_the_same_and_starts_none(world: World) -> None:
    before = sorted(world.home.rglob("*"))

    found = findings(world)

    assert found["daemon"] == ("ok", "does not run; the next command that needs one starts it", "")
    assert found["Claude Code"][0] == "ok"
    assert found["login"] == ("ok", "there is ANTHROPIC_API_KEY", "")
    assert world.processes() == []
    assert sorted(world.home.rglob("*")) == before


def test_with_daemon_keeper_and_session_all_of_them_are_well(world: World) -> None:
    world.run(ECHO)

    found = findings(world)

    daemon, keeper = world.daemon_pid(), world.keeper_pid()
    assert found["daemon"][0] == "ok"
    assert f"(pid {daemon})" in found["daemon"][1]
    assert found["one daemon"] == ("ok", f"pid {daemon} is the only one for this state directory", "")
    assert found["keeper"] == ("ok", f"keeps (pid {keeper})", "")
    for check in (
        "keeper's code",
        "socket",
        "socket directory",
        "state directory",
        "secrets",
        "session files",
    ):
        assert found[check][0] == "ok", found[check]
    assert "open files (daemon)" in found
    assert "open files (keeper)" in found


def test_the_daemon_itself_says_how_it_is(world: World) -> None:
    world.start()

    with Client.connect(world.socket) as client:
        said = client.call(Diagnose(cwd=str(world.project), env=world.env))

    assert said.claude.version == "2.1.330"
    assert said.claude.logins == ("ANTHROPIC_API_KEY",)
    # A process that was asked in the daemon's place would not say these.
    assert said.files_open is not None
    assert said.files_soft is not None


def test_a_claude_that_hangs_holds_nobody_up(world: World) -> None:
    asked, answer = Fifo(world.home / "asked"), world.home / "answer"
    os.mkfifo(answer)
    script = f"#!/bin/sh\necho asked > {asked.path}; cat {answer}\n"
    (world.home / "bin" / "claude").write_text(script)
    world.start()
    said: queue.Queue[Diagnosis] = queue.Queue()

    def diagnose() -> None:
        with Client.connect(world.socket) as client:
            said.put(client.call(Diagnose(cwd="/", env=world.env)))

    asking = threading.Thread(target=diagnose)
    asking.start()
    asked.line()
    # Answered while the other question is not.
    world.ctl("ls")
    assert said.empty()
    answer.write_text("2.1.999\n")
    asking.join()
    asked.close()

    assert said.get().claude.version == "2.1.999"


def test_nobody_sees_a_secret(world: World) -> None:
    world.start()

    assert "very-secret" not in world.ctl("doctor").out
    assert "very-secret" not in world.log()


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("socket directory", lambda world: os.chmod(Path(world.socket).parent, 0o755)),
        ("state directory", lambda world: os.chmod(world.state, 0o711)),
        ("secrets", lambda world: os.chmod(world.state / "env", 0o750)),
        ("socket", lambda world: os.chmod(world.socket, 0o666)),
    ],
)
def test_a_place_that_others_may_enter_is_wrong_and_the_fix_mends_it(
    world: World, check: str, spoil: Spoil
) -> None:
    world.run(ECHO)
    spoil(world)

    grade, _, fix = findings(world, code=1)[check]

    assert grade == "wrong"
    assert fix.startswith("chmod ")
    subprocess.run(shlex.split(fix), check=True)
    assert findings(world)[check][0] == "ok"


def test_a_daemon_that_hangs_is_wrong(world: World) -> None:
    world.start()
    daemon = world.daemon_pid()

    with stopped(daemon):
        found = findings(world, code=1)

    grade, said, fix = found["daemon"]
    assert grade == "wrong"
    assert f"(pid {daemon}) does not answer" in said
    assert f"kill {daemon}" in fix
    assert found["Claude Code"][0] == "ok"


def test_a_daemon_without_its_socket_is_wrong(world: World) -> None:
    world.start()
    daemon = world.daemon_pid()
    # Stopped, for it would bind its socket again.
    with stopped(daemon):
        os.unlink(world.socket)

        grade, said, _ = findings(world, code=1)["daemon"]

    assert grade == "wrong"
    assert f"(pid {daemon}) does not answer" in said


def test_sessions_without_a_daemon_are_weaker(world: World) -> None:
    world.run(ECHO)
    world.kill(world.daemon_pid())

    found = findings(world)

    assert found["daemon"][0] == "ok"
    assert found["keeper"] == (
        "weaker",
        f"keeps (pid {world.keeper_pid()}), but no daemon watches: no state is known, nothing is restored",
        "claudectl daemon start",
    )


def test_a_second_daemon_is_wrong(world: World) -> None:
    world.start()
    second = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", "claudectld", "run"],
        env=world.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with second:
        assert second.stdout is not None
        second.stdout.readline()

        grade, said, fix = findings(world, code=1)["one daemon"]

        second.kill()
    assert grade == "wrong"
    assert f"{second.pid} does neither" in said
    assert fix == f"kill {second.pid} (sessions go on)"


def test_configuration_that_is_not_used_or_not_yet_is_told_of(world: World) -> None:
    world.start()
    world.configure("[records]\nlimit_mib = 8\n")
    os.utime(world.config / "claudectld.toml", (4e9, 4e9))
    assert findings(world)["config"][0] == "weaker"
    assert "restart" in findings(world)["config"][2]

    world.ctl("daemon", "stop")
    wait_gone(world.processes())
    world.configure("[records]\nlimit = 8\n")
    grade, said, fix = findings(world, code=1)["config"]
    assert grade == "wrong"
    assert "claudectld.toml is not used" in said
    assert fix == "claudectl config check"


def test_without_claude_it_says_where_it_looked_and_how_to_get_it(world: World) -> None:
    (world.home / "bin" / "claude").unlink()

    grade, said, fix = findings(world, code=1)["Claude Code"]

    assert grade == "wrong"
    assert str(world.home / "bin" / "claude") in said
    assert fix == "npm install -g @anthropic-ai/claude-code"


def test_damaged_session_files_are_named_and_left_alone(world: World) -> None:
    world.run(ECHO)
    world.ctl("daemon", "stop", "--sessions")
    wait_gone(world.processes())
    path = world.project / ".claudectl" / "sessions.json"
    path.write_bytes(b"{")

    grade, said, _ = findings(world)["session files"]

    assert (grade, said) == ("weaker", f"{path} is not JSON")
    assert path.read_bytes() == b"{"


def test_a_person_sees_lines_with_words_and_colours(world: World) -> None:
    with Terminal(world.argv("doctor"), env=world.env, cwd=world.project) as terminal:
        code = terminal.wait_for_exit()
        shown = bytes(terminal.output)
    assert code == 0
    assert b"\x1b[32m\xe2\x9c\x93 ok    \x1b[m  daemon " in shown
    assert b" ok\r\n" in shown.splitlines(keepends=True)[-1]


@pytest.mark.claude
def test_the_real_claude_is_found_with_version_and_login(claude_world: ClaudeWorld) -> None:
    claude_world.start()

    document = claude_world.ctl("doctor", "--json").json()

    listed = document["findings"]
    assert isinstance(listed, list)
    found = {one["check"]: one for one in listed}
    assert found["Claude Code"]["grade"] == "ok"
    assert str(claude_world.claude) in found["Claude Code"]["found"]
    assert "ANTHROPIC_API_KEY" in found["login"]["found"]


@pytest.mark.privileged
def test_it_sees_what_a_real_service_manager_has() -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and namespaces")
    if shutil.which("systemd-run") is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        ["unshare", "-m", "-p", "-f", "--kill-child", sys.executable, "-m", "tests.e2e.examined"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if done.returncode == NOT_HERE or "unshare failed" in done.stderr:
        pytest.skip(f"the machine does not allow this: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
