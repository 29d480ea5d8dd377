"""A screen without an emulator: it repaints by playing the last output again."""

from collections.abc import Callable

import msgspec

from claudectl_protocol.sessions import Activity, Size
from claudectld.screen.modes import Modes
from claudectld.screen.queries import Passage, QuerySplitter
from claudectld.screen.replies import reply
from claudectld.screen.reports import StatusReports
from claudectld.screen.ring import Entry, Ring, fresh
from claudectld.screen.tracker import ModeTracker

MAX_REPAINT_BYTES = 900 * 1024

_VERSION = 1
_SLICE_BYTES = 16 * 1024


class BadCheckpoint(Exception):
    """The checkpoint is damaged or of another version; the screen has to be made again from the record."""


class _Checkpoint(msgspec.Struct, frozen=True):
    version: int
    size: Size
    entries: tuple[Entry, ...]
    alternate_at: int | None
    modes: Modes
    string: bytes
    unfinished: bytes
    candidate: bytes
    report: bytes
    activity: Activity | None


class RawScreen:
    """The Screen port over a ring of the last output and the modes at its start.

    It answers queries as replies.py says, in the order they were asked. What it cannot do is paint exactly once
    output has left the ring or the size has changed; then `wants_jiggle` is True.
    """

    def __init__(
        self, size: Size, *, parse_report: Callable[[bytes], Activity | None], status_reply: bytes
    ) -> None:
        """Args: parse_report: what the body of an OSC 7501 says; status_reply: what answers OSC 7501;?."""
        self._parse_report = parse_report
        self._status_reply = status_reply
        self._splitter = QuerySplitter()
        self._tracker = ModeTracker()
        self._reports = StatusReports()
        self._ring = Ring(size, fresh(size))
        self._activity: Activity | None = None

    @classmethod
    def restore(
        cls, checkpoint: bytes, *, parse_report: Callable[[bytes], Activity | None], status_reply: bytes
    ) -> "RawScreen":
        """The screen that `checkpoint()` was called on. Raises BadCheckpoint."""
        try:
            state = msgspec.msgpack.decode(checkpoint, type=_Checkpoint)
        except msgspec.DecodeError as error:
            raise BadCheckpoint(str(error)) from error
        if state.version != _VERSION:
            raise BadCheckpoint(f"version {state.version}, not {_VERSION}")
        screen = cls(state.size, parse_report=parse_report, status_reply=status_reply)
        screen._splitter.feed(state.candidate)
        screen._tracker = ModeTracker(state.modes, state.unfinished, state.string)
        screen._reports = StatusReports(state.report)
        screen._ring = Ring(state.size, state.entries, state.alternate_at)
        screen._activity = state.activity
        return screen

    @classmethod
    def blind(
        cls,
        size: Size,
        activity: Activity | None,
        *,
        parse_report: Callable[[bytes], Activity | None],
        status_reply: bytes,
    ) -> "RawScreen":
        """A screen that begins in the middle of a run, and knows only the last report."""
        screen = cls(size, parse_report=parse_report, status_reply=status_reply)
        screen._ring = Ring(size, ())
        screen._activity = activity
        return screen

    def feed(self, data: bytes, *, live: bool) -> bytes:
        """Take bytes; return what must be typed back to answer the queries in them (nothing unless `live`)."""
        replies: list[bytes] = []
        for piece in self._splitter.feed(data):
            if isinstance(piece, Passage):
                self._print(piece.data)
                continue
            # The query's ESC ended whatever was unfinished before it.
            for stretch in self._tracker.release():
                self._ring.append(stretch)
            self._reports.pending = b""
            if live:
                replies.append(reply(piece, self._ring.size, self._status_reply))
        return b"".join(replies)

    def resize(self, size: Size) -> None:
        """The terminal's size changed."""
        self._ring.resize(size)
        self._tracker.resize()

    def repaint(self, history: int = 0) -> bytes:  # noqa: ARG002 - the port's
        """Bytes that bring a terminal of the same size to this screen and these modes.

        They leave out the last `held_bytes` of what was fed. What has scrolled away is in them as far as the ring
        has it, whatever `history` says.
        """
        return self._ring.paint(self._tracker.modes)

    @property
    def held_bytes(self) -> int:
        """How much at the end of what was fed is an unfinished sequence.

        A client that gets a repaint has to get these bytes after it, or its terminal sees half a sequence.
        """
        return len(self._tracker.pending) + len(self._splitter.pending)

    @property
    def wants_jiggle(self) -> bool:
        """True when only the child itself can paint exactly."""
        return self._tracker.modes.alternate != 0 or not self._ring.is_exact

    @property
    def cells(self) -> None:
        """None: only an emulator knows them."""
        return None

    def trim(self) -> None:
        """The ring is small already."""

    @property
    def activity(self) -> Activity | None:
        """The last report of the child's own state, or None."""
        return self._activity

    def checkpoint(self) -> bytes:
        """Everything needed to go on from here in another process."""
        state = _Checkpoint(
            version=_VERSION,
            size=self._ring.size,
            entries=tuple(self._ring.entries),
            alternate_at=self._ring.alternate_at,
            modes=self._tracker.modes,
            string=self._tracker.string,
            unfinished=self._tracker.pending,
            candidate=self._splitter.pending,
            report=self._reports.pending,
            activity=self._activity,
        )
        return msgspec.msgpack.encode(state)

    def _print(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            for stretch in self._tracker.feed(data[start : start + _SLICE_BYTES]):
                self._ring.append(stretch)
        for body in self._reports.feed(data):
            self._activity = self._parse_report(body) or self._activity
