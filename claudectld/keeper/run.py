"""One run: its PTY master, what is recorded of it, what is typed into it, and its end."""

import fcntl
import os
import struct
import termios
import time
from typing import NamedTuple, Protocol

from . import processes
from .input import Done, Input
from .loop import Loop
from .processes import Identity
from .record import UNKNOWN, Exit, Record, RecordState
from .requests import Window

READ_BYTES = 4095
"""What one read usually returns anyway. Seldom a terminal would give up to 20 KB, but what is read and not yet written
when the keeper is killed is lost, and this is the bound on it."""
DRAIN_BYTES = 1 << 16
"""More than the kernel holds for a terminal: what a dead child printed is in it, whoever prints on."""

_TIOCGPTPEER = 0x5441
"""Linux: opens a master's slave without its name."""


class RunState(NamedTuple):
    """A run in the middle of its life, or ended and not acknowledged; `master` is None once that was closed.

    `status` is as from wait(2), `typed` are the remembered batches.
    """

    name: str
    session: str
    process: Identity
    record: RecordState
    master: int | None
    pidfd: int | None
    adopted: bool
    exit: Exit | None
    acknowledged: bool
    interrupted: bool
    watched: int | None
    is_dead: bool
    status: int | None
    drained_bytes: int
    is_hung_up: bool
    typed: tuple[str, ...]


class Listener(Protocol):
    """Who is told about a run."""

    def grown(self, run: "Run") -> None:
        """The record is longer than was watched for."""
        ...

    def ended(self, run: "Run") -> None:
        """The exit is known and, unless the disk refused, in the exit file."""
        ...

    def silent(self, run: "Run") -> None:
        """The run ended and nobody has its terminal open any more."""
        ...


class Run:
    """A run whose master this keeper holds. Owns the master and the pidfd."""

    def __init__(
        self,
        name: str,
        session: str,
        process: Identity,
        master: int,
        record: Record,
        loop: Loop,
        listener: Listener,
        *,
        adopted: bool = False,
        pidfd: int | None = None,
    ) -> None:
        """`adopted` is a child of somebody else: no signal to reap tells of its end, but its `pidfd` may."""
        self.name = name
        self.session = session
        self.process = process
        self.master = master
        self.record = record
        self.pidfd = pidfd
        self.adopted = adopted
        self.exit: Exit | None = None
        self.acknowledged = False
        self.interrupted = False
        """Set when the keeper was told to leave: an end after that is not the user's doing."""
        self._loop = loop
        self._listener = listener
        self._watched: int | None = None
        self.is_dead = False
        """The child has ended; its last bytes may still be on their way."""
        self._status: int | None = None
        self._drained_bytes = 0
        self.is_hung_up = False
        """Nobody has the terminal open any more."""
        self._slave: int | None = None
        self._closed = False
        self._input = Input(master, self._want_write)

    @classmethod
    def carry_on(cls, state: RunState, record: Record, loop: Loop, listener: Listener) -> "Run":
        """The run that this process held before its exec; to be started."""
        run = cls(
            state.name,
            state.session,
            state.process,
            -1 if state.master is None else state.master,
            record,
            loop,
            listener,
            adopted=state.adopted,
            pidfd=state.pidfd,
        )
        run.exit = state.exit
        run.acknowledged = state.acknowledged
        run.interrupted = state.interrupted
        run.is_dead = state.is_dead
        run.is_hung_up = state.is_hung_up
        run._watched = state.watched
        run._status = state.status
        run._drained_bytes = state.drained_bytes
        run._closed = state.master is None
        run._input.remember(state.typed)
        return run

    def state(self) -> RunState:
        """Everything needed to carry on. What is being typed is not part of it: `is_typing` must be False.

        Nor is the slave that stands in for a child's: the first read finds out that one is needed, as it did before.
        """
        return RunState(
            name=self.name,
            session=self.session,
            process=self.process,
            record=self.record.state(),
            master=None if self._closed else self.master,
            pidfd=None if self._closed else self.pidfd,
            adopted=self.adopted,
            exit=self.exit,
            acknowledged=self.acknowledged,
            interrupted=self.interrupted,
            watched=self._watched,
            is_dead=self.is_dead,
            status=self._status,
            drained_bytes=self._drained_bytes,
            is_hung_up=self.is_hung_up,
            typed=self._input.typed,
        )

    @property
    def is_typing(self) -> bool:
        """True while the terminal has not taken all that was typed."""
        return self._input.is_busy

    def start(self) -> None:
        """Begin to read, and to look for the end of a child that is not ours."""
        if self._closed:
            return
        os.set_blocking(self.master, False)
        if not self.is_hung_up:
            self._loop.on_read(self.master, self._read)
        if self.pidfd is not None and not self.is_dead:
            self._loop.on_read(self.pidfd, self._left)
        if self.is_dead and self.exit is None:
            self._loop.soon(self._drain)

    def watch(self, size_bytes: int) -> None:
        """Tell once, as soon as the record is longer than `size_bytes`."""
        self._watched = size_bytes
        self._tell()

    def unwatch(self) -> None:
        """Nobody asks any more."""
        self._watched = None

    def type(self, batch: str, data: bytes, done: Done) -> None:
        """Type a batch. Raises Refused as Input.add."""
        if self.is_dead:
            done(typed=False)
            return
        self._input.add(batch, data, done)

    def resize(self, window: Window) -> None:
        """Record the size at the present offset, then set it."""
        if self.is_dead:
            return
        self.record.say_size(window)
        set_window(self.master, window)

    def signal(self, signo: int) -> None:
        """Signal the child, unless it ended."""
        if self.is_dead:
            return
        if not self.adopted:
            os.kill(self.process.pid, signo)
            return
        process = processes.look_up(self.process.pid)
        if process is not None and process.start_ticks == self.process.start_ticks:
            processes.send_signal(process, signo)

    def died(self, status: int | None) -> None:
        """The child ended with this wait(2) status, None when nobody knows it. The last bytes come first."""
        if self.is_dead:
            return
        self.is_dead = True
        self._status = status
        self._close_slave()
        self._loop.soon(self._drain)

    def close(self) -> None:
        """Let go of the terminal. A child that still lives is hung up."""
        if self._closed:
            return
        self._closed = True
        self._close_slave()
        for fd in (self.master, self.pidfd):
            if fd is not None:
                self._loop.give_up(fd)
                os.close(fd)
        self.record.close()

    def _read(self) -> None:
        if not self._take() and self.is_hung_up and self.exit is not None:
            self._listener.silent(self)

    def _take(self) -> int:
        """One read and one append. Returns the number of bytes, 0 when there was nothing or nobody."""
        try:
            data = os.read(self.master, READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            will_hear_of_the_end = not self.adopted or self.pidfd is not None
            if not self.is_dead and will_hear_of_the_end and self._open_slave():
                return 0
            # The last one who had the terminal open closed it. The event would repeat for ever.
            self.is_hung_up = True
            self._loop.on_read(self.master, None)
            if not will_hear_of_the_end:
                self.died(None)
            return 0
        self.record.append(data)
        self._tell()
        return len(data)

    def _tell(self) -> None:
        if self._watched is not None and self.record.size_bytes > self._watched:
            self._watched = None
            self._listener.grown(self)

    def _drain(self) -> None:
        taken = self._take()
        self._drained_bytes += taken
        if taken and self._drained_bytes < DRAIN_BYTES:
            self._loop.soon(self._drain)
            return
        code = os.waitstatus_to_exitcode(self._status) if self._status is not None else None
        self.exit = Exit(
            code=code if code is None or code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            at=time.time(),
            reason=self._reason(code),
            size_bytes=self.record.size_bytes,
        )
        self._input.end()
        self._listener.ended(self)
        if self.is_hung_up:
            self._listener.silent(self)

    def _reason(self, code: int | None) -> str:
        if code is None:
            return UNKNOWN
        if self.interrupted:
            return "interrupted"
        return "signalled" if code < 0 else "exited"

    def _left(self) -> None:
        assert self.pidfd is not None
        self._loop.give_up(self.pidfd)
        self.died(processes.exit_status(self.pidfd, self.process))

    def _open_slave(self) -> bool:
        """Stand in for a child that closed its terminal and may open /dev/tty later; False where that cannot be.

        Nobody tells a master without a slave that there is something to read again.
        """
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._slave = fcntl.ioctl(self.master, _TIOCGPTPEER, flags)
        except OSError:
            return False
        return True

    def _close_slave(self) -> None:
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None

    def _want_write(self, *, wanted: bool) -> None:
        self._loop.on_write(self.master, self._input.write if wanted else None)


def set_window(master: int, window: Window) -> None:
    """Set a terminal's size. Raises OSError."""
    packed = struct.pack("HHHH", window.rows, window.cols, window.xpixel, window.ypixel)
    fcntl.ioctl(master, termios.TIOCSWINSZ, packed)
