"""Starting a keeper from the daemon, so that it is no part of the daemon and outlives it."""

import json
import logging
import os
import select
import shutil
import socket as sockets
import subprocess
import time
import uuid
from pathlib import Path
from typing import NoReturn

import anyio.to_thread

from claudectl_protocol.endpoint import NoHome
from claudectl_protocol.services import KEEPER_UNIT, installed_unit, run_directory
from claudectld.keeper import copy
from claudectld.keeper.crash import VARIABLE as CRASH_VARIABLE
from claudectld.keeper.main import READY
from claudectld.keeper.notify import VARIABLE
from claudectld.ports import KeeperGone

log = logging.getLogger(__name__)

DEADLINE_S = 20.0
RETRY_S = 0.05


async def start_keeper(state_dir: Path, socket: Path) -> None:
    """Have a keeper serve `state_dir` at `socket`; nothing happens when one does already.

    Cancelling returns at once; the keeper may start nevertheless.

    Raises:
        KeeperGone: none could be started; the message is a sentence.
    """
    await anyio.to_thread.run_sync(_start_apart, str(state_dir), str(socket), abandon_on_cancel=True)


def _start_apart(state: str, socket: str) -> None:
    """Start it by its own service where that is installed; else outside the daemon's cgroup where a service manager
    can do that; else beside the daemon."""
    if _has_service(state):
        try:
            _start_service(state, socket)
        except KeeperGone as error:
            log.warning("event=keeper_not_by_service error=%s", error)
        else:
            return
    scope = _scope()
    if scope:
        try:
            _start(state, socket, scope)
        except KeeperGone as error:
            log.warning("event=keeper_not_in_scope error=%s", error)
        else:
            return
    _start(state, socket, ())


def _has_service(state: str) -> bool:
    try:
        return installed_unit(KEEPER_UNIT, state, os.environ, os.geteuid()) is not None
    except NoHome:
        return False


def _start_service(state: str, socket: str) -> None:
    """Have the user's service manager start the keeper, and wait until one listens. Raises KeeperGone."""
    program = _program("systemctl")
    if program is None:
        raise KeeperGone("no service manager of the user runs")
    deadline = time.monotonic() + DEADLINE_S
    while True:
        left = max(0.0, deadline - time.monotonic())
        command = [program, "--user", "start", KEEPER_UNIT]
        try:
            done = subprocess.run(
                command, env=_environment(), capture_output=True, text=True, timeout=left, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KeeperGone(f"systemctl: {error}") from error
        if done.returncode:
            raise KeeperGone(" ".join(done.stderr.split()) or f"systemctl left with {done.returncode}")
        if _is_served(state, socket):
            return
        if time.monotonic() >= deadline:
            raise KeeperGone(f"{KEEPER_UNIT} runs, but nobody listens")
        # One that is just leaving still counts as started, and nobody tells when it has left.
        time.sleep(RETRY_S)


def _is_served(state: str, socket: str) -> bool:
    """True when a keeper listens, at `socket` or where keeper.json says."""
    try:
        with open(os.path.join(state, "keeper.json"), encoding="utf-8") as file:
            socket = str(json.load(file)["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it may not have said yet
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as sock:
        try:
            sock.connect(socket)
        except OSError:
            return False
    return True


def _scope() -> tuple[str, ...]:
    """What runs a command in a scope of its own: then nothing that ends the daemon's cgroup ends a session."""
    program = _program("systemd-run")
    if program is None:
        return ()
    unit = f"--unit=claudectl-keeper-{uuid.uuid4().hex[:8]}"
    return (program, "--user", "--scope", "--quiet", "--collect", unit, "--")


def _program(name: str) -> str | None:
    """A program that talks to the user's service manager; None when there is none to talk to."""
    manager = os.path.join(run_directory(os.environ, os.getuid()), "systemd", "private")
    return shutil.which(name) if os.path.exists(manager) else None


def be_keeper(state: str, socket: str, *, detached: bool) -> NoReturn:
    """Become the keeper, as its service has it: in the foreground, or `detached` where a service ends all of its
    process group.

    Raises:
        KeeperGone: the copy or the interpreter cannot be used.
    """
    command = _command(state, socket)
    environment = _environment()
    if VARIABLE in os.environ:
        environment[VARIABLE] = os.environ[VARIABLE]
    try:
        os.execve(command[0], command if detached else [*command, "--foreground"], environment)
    except OSError as error:
        raise KeeperGone(f"the keeper's interpreter {command[0]} cannot be run: {error}") from error


def _command(state: str, socket: str) -> list[str]:
    """The keeper's command line, from a copy that is made where it is missing. Raises KeeperGone."""
    try:
        home = copy.install(state)
    except OSError as error:
        raise KeeperGone(f"the keeper cannot be copied: {error}") from error
    return [copy.interpreter(), "-I", "-S", "-B", home, "--state", state, "--socket", socket]


def _start(state: str, socket: str, scope: tuple[str, ...]) -> None:
    command = _command(state, socket)
    try:
        ready, its = os.pipe()
    except OSError as error:
        raise KeeperGone(f"the keeper cannot be waited for: {error}") from error
    try:
        with subprocess.Popen(
            [*scope, *command, "--ready-fd", str(its)],
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
        raise KeeperGone(f"the keeper's interpreter {command[0]} cannot be run: {error}") from error
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
        "XDG_RUNTIME_DIR": run_directory(os.environ, os.getuid()),
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
