"""The peer: a tmux server of its own, with its default settings but for the status line."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench import machine
from tests.bench.pty import SIZE
from tests.bench.results import WrongResult


def is_installed() -> bool:
    """True where there is a peer to compare with."""
    return shutil.which("tmux") is not None


class Tmux:
    """A server with one idle window. Use as a context manager; leaving it ends the server and its windows."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp"))
        self.env = {
            "HOME": str(self.home),
            "TMUX_TMPDIR": str(self.home),
            "PATH": os.environ.get("PATH", os.defpath),
            "SHELL": "/bin/sh",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }

    def __enter__(self) -> Self:
        cells = ("-x", str(SIZE.cols), "-y", str(SIZE.rows))
        self.run("new-session", "-d", "-s", "bench", *cells, "sh", "-c", "exec cat")
        # A clock in the status line would be taken for output.
        self.run("set-option", "-g", "status", "off")
        self.pid = int(self.run("display-message", "-p", "#{pid}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run("kill-server")
        shutil.rmtree(self.home, ignore_errors=True)

    def argv(self, *args: str) -> list[str]:
        """A tmux command."""
        return ["tmux", "-f", "/dev/null", *args]

    def run(self, *args: str) -> str:
        """Run a command to its end and return what it printed. Raises WrongResult."""
        done = subprocess.run(self.argv(*args), env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WrongResult(f"tmux {args[0]}: {done.stderr.strip()}")
        return done.stdout

    def windows(self) -> list[str]:
        """The names of all windows."""
        return self.run("list-windows", "-t", "bench", "-F", "#W").split()

    def window(self, name: str, argv: tuple[str, ...]) -> None:
        """Open a window in the background."""
        self.run("new-window", "-d", "-t", "bench", "-n", name, *argv)

    def fill(self, argvs: list[tuple[str, ...]]) -> None:
        """Open many windows. Raises WrongResult."""
        have = len(self.windows())
        for number, argv in enumerate(argvs):
            self.window(f"w{have + number}", argv)
        self.count(have + len(argvs))

    def count(self, wanted: int) -> None:
        """Raises WrongResult unless there are so many windows."""
        found = len(self.windows())
        if found != wanted:
            raise WrongResult(f"{found} windows, not {wanted}")

    def screen(self, window: str) -> list[str]:
        """The visible lines of a window, empty ones left out."""
        return [line for line in self.run("capture-pane", "-p", "-t", f"bench:{window}").splitlines() if line]

    def attach(self, window: str) -> list[str]:
        """The client, showing a window."""
        self.run("select-window", "-t", f"bench:{window}")
        return self.argv("attach-session", "-t", "bench")

    def pss_bytes(self) -> int:
        """Memory of the server."""
        return machine.pss_bytes(self.pid)
