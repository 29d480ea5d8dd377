"""A run's record as the daemon reads it out, across restarts of the daemon."""

import codecs
from collections.abc import Iterator
from time import monotonic

from claudectl.client import Client
from claudectl.launch import Launcher
from claudectl.log_text import LogText
from claudectl.transport import ConnectionLost
from claudectl_protocol.calls import Logs, LogsStarted, Target
from claudectl_protocol.connection import Data, Ended
from claudectl_protocol.faults import Rejected, ShuttingDown
from claudectl_protocol.sessions import RunId
from claudectl_protocol.stream import EndReason

_LINE_BYTES = 256
"""A guess at a line's length; the window doubles until it holds enough lines."""
_SMALLEST_WINDOW_BYTES = 64 * 1024
_TEXT_WINDOW_BYTES = 8 * 1024 * 1024
_BARREN_S = 5.0
"""A connection that broke sooner than this and brought nothing would break again."""


class Recording:
    """Reads the record of one run of a session, `run` or else the present or last one, from its beginning."""

    def __init__(self, launcher: Launcher, target: Target, run: RunId | None) -> None:
        self._launcher = launcher
        self._target = target
        self._run = run
        self._offset = 0
        self._is_cut = False

    def last_lines(self, count: int) -> bytes:
        """The bytes of the last `count` lines that are there now; `rest` goes on behind them.

        Raises:
            Rejected, DaemonUnreachable, framing.RemoteProtocolError: as Launcher.connect and Client.call.
        """
        window_bytes = max(_SMALLEST_WINDOW_BYTES, count * _LINE_BYTES)
        while True:
            started, data = self._window(window_bytes)
            cut = _lines_from_end(data, count)
            if cut is not None:
                return data[cut:]
            if started.start > started.end - window_bytes:
                return data
            window_bytes *= 4

    def text(self, lines: int | None) -> Iterator[str]:
        """The lines that a terminal would show of what is there now, or the last `lines` of them: in pieces, with line
        ends. Where the daemon has no emulator, what was printed without its escape sequences.

        Raises:
            Rejected, DaemonUnreachable, framing.RemoteProtocolError: as Launcher.connect and Client.call.
            ConnectionLost: the daemon went; what came before is not all.
        """
        if lines is None:
            yield from self._text(None)
            return
        # How many bytes a line takes nobody knows, and a picture that is begun in its middle is wrong at its top.
        window_bytes = max(_TEXT_WINDOW_BYTES, lines * _LINE_BYTES)
        shown = "".join(self._text(window_bytes)).split("\n")[:-1]
        if len(shown) <= lines and self._is_cut:
            shown = "".join(self._text(None)).split("\n")[:-1]
        yield "".join(f"{line}\n" for line in shown[max(0, len(shown) - lines) :])

    def rest(self, *, follow: bool) -> Iterator[bytes]:
        """Everything that has not been read, in pieces; with `follow` until the run has ended. Raises as above."""
        while True:
            before, since = self._offset, monotonic()
            try:
                yield from self._stream(
                    Logs(target=self._target, run=self._run, offset=self._offset, follow=follow)
                )
            except ConnectionLost:
                if self._offset == before and monotonic() - since < _BARREN_S:
                    raise
            else:
                return

    def _text(self, tail_bytes: int | None) -> Iterator[str]:
        call = Logs(target=self._target, run=self._run, tail_bytes=tail_bytes, rendered=True)
        with self._launcher.connect() as client:
            started = client.call(call)
            self._is_cut = tail_bytes is not None and started.start <= started.end - tail_bytes
            pieces = _data(client)
            if started.rendered:
                decoder = codecs.getincrementaldecoder("utf-8")()
                yield from (decoder.decode(data) for data in pieces)
                return
            printed = LogText()
            for data in pieces:
                yield _with_ends(printed.feed(data))
            yield _with_ends(printed.end())

    def _window(self, size_bytes: int) -> tuple[LogsStarted, bytes]:
        with self._launcher.connect() as client:
            started = client.call(Logs(target=self._target, run=self._run, tail_bytes=size_bytes))
            self._take(started)
            data = b"".join(event.data for event in client.stream() if isinstance(event, Data))
        self._offset = max(started.start, started.end)
        return started, data

    def _stream(self, call: Logs) -> Iterator[bytes]:
        with self._launcher.connect() as client:
            self._take(client.call(call))
            for event in client.stream():
                if isinstance(event, Data):
                    # First the offset: whoever was given the bytes must not be given them again.
                    self._offset = event.offset
                    yield event.data
                elif isinstance(event, Ended) and event.end.reason is EndReason.SHUTTING_DOWN:
                    raise Rejected(ShuttingDown())

    def _take(self, started: LogsStarted) -> None:
        self._run = started.run
        self._target = Target(text=started.session, cwd=self._target.cwd, all_projects=True)


def _data(client: Client) -> Iterator[bytes]:
    """What a log's stream carries. Raises Rejected(ShuttingDown), ConnectionLost."""
    for event in client.stream():
        if isinstance(event, Data):
            yield event.data
        elif isinstance(event, Ended) and event.end.reason is EndReason.SHUTTING_DOWN:
            raise Rejected(ShuttingDown())


def _with_ends(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _lines_from_end(data: bytes, count: int) -> int | None:
    """Where the last `count` lines of `data` begin, or None when it holds fewer line ends than that takes."""
    at = len(data) - data.endswith(b"\n")
    for _ in range(count):
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            return None
    return at + 1
