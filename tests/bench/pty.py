"""A program in a bare pseudo-terminal: the physical limit, and what clients are measured through."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from claudectl_protocol.sessions import Size
from tests.bench.results import WrongResult

SIZE = Size(cols=100, rows=30)
DEADLINE_S = 120.0
_READ_BYTES = 65536


class Pty:
    """Use as a context manager; leaving it kills the program."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._master, slave = os.openpty()
        packed = struct.pack("HHHH", SIZE.rows, SIZE.cols, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, packed)
        # The first terminal that a session leader opens becomes its controlling one.
        opened = (
            (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        )
        step_in = ("/bin/sh", "-c", 'exec "$@"', "sh", *argv)
        self.pid = os.posix_spawn("/bin/sh", step_in, dict(env), file_actions=opened, setsid=True)
        os.close(slave)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._master)

    def write(self, data: bytes) -> None:
        """Type."""
        os.write(self._master, data)

    def read_until(self, wanted: bytes) -> bytes:
        """Everything printed up to and with the read that completed `wanted`. Raises WrongResult."""
        data = bytearray()
        seen = 0
        while data.find(wanted, max(0, seen + 1 - len(wanted))) < 0:
            seen = len(data)
            if not self._poll.poll(DEADLINE_S * 1000):
                raise WrongResult(f"{wanted!r} did not come within {DEADLINE_S:g} s")
            try:
                data += os.read(self._master, _READ_BYTES)
            except OSError as error:
                raise WrongResult(f"the program ended before {wanted!r}: {bytes(data[-200:])!r}") from error
        return bytes(data)
