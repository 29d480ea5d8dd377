"""A screen over a terminal emulator: it knows every cell, so it paints exactly and at once."""

import re
from collections.abc import Callable

import msgspec

from claudectl_protocol.sessions import Activity, Size
from claudectld.screen.cells import EmulatedCells
from claudectld.screen.emulator import MAX_COLUMNS, MAX_ROWS, Emulator
from claudectld.screen.library import VERSION
from claudectld.screen.queries import Passage, QuerySplitter
from claudectld.screen.raw import BadCheckpoint
from claudectld.screen.repaint import place, repaint
from claudectld.screen.replies import reply
from claudectld.screen.reports import StatusReports

_VERSION = 1
# They swallow the rest of a string whose beginning is not kept: an OSC ends at BEL, too.
_SWALLOWED_OSC = b"\x1b]9999;"
_SWALLOWED = b"\x1bX"
_OSC = b"\x1b]"
_CANCEL = b"\x18"
_ENDS = re.compile(rb"[\x18\x1a\x1b]")
_OSC_ENDS = re.compile(rb"[\x07\x18\x1a\x1b]")


class _Checkpoint(msgspec.Struct, frozen=True):
    version: int
    library: str
    """The version that `snapshot` is for."""
    size: Size
    snapshot: bytes
    painted: bytes
    """The same for any other version, without what has scrolled away."""
    rest: bytes
    held_bytes: int
    introducer: bytes
    string: bytes
    candidate: bytes
    report: bytes
    activity: Activity | None


class EmulatedScreen:
    """The Screen port over libghostty-vt. Everything may raise EmulatorError; the screen is of no use then.

    The emulator's own answers are never used: queries are cut out before it sees them and answered as replies.py
    says, with the real place of the cursor.
    """

    def __init__(
        self,
        size: Size,
        *,
        parse_report: Callable[[bytes], Activity | None],
        status_reply: bytes,
    ) -> None:
        """Args: parse_report: what the body of an OSC 7501 says; status_reply: what answers OSC 7501;?."""
        self._parse_report = parse_report
        self._status_reply = status_reply
        self._size = size
        self._emulator = Emulator(size)
        self._splitter = QuerySplitter()
        self._reports = StatusReports()
        self._activity: Activity | None = None
        # Of a sequence that is not finished: its length if it is the end of what was fed, and how it begins; or what
        # brings a terminal into the middle of it.
        self._held_bytes = 0
        self._introducer = b""
        self._rest = b""
        self._string = b""
        """What a terminal is to see for the string that is only waited to end."""

    @classmethod
    def restore(
        cls, checkpoint: bytes, *, parse_report: Callable[[bytes], Activity | None], status_reply: bytes
    ) -> "EmulatedScreen":
        """The screen that `checkpoint()` was called on. Raises BadCheckpoint, EmulatorError."""
        try:
            state = msgspec.msgpack.decode(checkpoint, type=_Checkpoint)
        except msgspec.DecodeError as error:
            raise BadCheckpoint(str(error)) from error
        if state.version != _VERSION:
            raise BadCheckpoint(f"version {state.version}, not {_VERSION}")
        screen = cls(state.size, parse_report=parse_report, status_reply=status_reply)
        screen._splitter.feed(state.candidate)
        screen._reports = StatusReports(state.report)
        screen._activity = state.activity
        screen._held_bytes, screen._introducer = state.held_bytes, state.introducer
        screen._rest, screen._string = state.rest, state.string
        if state.library == VERSION:
            screen._emulator.close()
            screen._emulator = Emulator(state.size, snapshot=state.snapshot)
        else:
            screen._emulator.feed(state.painted)
        return screen

    @property
    def size(self) -> Size:
        """The terminal's size."""
        return self._size

    def feed(self, data: bytes, *, live: bool) -> bytes:
        """Take bytes; return what must be typed back to answer the queries in them (nothing unless `live`)."""
        replies: list[bytes] = []
        for piece in self._splitter.feed(data):
            if isinstance(piece, Passage):
                self._print(piece.data)
                continue
            self._reports.pending = b""
            if self._held_bytes:
                # The query lies in the middle of what is not finished, and clients do not receive it.
                self._rest, self._held_bytes = self._emulator.continuation() or b"", 0
            if live:
                replies.append(reply(piece, self._size, self._status_reply, place(self._emulator)))
        return b"".join(replies)

    def resize(self, size: Size) -> None:
        """The terminal's size changed."""
        self._size = size
        self._emulator.resize(size)

    def repaint(self, history: int = 0) -> bytes:
        """Bytes that bring a terminal of the same size to this screen and these modes."""
        return repaint(self._emulator, history=history) + self._rest

    @property
    def cells(self) -> EmulatedCells:
        """What stands where."""
        return EmulatedCells(self._emulator)

    def trim(self) -> None:
        """Keep what has scrolled away in as little memory as possible."""
        self._emulator.compress()

    @property
    def held_bytes(self) -> int:
        """How much at the end of what was fed is an unfinished sequence."""
        return self._held_bytes + len(self._splitter.pending)

    @property
    def wants_jiggle(self) -> bool:
        """True when the terminal is larger than anything that is emulated."""
        return self._size.cols > MAX_COLUMNS or self._size.rows > MAX_ROWS

    @property
    def activity(self) -> Activity | None:
        """The last report of the child's own state, or None."""
        return self._activity

    def checkpoint(self) -> bytes:
        """Everything needed to go on from here in another process, also by another version of the library."""
        state = _Checkpoint(
            version=_VERSION,
            library=VERSION,
            size=self._size,
            snapshot=self._emulator.snapshot(),
            painted=repaint(self._emulator) + (self._emulator.continuation() or b""),
            introducer=self._introducer,
            rest=self._rest,
            held_bytes=self._held_bytes,
            string=self._string,
            candidate=self._splitter.pending,
            report=self._reports.pending,
            activity=self._activity,
        )
        return msgspec.msgpack.encode(state)

    def _print(self, data: bytes) -> None:
        for body in self._reports.feed(data):
            self._activity = self._parse_report(body) or self._activity
        if self._string:
            data = self._after_string(data)
            if self._string:
                return
        self._emulator.feed(data)
        unfinished = self._emulator.continuation()
        if unfinished is None:
            self._cut_string(data)
            return
        if data.endswith(unfinished):
            self._held_bytes, self._rest = len(unfinished), b""
        elif len(unfinished) == self._held_bytes + len(data) and unfinished.endswith(data):
            self._held_bytes = len(unfinished)
        else:
            self._held_bytes, self._rest = 0, unfinished
        self._introducer = unfinished[:2]

    def _cut_string(self, data: bytes) -> None:
        """End a string in the emulator that is too long to be kept: from then on it is only waited for its end."""
        last = data.rfind(b"\x1b")
        introducer = data[last : last + 2] if last >= 0 else self._introducer
        self._string = _SWALLOWED_OSC if introducer == _OSC else _SWALLOWED
        self._emulator.feed(_CANCEL)
        self._held_bytes, self._rest = 0, self._string

    def _after_string(self, data: bytes) -> bytes:
        """What follows the end of the string that was cut, nothing while it goes on."""
        end = (_OSC_ENDS if self._string == _SWALLOWED_OSC else _ENDS).search(data)
        if end is None:
            return b""
        self._string, self._rest = b"", b""
        return data[end.start() if end[0] == b"\x1b" else end.end() :]
