"""A program in a real pseudo-terminal with an emulator behind it: type, and wait for what it shows."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from claudectl_protocol.sessions import Size
from tests.support.display import DEFAULT_SIZE, Cells, Display

T = TypeVar("T")

_GRACE_S = 10.0
"""How long a terminated child may take before it is killed."""
_INSIST_S = 0.5


class Terminal:
    """A program with a session and a controlling terminal of its own, always drained.

    Use it as a context manager: at the end the child is terminated, at last killed, and reaped. With `answer`
    it replies to terminal queries (OSC 7501 too); without, it is mute.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] = "/",
        size: Size = DEFAULT_SIZE,
        answer: bool = False,
    ) -> None:
        self._display = Display(size)
        self._answer = answer
        self._output = bytearray()
        self._ended = False
        self._status: int | None = None
        self._changed = threading.Condition()
        self._master, slave = os.openpty()
        _set_size(self._master, size)
        name = os.ttyname(slave)
        # The first terminal that a session leader opens becomes its controlling one. posix_spawn rather than
        # fork, since tests run threads.
        opened = (
            (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        )
        script = 'cd -- "$1" && shift && unset PWD OLDPWD && exec "$@"'
        step_in = ("/bin/sh", "-c", script, "sh", os.fspath(cwd), *argv)
        self.pid = os.posix_spawn("/bin/sh", step_in, dict(env), file_actions=opened, setsid=True)
        os.close(slave)
        self._leave, self._leave_end = os.pipe()
        self._threads = (threading.Thread(target=self._drain), threading.Thread(target=self._reap))
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.signal(number)
            with self._changed:
                if self._changed.wait_for(lambda: self._status is not None, _GRACE_S):
                    break
        os.close(self._leave_end)
        for thread in self._threads:
            thread.join()
        os.close(self._leave)
        os.close(self._master)

    def _reap(self) -> None:
        status = os.waitpid(self.pid, 0)[1]
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def _drain(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        poll.register(self._leave, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            try:
                data = os.read(self._master, 65536) if self._master in ready else b""
            except OSError:  # EIO: nobody has the other side open any more
                data = b""
            with self._changed:
                self._ended = not data
                self._output += data
                replies = self._display.feed(data)
                self._changed.notify_all()
                if self._ended:
                    return
            if replies and self._answer:
                os.write(self._master, replies)

    def wait_for(self, wanted: Callable[[str], bool] | str, *, deadline_s: float = 20.0) -> str:
        """The screen's text as soon as it is `wanted` (a text in it, or a predicate over all of it).

        Raises:
            TimeoutError: it did not come in time, or the program ended; the message shows the screen.
        """

        def look() -> tuple[str, bool]:
            text = self._display.text
            return text, wanted in text if isinstance(wanted, str) else wanted(text)

        return self._await(look, repr(wanted), deadline_s)

    def wait_for_report(
        self, wanted: Callable[[str], bool] | str, *, after: int = 0, deadline_s: float = 20.0
    ) -> str:
        """The first OSC 7501 report, seen or to come, that is `wanted` (a text in it, or a predicate).

        The first `after` reports do not count: pass `len(terminal.reports)` to wait for a new one.

        Raises:
            TimeoutError: as wait_for.
        """

        def look() -> tuple[str, bool]:
            for body in self._display.reports[after:]:
                if wanted in body if isinstance(wanted, str) else wanted(body):
                    return body, True
            return "", False

        return self._await(look, f"the report {wanted!r}", deadline_s)

    def wait_for_output(self, wanted: bytes, *, deadline_s: float = 20.0) -> bytes:
        """Everything printed, as soon as `wanted` is in it. Raises TimeoutError as wait_for."""
        return self._await(lambda: (bytes(self._output), wanted in self._output), repr(wanted), deadline_s)

    def wait_for_exit(self, *, deadline_s: float = 20.0) -> int:
        """The exit code, negative for a signal; everything printed has been read, unless an heir still holds
        the terminal open. Raises TimeoutError."""
        with self._changed:
            self._changed.wait_for(lambda: self._status is not None and self._ended, deadline_s)
            if self._status is None:
                raise TimeoutError(f"still running after {deadline_s} s; the screen:\n{self._display.text}")
            return os.waitstatus_to_exitcode(self._status)

    def _await(self, look: Callable[[], tuple[T, bool]], what: str, deadline_s: float) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or look()[1], deadline_s)
            found, fits = look()
            if fits:
                return found
            why = "the program ended" if self._ended else f"not within {deadline_s} s"
            raise TimeoutError(f"{why}: {what}; the screen:\n{self._display.text}")

    def type(self, data: bytes | str) -> None:
        """Type keys."""
        rest = data.encode() if isinstance(data, str) else data
        while rest:
            rest = rest[os.write(self._master, rest) :]

    def insist(self, keys: bytes | str, wanted: str, *, deadline_s: float = 20.0) -> str:
        """Type the same keys again until a new report has `wanted` in it: Claude's dialogs are deaf at first.

        Raises:
            TimeoutError: as wait_for.
        """
        before = len(self.reports)
        for _ in range(int(deadline_s / _INSIST_S)):
            self.type(keys)
            try:
                return self.wait_for_report(wanted, after=before, deadline_s=_INSIST_S)
            except TimeoutError:
                continue
        return self.wait_for_report(wanted, after=before, deadline_s=_INSIST_S)

    def resize(self, size: Size) -> None:
        """Change the window's size; the child is told."""
        with self._changed:
            self._display.resize(size)
            _set_size(self._master, size)

    def signal(self, number: int) -> None:
        """Signal the program itself; nothing when it has ended."""
        with self._changed:
            if self._status is None:
                with contextlib.suppress(ProcessLookupError):  # reaped, but not yet noted
                    os.kill(self.pid, number)

    @property
    def text(self) -> str:
        """The visible text."""
        with self._changed:
            return self._display.text

    @property
    def output(self) -> bytes:
        """Every byte printed so far."""
        with self._changed:
            return bytes(self._output)

    @property
    def reports(self) -> tuple[str, ...]:
        """OSC 7501 bodies so far."""
        with self._changed:
            return tuple(self._display.reports)

    @property
    def cursor(self) -> tuple[int, int]:
        """(column, row) from 0."""
        with self._changed:
            return self._display.cursor

    def mode(self, number: int) -> bool:
        """Whether a DEC private mode is set, such as 1049 or 2004."""
        with self._changed:
            return self._display.mode(number)

    def cells(self) -> Cells:
        """Every visible cell."""
        with self._changed:
            return self._display.cells()


def _set_size(master: int, size: Size) -> None:
    fcntl.ioctl(
        master, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, size.xpixel, size.ypixel)
    )
