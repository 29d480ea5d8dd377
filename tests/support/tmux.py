"""tmux as a terminal to compare with: bytes in, what it shows out."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from claudectl_protocol.sessions import Size
from tests.support.control_emulator import ControlEmulator

_DEADLINE_S = 60.0
# The answer to the last question says that everything before it has been shown.
_PLAY = """
import os, subprocess, sys, tty
tty.setraw(0)
data = open(sys.argv[1], 'rb').read() + b'\\x1b[5n'
while data:
    data = data[os.write(1, data):]
seen = b''
while not seen.endswith(b'\\x1b[0n'):
    seen += os.read(0, 1)
subprocess.run(sys.argv[2:], check=True)
os.read(0, 1)
"""
_FACTS = (
    "#{cursor_x},#{cursor_y},#{cursor_flag},#{alternate_on},#{insert_flag},#{origin_flag},#{wrap_flag},"
    "#{keypad_flag},#{keypad_cursor_flag},#{mouse_any_flag},#{mouse_sgr_flag},#{scroll_region_upper},"
    "#{scroll_region_lower}"
)


class Tmux:
    """A tmux server of its own, without a person's settings."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._directory = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp"))
        self._command = ("tmux", "-f", "/dev/null", "-S", str(self._directory / "s"))
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        self._count = 0

    def __enter__(self) -> Self:
        self._run("new-session", "-d", "-s", "keep", "-x", "80", "-y", "24", "cat")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("kill-server")
        shutil.rmtree(self._directory, ignore_errors=True)

    def shown(self, data: bytes) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], str]:
        """The rows, the looks of every cell, and the cursor and modes, after `data` on a fresh terminal."""
        self._count += 1
        name = f"n{self._count}"
        (self._directory / name).write_bytes(data)
        done = (*self._command, "wait-for", "-S", name)
        play = (sys.executable, "-c", _PLAY, str(self._directory / name), *done)
        self._run(
            "new-session", "-d", "-s", name, "-x", str(self._size.cols), "-y", str(self._size.rows), *play
        )
        self._run("wait-for", name)
        rows = self._run("capture-pane", "-p", "-e", "-N", "-t", name)
        facts = self._run("display-message", "-p", "-t", name, _FACTS)
        self._run("kill-session", "-t", name)
        # tmux tells the looks by what changes from cell to cell, in more than one way: a terminal reads all of them.
        reader = ControlEmulator(self._size)
        reader.feed(b"\x1b[?7l" + rows.removesuffix("\n").replace("\n", "\r\n").encode())
        picture = reader.picture()
        return picture.text, picture.styles, facts

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            (*self._command, *arguments),
            env=self._env,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=True,
        )
        return done.stdout
