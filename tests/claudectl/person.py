"""A person at a terminal: a command on a pseudo-terminal of its own, typed into and read."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Self

WAIT_S = 20.0
# Without a controlling terminal there would be no SIGWINCH; a hook between fork and exec is not safe here, because
# the fake daemon's threads run in this process.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "claudectl", *sys.argv[1:]])
"""


class Person:
    """Runs `claudectl` with `arguments` while it is a context; ends it if it still runs then."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], cols: int = 80, rows: int = 24
    ) -> None:
        self.seen = b""
        self._master, self._slave = os.openpty()
        self.resize(cols, rows)
        self.modes_before = self.modes()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=dict(environment),
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def modes(self) -> list[int | list[bytes | int]]:
        """The terminal's modes, as termios gives them."""
        return termios.tcgetattr(self._slave)

    def set_modes(self, modes: list[int | list[bytes | int]]) -> None:
        """Set the terminal's modes, as a shell does."""
        termios.tcsetattr(self._slave, termios.TCSANOW, modes)

    def resize(self, cols: int, rows: int) -> None:
        """Change the window's size."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, data: bytes) -> None:
        """Type, as fast as a paste."""
        os.write(self._master, data)

    def type_ahead(self, data: bytes) -> None:
        """Type while the command does not read; returns when its terminal has the keys."""
        self.type(data)
        readable, _, _ = select.select([self._slave], [], [], WAIT_S)
        assert readable

    def signal(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self.process.send_signal(number)

    def until(self, expected: bytes) -> bytes:
        """Read until `expected` has come; returns everything up to its end and forgets it."""
        deadline = monotonic() + WAIT_S
        while expected not in self.seen:
            self._read(deadline, expected)
        cut = self.seen.index(expected) + len(expected)
        read, self.seen = self.seen[:cut], self.seen[cut:]
        return read

    def wait(self) -> int:
        """Read until the command has ended; returns its exit code, and leaves the rest in `seen`."""
        deadline = monotonic() + WAIT_S
        ended = os.pidfd_open(self.process.pid)
        try:
            while not select.select([ended], [], [], 0)[0]:
                readable, _, _ = select.select(
                    [ended, self._master], [], [], max(0.0, deadline - monotonic())
                )
                assert readable, f"still running; seen: {self.seen!r}"
                if self._master in readable:
                    self.seen += os.read(self._master, 65536)
            while select.select([self._master], [], [], 0)[0]:
                self.seen += os.read(self._master, 65536)
        finally:
            os.close(ended)
        return self.process.wait()

    def _read(self, deadline: float, expected: bytes) -> None:
        readable, _, _ = select.select([self._master], [], [], max(0.0, deadline - monotonic()))
        assert readable, f"no {expected!r}; seen: {self.seen!r}"
        self.seen += os.read(self._master, 65536)
