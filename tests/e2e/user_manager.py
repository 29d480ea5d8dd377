"""A program: starts a daemon under a real service manager of the user and kills it with its whole cgroup.

It wants to be root and process 2 of a pid namespace with a mount namespace of its own, as test_user_manager.py starts
it, and exits with 77 where the machine does not allow a manager to run.
"""

import os
import subprocess
from pathlib import Path

from tests.e2e.scripts import ECHO
from tests.e2e.world import DEADLINE_S, World, wait_gone
from tests.support.files import wait_for_file

NOT_HERE = 77
RUN = Path("/run/user/0")
PREPARATIONS = (
    ("mount", "-t", "proc", "proc", "/proc"),
    ("umount", "-R", "/sys/fs/cgroup"),
    ("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"),
    ("mount", "-t", "tmpfs", "tmpfs", "/run"),
)


def isolate() -> None:
    """A fresh /proc, /run and cgroup tree."""
    for command in PREPARATIONS:
        if subprocess.run(command, check=False, capture_output=True).returncode and command[0] == "mount":
            raise SystemExit(NOT_HERE)
    Path("/run/systemd/system").mkdir(parents=True)
    RUN.mkdir(parents=True, mode=0o700)


def start_manager(home: Path) -> "subprocess.Popen[bytes]":
    """`systemd --user`, ready."""
    manager = subprocess.Popen(
        ["/lib/systemd/systemd", "--user"],
        env={"HOME": str(home), "XDG_RUNTIME_DIR": str(RUN), "PATH": os.defpath},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    private = RUN / "systemd" / "private"
    wait_for_file(private.parent, lambda: private.exists() or None, deadline_s=DEADLINE_S)
    return manager


def cgroup_of(pid: int) -> Path:
    """The cgroup (v2) a process is in."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return Path("/sys/fs/cgroup") / path.lstrip("/")
    raise AssertionError(f"process {pid} is in no cgroup")


def main() -> None:
    """Play the scene; a failed assertion is the exit code."""
    with World() as world:
        isolate()
        start_manager(world.home)
        world.env["XDG_RUNTIME_DIR"] = str(RUN)
        subprocess.run(
            ["systemd-run", "--user", "--scope", "--quiet", "--unit=starter", *world.argv("daemon", "start")],
            env=world.env,
            cwd=world.project,
            check=True,
        )
        session = world.run(ECHO)
        daemon, keeper = world.daemon_pid(), world.keeper_pid()
        scope = cgroup_of(daemon)
        assert scope.name == "starter.scope", scope
        assert cgroup_of(keeper) != scope, "the keeper is in the daemon's cgroup"
        assert cgroup_of(int(str(session["pid"]))) != scope, "the child is in the daemon's cgroup"

        (scope / "cgroup.kill").write_text("1")
        wait_gone([daemon])

        assert world.shown("job")["pid"] == session["pid"]
        assert world.keeper_pid() == keeper
        world.ctl("send", "job", "--keys", "still here<Enter>")
        with world.attach("job") as terminal:
            terminal.wait_for("got still here")
        world.ctl("daemon", "stop", "--sessions")


if __name__ == "__main__":
    main()
