"""A person's whole world for one test: home, directories, daemon, keeper, sessions; and proof that nothing is left.

Everything runs with an environment made here, never with the test's own.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from claudectl_protocol.endpoint import socket_directory, socket_path
from claudectl_protocol.sessions import RunId, SessionId, Size
from claudectld.ports import SizeChange
from claudectld.record.reader import RecordFiles
from tests.support.terminal import Terminal

DEADLINE_S = 30.0


class CommandFailed(AssertionError):
    """`claudectl` left with another code than expected."""


class Done:
    """What a finished command said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def json(self) -> dict[str, object]:
        """The one document on stdout."""
        document: dict[str, object] = json.loads(self.out)
        return document


class World:
    """Use as a context manager; leaving it ends every process and fails if one could not be ended by the product."""

    def __init__(self, home: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self._own_home = home is None
        self.home = home or Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp")).resolve()
        self.project = self.home / "project"
        self.project.mkdir(exist_ok=True)
        self.state = self.home / ".local" / "state" / "claudectl"
        self.config = self.home / ".config" / "claudectl"
        self.env = {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SHELL": "/bin/sh",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            **(env or {}),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.processes()
        for pid in left:
            _kill(pid, signal.SIGKILL)
        wait_gone(left)
        shutil.rmtree(Path(self.socket).parent, ignore_errors=True)
        # The keeper's socket lies here, wherever the daemon's was put.
        shutil.rmtree(socket_directory(os.geteuid(), str(self.state)), ignore_errors=True)
        if self._own_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def configure(self, toml: str) -> None:
        """Write the person's settings; a daemon reads them when it starts."""
        self.config.mkdir(parents=True, exist_ok=True)
        (self.config / "claudectld.toml").write_text(toml)

    # -- the command line ----------------------------------------------------------------------------------------

    def argv(self, *args: str) -> list[str]:
        """How `claudectl` is run."""
        return [sys.executable, "-m", "claudectl", *args]

    def ctl(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        code: int = 0,
        stdin: bytes = b"",
    ) -> Done:
        """Run `claudectl` to its end and expect an exit code."""
        done = subprocess.run(
            self.argv(*args),
            cwd=cwd or self.project,
            env=dict(self.env if env is None else env),
            input=stdin,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
        found = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        if found.code != code:
            raise CommandFailed(
                f"claudectl {args} left with {found.code}, not {code}\n{found.out}\n{found.err}\n{self.log()}"
            )
        return found

    def new(self, *args: str, cwd: Path | None = None) -> dict[str, object]:
        """Start a session and return its line."""
        document = self.ctl("new", "--json", *args, cwd=cwd).json()
        session = document["session"]
        assert isinstance(session, dict)
        return session

    def run(self, script: str, *, name: str = "job", cwd: Path | None = None) -> dict[str, object]:
        """A session that runs a Python script."""
        path = self.home / f"{name}-{uuid.uuid4().hex[:6]}.py"
        path.write_text(script)
        return self.new("-n", name, "--command", "--", sys.executable, "-u", str(path), cwd=cwd)

    def shown(self, target: str) -> dict[str, object]:
        """`show --json`, the session's line."""
        document = self.ctl("show", target, "--json", "-g").json()
        session = document["session"]
        assert isinstance(session, dict)
        return session

    def attach(self, target: str, *args: str, size: Size | None = None) -> Terminal:
        """`claudectl attach` in a terminal of its own."""
        return Terminal(
            self.argv("attach", target, "-g", *args),
            env=self.env,
            cwd=self.project,
            size=size or Size(cols=100, rows=30),
        )

    # -- processes -----------------------------------------------------------------------------------------------

    @property
    def socket(self) -> str:
        """Where the daemon listens."""
        return socket_path(self.env, os.geteuid(), str(self.state))

    def daemon_pid(self) -> int:
        """The daemon's pid, asked of itself."""
        daemon = self.ctl("status", "--json").json()["daemon"]
        assert isinstance(daemon, dict)
        return int(daemon["pid"])

    def keeper_pid(self) -> int:
        """The keeper's pid, by its identity file."""
        return int(json.loads((self.state / "keeper.json").read_text())["pid"])

    def kill(self, pid: int) -> None:
        """SIGKILL, and wait until it is gone."""
        _kill(pid, signal.SIGKILL)
        wait_gone([pid])

    def start(self) -> None:
        """Start the daemon, as a client would."""
        self.ctl("daemon", "start")

    def end(self) -> None:
        """Have the product end everything. Raises TimeoutError if something of it stays."""
        if self.processes():
            self.start()
            self.ctl("daemon", "stop", "--sessions")
            try:
                wait_gone(self.processes())
            except TimeoutError as error:
                raise TimeoutError(f"{error}\n{self.log()}\n{self.keeper_log()}") from None

    def rss_bytes(self) -> int:
        """Memory that the daemon has resident."""
        pages = int(Path(f"/proc/{self.daemon_pid()}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processes(self) -> list[int]:
        """Every process of this world that lives: it has our home, or a path of ours on its command line."""
        home = f"HOME={self.home}".encode()
        found = []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit() or int(process.name) == os.getpid():
                continue
            try:
                environment = (process / "environ").read_bytes()
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if home in environment.split(b"\0") or os.fsencode(self.home) in words:
                found.append(int(process.name))
        return found

    def record(self, session: Mapping[str, object]) -> bytes:
        """All that a session's last run has printed, read from disk."""
        directory = self.state / "records" / str(session["id"]) / str(session["run"])
        segments = sorted(path for path in directory.iterdir() if path.name.isdigit())
        return b"".join(path.read_bytes() for path in segments)

    def sizes(self, session: Mapping[str, object]) -> tuple[SizeChange, ...]:
        """The sizes that the terminal of a session's last run has had."""
        records = RecordFiles(self.state / "records")
        return records.sizes(SessionId(str(session["id"])), RunId(str(session["run"])))

    def log(self) -> str:
        """The end of the daemon's log."""
        return _end_of(self.state / "logs" / "claudectld.log")

    def keeper_log(self) -> str:
        """The end of the keeper's log."""
        return _end_of(self.state / "logs" / "keeper.log")


def _end_of(path: Path) -> str:
    return path.read_text()[-6000:] if path.exists() else f"(no {path.name})"


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def wait_gone(pids: Sequence[int], deadline_s: float = DEADLINE_S) -> None:
    """Wait until processes have ended, by their pidfds. Raises TimeoutError."""
    deadline = time.monotonic() + deadline_s
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                words = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                raise TimeoutError(f"process {pid} is still there: {words}")
        finally:
            os.close(fd)


class Fifo:
    """A named pipe by which a script in a session tells the test where it is."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._pending = b""

    def line(self, deadline_s: float = DEADLINE_S) -> str:
        """The next line that somebody wrote. Raises TimeoutError."""
        deadline = time.monotonic() + deadline_s
        while b"\n" not in self._pending:
            if not select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"nothing was written to {self.path}")
            self._pending += os.read(self._fd, 65536)
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        """Stop listening."""
        os.close(self._fd)
