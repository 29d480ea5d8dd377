"""A program: plays one scene with the daemon and the keeper as services of a real service manager of the user.

It wants to be started as test_service.py starts it: root, process 2 of a pid namespace, a mount namespace of its own.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from claudectl_protocol.services import DAEMON_UNIT, KEEPER_UNIT
from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.scripts import ECHO, NUMBERED_LINES, numbers_in
from tests.e2e.user_manager import RUN, cgroup_of, isolate, start_manager
from tests.e2e.world import DEADLINE_S, Fifo, World, wait_gone
from tests.support import claude_code
from tests.support.files import wait_for_file
from tests.support.installation import Installation, Wheels
from tests.support.messages_api import MessagesApi

UNITS = (KEEPER_UNIT, DAEMON_UNIT)


class Serviced(World):
    """A world with a service manager."""

    manager: "subprocess.Popen[bytes]"
    installation: Installation | None = None
    """Where commands come from, if not from the checkout."""

    def argv(self, *args: str) -> list[str]:
        """How `claudectl` is run."""
        return super().argv(*args) if self.installation is None else [str(self.installation.claudectl), *args]

    def boot(self) -> None:
        """Start the manager, and with it what is enabled."""
        self.env["XDG_RUNTIME_DIR"] = str(RUN)
        self.manager = start_manager(self.home)

    def restart_manager(self) -> None:
        """As a logout without lingering, and a login: whatever it has started is ended in between."""
        self.manager.terminate()
        self.manager.wait(DEADLINE_S)
        wait_gone([pid for pid in self.processes() if pid != os.getpid()])
        self.boot()

    def end_all(self) -> None:
        """Have the product end everything, and the manager after it."""
        self.ctl("daemon", "uninstall", "--sessions")
        self.manager.terminate()
        self.manager.wait(DEADLINE_S)

    def systemctl(self, *words: str) -> str:
        """Ask the manager; it does as it is told."""
        done = subprocess.run(
            ["systemctl", "--user", *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr, self.log())
        return done.stdout.strip()

    def shows(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", f"--property={name}", "--value", unit)

    def main_pid(self, unit: str) -> int:
        """The main process of a unit, 0 for none."""
        return int(self.shows(unit, "MainPID"))

    def drop_in(self, unit: str, text: str) -> None:
        """Change a unit as people do."""
        directory = self.units / f"{unit}.d"
        directory.mkdir(parents=True)
        (directory / "test.conf").write_text(text)
        self.systemctl("daemon-reload")

    @property
    def units(self) -> Path:
        """Where the unit files are."""
        return self.home / ".config" / "systemd" / "user"

    def starts(self, log: str = "claudectld.log") -> int:
        """How often a daemon (or, by its log, a keeper) has begun to serve."""
        path = self.state / "logs" / log
        text = path.read_text() if path.exists() else ""
        return text.count("event=serving ") if log == "claudectld.log" else text.count(" serving pid=")

    def wait_for_start(self, number: int, log: str = "claudectld.log") -> None:
        """Wait until one serves for the `number`th time; nobody is asked, so nobody starts it."""
        wait_for_file(self.state / "logs", lambda: self.starts(log) >= number or None, deadline_s=DEADLINE_S)

    def check_echo(self, text: str, session: Mapping[str, object]) -> None:
        """The session is the same process, hears, and is heard."""
        assert self.shown("job")["pid"] == session["pid"]
        self.ctl("send", "job", "--keys", f"{text}<Enter>")
        with self.attach("job") as terminal:
            terminal.wait_for(f"got {text}")


def installed_they_run_as_services(world: Serviced) -> None:
    """From nothing: both units, enabled, running; a second time changes nothing."""
    said = world.ctl("daemon", "install").out
    assert f"installed {world.units / DAEMON_UNIT}" in said
    assert f"installed {world.units / KEEPER_UNIT}" in said
    assert "'loginctl enable-linger'" in said
    daemon, keeper = world.daemon_pid(), world.keeper_pid()
    assert f"claudectld runs (pid {daemon})" in said
    assert (world.main_pid(DAEMON_UNIT), world.main_pid(KEEPER_UNIT)) == (daemon, keeper)
    assert world.systemctl("is-enabled", DAEMON_UNIT) == "enabled"
    assert world.shows(DAEMON_UNIT, "WatchdogUSec") == "30s"

    session = world.run(ECHO)
    assert cgroup_of(int(str(session["pid"]))).name == KEEPER_UNIT
    assert cgroup_of(daemon).name == DAEMON_UNIT
    for pid in (daemon, keeper, int(str(session["pid"]))):
        assert open_files_limit(pid) >= open_files_limit(os.getpid())
    environment = Path(f"/proc/{session['pid']}/environ").read_bytes()
    assert b"NOTIFY_SOCKET" not in environment
    assert b"WATCHDOG" not in environment

    again = world.ctl("daemon", "install", "--json").json()
    assert again["files"] == [str(world.units / KEEPER_UNIT), str(world.units / DAEMON_UNIT)]
    assert (again["keeper_in_service"], again["lingering"]) == (True, False)
    assert (world.daemon_pid(), world.keeper_pid()) == (daemon, keeper)
    world.check_echo("unmoved", session)
    world.ctl("daemon", "restart")
    assert world.shows(DAEMON_UNIT, "StatusText") == "1 of 1 sessions active; keeper ok"


def open_files_limit(pid: int) -> int:
    """How many files a process may open."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(int(line.split()[4]) for line in limits if line.startswith("Max open files"))


def what_ran_before_the_install_goes_on(world: Serviced) -> None:
    """A daemon outside is replaced; its keeper stays, and says so, until it ends; the next one is in the unit."""
    # The keeper is to be found outside every unit, as on a machine without a manager.
    world.systemctl("start", "default.target")
    del world.env["XDG_RUNTIME_DIR"]
    hidden = RUN / "systemd" / "hidden"
    private = RUN / "systemd" / "private"
    private.rename(hidden)
    session = world.run(ECHO)
    daemon, keeper = world.daemon_pid(), world.keeper_pid()
    hidden.rename(private)
    world.env["XDG_RUNTIME_DIR"] = str(RUN)

    said = world.ctl("daemon", "install").out

    assert f"the keeper (pid {keeper}) goes on as it was started" in said
    wait_gone([daemon])
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT)
    assert world.keeper_pid() == keeper
    # The unit's own keeper found it, was not needed, and does not try again.
    assert (world.shows(KEEPER_UNIT, "ActiveState"), world.shows(KEEPER_UNIT, "NRestarts")) == (
        "inactive",
        "0",
    )
    world.check_echo("before", session)

    world.kill(keeper)
    world.wait_for_start(2, "keeper.log")
    assert world.keeper_pid() == world.main_pid(KEEPER_UNIT)
    world.check_echo("after", session)


def a_second_daemon_is_not_needed_and_not_tried_again(world: Serviced) -> None:
    """The unit started while a daemon runs outside it ends well."""
    world.ctl("daemon", "install")
    world.ctl("daemon", "stop")
    outside = subprocess.Popen(
        [sys.executable, "-m", "claudectld", "run"], env=world.env, stderr=subprocess.DEVNULL
    )
    world.wait_for_start(2)

    world.systemctl("start", DAEMON_UNIT)

    assert world.daemon_pid() == outside.pid
    assert (world.shows(DAEMON_UNIT, "Result"), world.shows(DAEMON_UNIT, "NRestarts")) == ("success", "0")
    assert "already running" in world.shows(DAEMON_UNIT, "StatusText")
    world.ctl("daemon", "stop")
    assert outside.wait(DEADLINE_S) == 0


def whatever_ends_the_daemon_no_output_is_lost(world: Serviced) -> None:
    """restart, stop and SIGKILL of the daemon's unit."""
    world.ctl("daemon", "install")
    session = world.run(NUMBERED_LINES)
    keeper = world.keeper_pid()
    daemon = world.daemon_pid()

    world.systemctl("restart", DAEMON_UNIT)
    wait_gone([daemon])
    assert world.shown("job")["pid"] == session["pid"]

    daemon = world.daemon_pid()
    world.systemctl("stop", DAEMON_UNIT)
    wait_gone([daemon])
    assert world.shows(DAEMON_UNIT, "SubState") == "dead"
    assert "its service" in world.ctl("ls").err
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT)

    starts = world.starts()
    world.kill(world.daemon_pid())
    world.wait_for_start(starts + 1)
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT)

    assert world.shown("job")["pid"] == session["pid"]
    assert world.keeper_pid() == keeper
    with world.attach("job") as terminal:
        terminal.wait_for("line 0")
        terminal.type("stop\r")
        terminal.wait_for_output(b"exited with code 42")
    assert world.shown("job")["exit"]["code"] == 42  # type: ignore[index]
    numbers, end = numbers_in(world.record(session))
    assert end is not None
    assert numbers == list(range(end))


def whatever_ends_the_keeper_children_live(world: Serviced) -> None:
    """SIGKILL, restart and stop of the keeper's unit."""
    world.ctl("daemon", "install")
    world.drop_in(KEEPER_UNIT, "[Service]\nTimeoutStopSec=1s\n")
    session = world.run(ECHO)
    daemon = world.daemon_pid()

    for number, act in enumerate(("kill", "restart", "stop"), start=2):
        keeper = world.keeper_pid()
        if act == "kill":
            world.kill(keeper)
        else:
            # It is told to leave, has a child, and is killed after a while: that may be called a failure.
            subprocess.run(["systemctl", "--user", act, KEEPER_UNIT], env=world.env, check=False)
        wait_gone([keeper])
        world.wait_for_start(number, "keeper.log")
        world.check_echo(act, session)
        assert world.keeper_pid() == world.main_pid(KEEPER_UNIT) != keeper
    assert world.daemon_pid() == daemon


def a_daemon_that_hangs_is_replaced_and_one_that_does_not_is_left_alone(world: Serviced) -> None:
    """The watchdog."""
    world.ctl("daemon", "install")
    world.drop_in(DAEMON_UNIT, "[Service]\nWatchdogSec=1s\n")
    world.ctl("daemon", "restart")
    session = world.run(ECHO)
    daemon = world.daemon_pid()

    # Three limits pass, by a clock that is not ours.
    world.run("import time; time.sleep(3); print('over', flush=True); input()", name="clock")
    with world.attach("clock") as terminal:
        terminal.wait_for("over")
    assert world.daemon_pid() == daemon

    starts = world.starts()
    os.kill(daemon, signal.SIGSTOP)
    wait_gone([daemon])
    world.wait_for_start(starts + 1)
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT) != daemon
    world.check_echo("still", session)


def a_hung_daemon_is_restarted_on_request(world: Serviced) -> None:
    """`daemon restart` where the daemon does not answer."""
    world.ctl("daemon", "install")
    session = world.run(ECHO)
    daemon = world.daemon_pid()
    os.kill(daemon, signal.SIGSTOP)

    world.ctl("daemon", "restart")

    wait_gone([daemon])
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT) != daemon
    world.check_echo("still", session)


def stopped_it_stays_stopped(world: Serviced) -> None:
    """`daemon stop`, also of a daemon that cannot start."""
    world.ctl("daemon", "install")
    session = world.run(ECHO)
    daemon = world.daemon_pid()

    said = world.ctl("daemon", "stop").out

    assert said == "stopped claudectld; sessions go on\n"
    wait_gone([daemon])
    assert (world.shows(DAEMON_UNIT, "SubState"), world.shows(DAEMON_UNIT, "Result")) == ("dead", "success")
    world.ctl("--no-start", "daemon", "status", code=69)
    world.ctl("daemon", "start")
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT)
    world.check_echo("on", session)

    daemon = world.daemon_pid()
    said = world.ctl("daemon", "restart").out
    assert said == f"restarted claudectld (pid {world.daemon_pid()}); no session was touched\n"
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT) != daemon
    world.check_echo("again", session)

    # What should be its log's directory is a file: it fails again and again.
    world.ctl("daemon", "stop")
    logs = world.state / "logs"
    logs.rename(world.state / "moved")
    logs.touch()
    failing = subprocess.run(["systemctl", "--user", "start", DAEMON_UNIT], env=world.env, check=False)
    assert failing.returncode != 0
    world.ctl("daemon", "stop")
    assert world.shows(DAEMON_UNIT, "SubState") in ("dead", "failed")
    logs.unlink()
    (world.state / "moved").rename(logs)


def uninstalled_nothing_but_data_is_left(world: Serviced) -> None:
    """No process, unit or socket; every file of a session."""
    world.ctl("daemon", "install")
    session = world.run(ECHO)
    before = (world.daemon_pid(), world.keeper_pid(), int(str(session["pid"])))
    socket = Path(world.socket)

    refused = world.ctl("daemon", "uninstall", code=4)
    assert refused.err == (
        "claudectl: a session runs; stop them first, or have them stopped with --sessions\n"
    )
    assert (world.daemon_pid(), world.keeper_pid()) == before[:2]
    assert (world.units / DAEMON_UNIT).exists()

    said = world.ctl("daemon", "uninstall", "--sessions").out
    assert f"removed {world.units / KEEPER_UNIT}, {world.units / DAEMON_UNIT}" in said
    wait_gone(before)
    assert not [pid for pid in world.processes() if pid != world.manager.pid]
    assert [path for path in world.units.rglob("*") if not path.is_dir()] == []
    assert not socket.exists()
    assert not socket.parent.exists()
    units = world.systemctl("list-units", "--all", "--plain", "--no-legend", "claudectl*").splitlines()
    # The manager may remember for a moment that there was such a name.
    assert [unit for unit in units if unit.split()[1:4] != ["not-found", "inactive", "dead"]] == []
    assert b"ready" in world.record(session)
    assert json.loads((world.project / ".claudectl" / "sessions.json").read_text())["sessions"]

    world.ctl("daemon", "uninstall")
    assert world.ctl("daemon", "uninstall", "--json").json()["files"] == []
    # And all is there again without the service.
    listed = world.ctl("ls", "-a", "--json").json()["sessions"]
    assert isinstance(listed, list)
    assert [each["id"] for each in listed] == [session["id"]]


def with_the_manager_every_wanted_session_comes_back(world: Serviced) -> None:
    """Logout without lingering, and login."""
    world.ctl("daemon", "install")
    world.drop_in(KEEPER_UNIT, "[Service]\nTimeoutStopSec=1s\n")
    heard = Fifo(world.home / "heard")
    script = f"echo started > {heard.path}; exec cat"
    wanted = [
        world.new("-n", name, "--command", "--restore", "--", "/bin/sh", "-c", script) for name in ("a", "b")
    ]
    once = world.run(ECHO, name="once")
    stopped = world.new("-n", "stopped", "--command", "--restore", "--", "cat")
    world.ctl("stop", "stopped")
    for _ in wanted:
        heard.line()
    pids = [int(str(session["pid"])) for session in (*wanted, once)]

    world.restart_manager()
    wait_gone(pids)

    # Nobody has asked for anything: the manager has started the daemon, and that the sessions.
    for _ in wanted:
        heard.line()
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT)
    for session in wanted:
        now = world.shown(str(session["id"]))
        assert (now["lifecycle"], now["name"]) == ("active", session["name"])
        assert now["run"] != session["run"]
    for session in (once, stopped):
        assert world.shown(str(session["id"]))["run"] == session["run"]
        assert world.shown(str(session["id"]))["pid"] is None
    heard.close()


def a_daemon_that_is_set_to_ends_its_sessions(world: Serviced) -> None:
    """`on_stop = "stop"`: for the manager's stop, not for claudectl's own verbs."""
    world.configure('[daemon]\non_stop = "stop"\n')
    world.ctl("daemon", "install")
    session = world.run(ECHO)
    world.ctl("daemon", "restart")
    world.ctl("daemon", "stop")
    world.check_echo("on", session)
    daemon, keeper = world.daemon_pid(), world.keeper_pid()

    world.systemctl("stop", DAEMON_UNIT)

    wait_gone([int(str(session["pid"])), daemon, keeper])
    assert world.shows(DAEMON_UNIT, "Result") == "success"
    shown = world.shown("job")
    assert (shown["run"], shown["wanted"], shown["lifecycle"]) == (session["run"], "stopped", "stopped")


def installed_from_a_wheel_it_finds_its_units(world: Serviced) -> None:
    """No checkout is near: units, keeper and daemon come from the wheel, and an upgrade of it goes on with both."""
    wheels = Wheels(world.home / "wheels")
    world.installation = Installation(world.home / "venv", wheels.of_present("90.1.0"))
    world.ctl("daemon", "install")
    python = world.home / "venv" / "bin" / "python"
    assert f'ExecStart="{python}" -P -m claudectld run' in (world.units / DAEMON_UNIT).read_text()
    assert world.ctl("daemon", "status", "--json").json()["daemon"]["version"] == "90.1.0"  # type: ignore[index]
    assert (world.main_pid(DAEMON_UNIT), world.main_pid(KEEPER_UNIT)) == (
        world.daemon_pid(),
        world.keeper_pid(),
    )
    session = world.run(ECHO)

    world.installation.delete()
    world.installation = Installation(world.home / "venv", wheels.of_present("90.2.0"))
    world.ctl("daemon", "restart")

    assert world.ctl("daemon", "status", "--json").json()["daemon"]["version"] == "90.2.0"  # type: ignore[index]
    assert world.daemon_pid() == world.main_pid(DAEMON_UNIT)
    world.check_echo("new", session)


class ServicedClaude(Serviced, ClaudeWorld):
    """With the real Claude Code."""


def with_the_manager_every_conversation_comes_back(world: ServicedClaude) -> None:
    """Logout without lingering, and login, on the real Claude Code."""
    world.ctl("daemon", "install")
    talk = world.claude_session("talk", prompt="remember this")
    world.until_said("talk", "You said: remember this")

    world.restart_manager()
    world.wait_for_start(2)

    now = world.until("talk", lambda now: now["lifecycle"] == "active")
    assert (now["id"], now["conversation"]) == (talk["id"], talk["conversation"])
    assert now["run"] != talk["run"]
    world.until_doing("talk", "idle")
    world.say("talk", "and this")
    turns = world.until_said("talk", "You said: and this")
    assert [turn.text for turn in turns if turn.role == "user"] == ["remember this", "and this"]


SCENES: tuple[Callable[[Serviced], None], ...] = (
    installed_they_run_as_services,
    what_ran_before_the_install_goes_on,
    a_second_daemon_is_not_needed_and_not_tried_again,
    whatever_ends_the_daemon_no_output_is_lost,
    whatever_ends_the_keeper_children_live,
    a_daemon_that_hangs_is_replaced_and_one_that_does_not_is_left_alone,
    a_hung_daemon_is_restarted_on_request,
    stopped_it_stays_stopped,
    uninstalled_nothing_but_data_is_left,
    with_the_manager_every_wanted_session_comes_back,
    a_daemon_that_is_set_to_ends_its_sessions,
    installed_from_a_wheel_it_finds_its_units,
)
CLAUDE_SCENE = with_the_manager_every_conversation_comes_back


def main() -> None:
    """Play the scene that the command line names."""
    name = sys.argv[1]
    isolate()
    if name == CLAUDE_SCENE.__name__:
        with (
            MessagesApi() as api,
            claude_code.home() as home,
            ServicedClaude(claude_code.installed(), home, api) as world,
        ):
            world.boot()
            CLAUDE_SCENE(world)
            world.end_all()
        return
    with Serviced() as plain:
        plain.boot()
        next(scene for scene in SCENES if scene.__name__ == name)(plain)
        plain.end_all()


if __name__ == "__main__":
    main()
