"""A screen that keeps everything it was fed and repaints by playing all of it."""

from collections.abc import Callable

import msgspec

from claudectl_protocol.sessions import Activity, Size
from claudectld.ports import Cells
from claudectld.screen.modes import RESET
from claudectld.screen.queries import Passage, QueryKind, QuerySplitter
from claudectld.screen.reports import StatusReports

_DA1 = b"\x1b[?62;22c"


class _Tape(msgspec.Struct, frozen=True):
    played: bytes
    pending: bytes
    report: bytes
    resized: bool
    activity: Activity | None


class TapeScreen:
    """The Screen port with no bound on memory; it answers DA1 and OSC 7501 only."""

    def __init__(self, *, parse_report: Callable[[bytes], Activity | None], status_reply: bytes) -> None:
        self._parse_report = parse_report
        self._replies = {QueryKind.DA1: _DA1, QueryKind.STATUS: status_reply}
        self._splitter = QuerySplitter()
        self._reports = StatusReports()
        self._played = b""
        self._resized = False
        self._activity: Activity | None = None

    def load(self, checkpoint: bytes) -> None:
        """Go on from a checkpoint of another TapeScreen."""
        tape = msgspec.msgpack.decode(checkpoint, type=_Tape)
        self._splitter.feed(tape.pending)
        self._reports = StatusReports(tape.report)
        self._played, self._resized, self._activity = tape.played, tape.resized, tape.activity

    def feed(self, data: bytes, *, live: bool) -> bytes:
        replies = b""
        for piece in self._splitter.feed(data):
            if isinstance(piece, Passage):
                self._played += piece.data
                for body in self._reports.feed(piece.data):
                    self._activity = self._parse_report(body) or self._activity
            else:
                replies += self._replies.get(piece.kind, b"")
        return replies if live else b""

    def resize(self, size: Size) -> None:
        self._resized = True

    def repaint(self, history: int = 0) -> bytes:
        return RESET + self._played

    @property
    def cells(self) -> Cells | None:
        return None

    def trim(self) -> None:
        """A tape keeps everything."""

    @property
    def held_bytes(self) -> int:
        return len(self._splitter.pending)

    @property
    def wants_jiggle(self) -> bool:
        return self._resized

    @property
    def activity(self) -> Activity | None:
        return self._activity

    def checkpoint(self) -> bytes:
        return msgspec.msgpack.encode(
            _Tape(self._played, self._splitter.pending, self._reports.pending, self._resized, self._activity)
        )
