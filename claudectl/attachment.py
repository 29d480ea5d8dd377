"""One person's view of a session, over as many connections as it takes: copies between terminal and socket."""

import math
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import NamedTuple, NoReturn

from claudectl.client import Client, StreamEvent
from claudectl.keys import KeyFilter, Typed
from claudectl.launch import Launcher
from claudectl.terminal import Terminal
from claudectl.transport import ConnectionLost, NoDaemon
from claudectl_protocol.calls import Attach, Attached, Show, Target
from claudectl_protocol.connection import Data, Ended, Repaint
from claudectl_protocol.faults import NotRunning, Rejected, ShuttingDown
from claudectl_protocol.stream import End, EndReason

ESCAPE_S = 0.02
"""How long a lone Esc waits for the rest of a sequence, before it is the key."""
_READ_BYTES = 64 * 1024
_UNSENT_BYTES = 1024 * 1024
"""Input that may wait for a child that does not read; more is left in the terminal."""
SUCCESSOR_S = 5.0
"""How long the next daemon may take to serve after one that was told to leave."""
_FIRST_BACK_OFF_S = 0.05
_LONGEST_BACK_OFF_S = 1.0


class Detached(NamedTuple):
    """The person left; the session goes on."""


class Parting(NamedTuple):
    """How a view ended, and the session's name."""

    name: str
    end: End | Detached


class Attachment:
    """The view of one session in one terminal.

    Args:
        launcher: the way to the daemon, also after it was restarted.
        target: the session as the person named it.
        terminal: where it is shown.
        read_only: send no keys, and leave the session's size as it is.
        history: how many lines that have scrolled away are shown first.
    """

    def __init__(
        self, launcher: Launcher, target: Target, terminal: Terminal, *, read_only: bool, history: int
    ) -> None:
        self._launcher = launcher
        self._target = target
        self._terminal = terminal
        self._read_only = read_only
        self._history = history
        self._attached: Attached | None = None
        self._offset: int | None = None
        """What has been shown; None while only a picture has been, which says nothing about single bytes."""
        self._progress = True
        """Something came since the last break."""
        self._keys = KeyFilter(drop_suspend=False)
        self.reconnections = 0

    def run(self) -> Parting:
        """Show the session until the person leaves or it ends, across restarts of the daemon.

        The terminal is brought back whatever happens; SIGTERM and SIGHUP end the process by SystemExit.

        Raises:
            Rejected, DaemonUnreachable, framing.RemoteProtocolError: as Launcher.connect and Client.call.
        """
        with _resizes() as resized:
            client = self._attach(self._launcher.connect())
            with self._terminal:
                while True:
                    try:
                        with client:
                            end = self._copy(client, resized)
                    except ConnectionLost:
                        reached = self._reconnected(self._launcher.silent(), math.inf)
                    else:
                        if not isinstance(end, End) or end.reason is not EndReason.SHUTTING_DOWN:
                            return self._parting(end)
                        # Somebody had it leave, and is not to have it back from here: but another may follow.
                        reached = self._reconnected(self._launcher.silent(autostart=False), SUCCESSOR_S)
                    if not isinstance(reached, Client):
                        return self._parting(reached)
                    client = reached

    def _parting(self, end: End | Detached) -> Parting:
        return Parting("" if self._attached is None else self._attached.name, end)

    # --- connections ----------------------------------------------------------------------------------------

    def _attach(self, client: Client) -> Client:
        before = self._attached
        call = Attach(
            target=self._target,
            # What goes to a file or a pipe is the output itself, not what fits into some window.
            size=self._terminal.size if self._terminal.paints or not self._read_only else None,
            read_only=self._read_only,
            run=None if before is None else before.run,
            offset=self._offset,
            history=self._history if before is None else 0,
        )
        try:
            attached = client.call(call)
        except BaseException:
            client.close()
            raise
        self._attached = attached
        self._offset = attached.offset if attached.resumed else None
        # Whatever it is called by then, it is this session that must come back after a break.
        self._target = Target(text=attached.session, cwd=self._target.cwd, all_projects=True)
        self._keys = KeyFilter(drop_suspend=not attached.suspend_key)
        return client

    def _reconnected(self, launcher: Launcher, patience_s: float) -> Client | End | Detached:
        """A new connection after one broke, or how the view ended meanwhile: also by nobody coming in time."""
        give_up_at = monotonic() + patience_s
        # A daemon that breaks over this very session must not be started again and again without a pause.
        if not self._progress and self._discards_detach(_LONGEST_BACK_OFF_S):
            return Detached()
        self._progress = False
        back_off_s = _FIRST_BACK_OFF_S
        while True:
            try:
                client = self._attach(launcher.connect())
            except (NoDaemon, ConnectionLost):
                # A daemon that was started from here was waited for; of any other, nobody tells when it comes.
                pass
            except Rejected as rejected:
                match rejected.fault:
                    case NotRunning():
                        shown = launcher.call(Show(target=self._target))
                        return End(reason=EndReason.EXITED, exit=shown.info.exit)
                    case ShuttingDown():
                        pass
                    case _:
                        raise
            else:
                self.reconnections += 1
                if not self._discards_detach(0.0):
                    return client
                client.close()
                return Detached()
            if self._discards_detach(back_off_s):
                return Detached()
            if monotonic() > give_up_at:
                return End(reason=EndReason.SHUTTING_DOWN)
            back_off_s = min(2 * back_off_s, _LONGEST_BACK_OFF_S)

    def _discards_detach(self, wait_s: float) -> bool:
        """Throw away what is typed for `wait_s`, at least what is typed already; True for a wish to leave."""
        if not self._terminal.has_keys:
            select.select([], [], [], wait_s)
            return False
        until = monotonic() + wait_s
        while select.select([self._terminal.input_fd], [], [], max(0.0, until - monotonic()))[0]:
            if self._typed().detach:
                return True
        self._keys.flush()
        return False

    # --- copying --------------------------------------------------------------------------------------------

    def _copy(self, client: Client, resized: int) -> End | Detached:
        """Copy both ways until the stream ends or the person leaves. Raises ConnectionLost."""
        flush_at: float | None = None
        while True:
            if client.has_events:
                readable: list[int] = [client.fileno()]
            else:
                readable = self._readable(client, resized, flush_at)
            if resized in readable:
                os.read(resized, 4096)
                self._terminal.make_raw()
                if self._terminal.paints or not self._read_only:
                    client.resize(self._terminal.size)
            if self._terminal.input_fd in readable:
                typed = self._typed()
                self._type(client, typed.data)
                if typed.detach:
                    return Detached()
                flush_at = monotonic() + ESCAPE_S if self._keys.is_holding else None
            elif flush_at is not None and monotonic() >= flush_at:
                self._type(client, self._keys.flush())
                flush_at = None
            client.send_queued()
            if client.fileno() in readable:
                for event in client.received():
                    end = self._show(event)
                    if end is not None:
                        return end

    def _readable(self, client: Client, resized: int, flush_at: float | None) -> list[int]:
        wanted = [client.fileno(), resized]
        if self._terminal.has_keys and client.unsent_bytes < _UNSENT_BYTES:
            wanted.append(self._terminal.input_fd)
        writable = [client.fileno()] if client.unsent_bytes else []
        timeout_s = None if flush_at is None else max(0.0, flush_at - monotonic())
        return select.select(wanted, writable, [], timeout_s)[0]

    def _typed(self) -> Typed:
        try:
            data = os.read(self._terminal.input_fd, _READ_BYTES)
        except OSError:
            data = b""
        if not data:
            return Typed(b"", detach=True)  # the terminal is gone, and nobody looks any more
        typed = self._keys.feed(data)
        # Who only watches cannot interrupt anything, so that Ctrl-C can only mean to leave.
        return Typed(b"", detach=typed.detach or b"\x03" in typed.data) if self._read_only else typed

    def _type(self, client: Client, data: bytes) -> None:
        if data and not self._read_only:
            client.type(data)
            client.send_queued()

    def _show(self, event: StreamEvent) -> End | None:
        self._progress = True
        match event:
            case Data(offset=offset, data=data):
                self._terminal.show(data)
                self._offset = offset
            case Repaint(data=data):
                self._terminal.repaint(data)
                self._offset = None
            case Ended(end=end):
                return end
        return None


@contextmanager
def _resizes() -> Iterator[int]:
    """A descriptor that becomes readable when the terminal's size or modes may have changed; SIGTERM and SIGHUP
    raise SystemExit meanwhile."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = [
        (number, signal.signal(number, handler))
        for number, handler in (
            (signal.SIGWINCH, _noted),
            (signal.SIGCONT, _noted),
            (signal.SIGTERM, _leave),
            (signal.SIGHUP, _leave),
        )
    ]
    try:
        yield reader
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        os.close(reader)
        os.close(writer)


def _noted(number: int, frame: FrameType | None) -> None:
    """A signal that Python has to have a handler for, so that it writes to the wake-up descriptor."""


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
