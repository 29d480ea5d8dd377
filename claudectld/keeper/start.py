"""Starting a keeper from the daemon, so that it is no part of the daemon and outlives it."""

import logging
import os
import select
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import anyio.to_thread

from claudectld.keeper import copy
from claudectld.keeper.crash import VARIABLE as CRASH_VARIABLE
from claudectld.keeper.main import READY
from claudectld.ports import KeeperGone

log = logging.getLogger(__name__)

DEADLINE_S = 20.0


async def start_keeper(state_dir: Path, socket: Path) -> None:
    """Have a keeper serve `state_dir` at `socket`; nothing happens when one does already.

    Cancelling returns at once; the keeper may start nevertheless.

    Raises:
        KeeperGone: none could be started; the message is a sentence.
    """
    await anyio.to_thread.run_sync(_start_apart, str(state_dir), str(socket), abandon_on_cancel=True)


def _start_apart(state: str, socket: str) -> None:
    """Start it outside the daemon's cgroup where a service manager can do that, else beside the daemon."""
    scope = _scope()
    if scope:
        try:
            _start(state, socket, scope)
        except KeeperGone as error:
            log.warning("event=keeper_not_in_scope error=%s", error)
        else:
            return
    _start(state, socket, ())


def _scope() -> tuple[str, ...]:
    """What runs a command in a scope of its own: then nothing that ends the daemon's cgroup ends a session."""
    manager = os.path.join(_run_directory(), "systemd", "private")
    program = shutil.which("systemd-run")
    if program is None or not os.path.exists(manager):
        return ()
    unit = f"--unit=claudectl-keeper-{uuid.uuid4().hex[:8]}"
    return (program, "--user", "--scope", "--quiet", "--collect", unit, "--")


def _run_directory() -> str:
    # cron and service managers of the system set no XDG_RUNTIME_DIR, though the user's manager may run.
    return os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"


def _start(state: str, socket: str, scope: tuple[str, ...]) -> None:
    try:
        home = copy.install(state)
        ready, its = os.pipe()
    except OSError as error:
        raise KeeperGone(f"the keeper cannot be copied: {error}") from error
    # The base interpreter, by its real path: deleting a virtual environment then hurts nobody.
    interpreter = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    command = [*scope, interpreter, "-I", "-S", "-B", home]
    try:
        with subprocess.Popen(
            [*command, "--state", state, "--socket", socket, "--ready-fd", str(its)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(its,),
            start_new_session=True,
        ):
            os.close(its)
            its = -1
            word = _read_line(ready)
    except OSError as error:
        raise KeeperGone(f"the keeper's interpreter {interpreter} cannot be run: {error}") from error
    finally:
        os.close(ready)
        if its >= 0:
            os.close(its)
    if word != READY and not word.startswith("already running"):
        raise KeeperGone(f"the keeper did not start: {word or 'it died without a word'}")


def _environment() -> dict[str, str]:
    """Nothing of ours: a daemon started inside a session must not mark the keeper as part of it."""
    kept = ("PATH", "TZ", CRASH_VARIABLE)
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "XDG_RUNTIME_DIR": _run_directory(),
    }


def _read_line(fd: int) -> str:
    """What the keeper says before it closes the pipe. Raises KeeperGone when it says nothing in time."""
    deadline = time.monotonic() + DEADLINE_S
    said = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise KeeperGone(f"the keeper said nothing for {DEADLINE_S:.0f} s")
        data = os.read(fd, 4096)
        if not data:
            return said.decode("utf-8", "replace").strip()
        said += data
