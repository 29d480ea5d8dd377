"""One client in one session's terminal: the record flows to it from its own offset, its keys flow to the keeper."""

import math
import uuid
from typing import Protocol

import anyio

from claudectl_protocol.calls import Attach, Attached
from claudectl_protocol.framing import LocalProtocolError
from claudectl_protocol.sessions import Exit, RunId, Size
from claudectl_protocol.stream import End, EndReason
from claudectld.feed import Feed
from claudectld.keystrokes import Keystrokes
from claudectld.ports import Cells, InputFull, KeeperGone, Records
from claudectld.screen.queries import Passage, QuerySplitter

LAG_BYTES = 1024 * 1024
"""A client further behind than this gets a repaint instead of history."""
SETTLE_S = 0.15
"""After so long without another change a window has the size that was meant."""
FRAME_S = 0.05
"""Between two pictures for a client whose window has another size than the session."""
FAREWELL_S = 1.0
"""How long a client that does not read can hold up a daemon that leaves."""
JIGGLE_S = 0.1
"""At least between two changes of size: programs that compare sizes miss changes that come back to back."""
REPAINT_S = 1.0
"""How long after that a program on a busy machine may take to begin to repaint."""


class Wire(Protocol):
    """What an attachment needs of its connection; each method waits until the client's socket has taken it."""

    async def data(self, offset: int, data: bytes) -> None: ...
    async def repaint(self, offset: int, data: bytes) -> None: ...
    async def end(self, end: End) -> None: ...


class Terminal(Protocol):
    """What attached clients do to a session's terminal."""

    async def type(self, run: RunId, batch: str, data: bytes) -> bool: ...
    async def resize(self, feed: Feed, size: Size) -> None: ...


class Attachment:
    """An attached client."""

    def __init__(
        self,
        call: Attach,
        feed: Feed,
        *,
        wire: Wire,
        terminal: Terminal,
        records: Records,
    ) -> None:
        self._feed = feed
        self._wire = wire
        self._terminal = terminal
        self._records = records
        self._audience = feed.audience
        self._size = call.size
        """None for a client that is no terminal: it gets all output as it is."""
        self._history = call.history
        self._read_only = call.read_only
        self._keystrokes = Keystrokes()
        self._batches = 0
        self._name = uuid.uuid4().hex
        self._stale = False
        self._waiting = anyio.CancelScope()
        self._unsettled: Size | None = None
        """The session's size before the client's window began to change, while that may still go on."""
        self._settles_at = math.inf
        resumes = call.run == feed.run and call.offset is not None
        self._resume_at = call.offset if resumes and self._can_resume(call.offset) else None

    def _can_resume(self, offset: int | None) -> bool:
        if offset is None or offset > self._feed.size_bytes:
            return False
        start, _ = self._records.extent(self._feed.session, self._feed.run)
        return offset >= start and self._feed.size_bytes - offset <= LAG_BYTES

    def attached(self, name: str, suspend_key: bool) -> Attached:
        """The reply that opens the stream."""
        return Attached(
            session=self._feed.session,
            name=name,
            run=self._feed.run,
            offset=self._feed.offset if self._resume_at is None else self._resume_at,
            size=self._feed.size,
            resumed=self._resume_at is not None,
            suspend_key=suspend_key,
        )

    @property
    def _fits(self) -> bool:
        """True when output means the same in the client's window as in the session's terminal."""
        mine, its = self._size, self._feed.size
        return mine is None or (mine.cols, mine.rows) == (its.cols, its.rows)

    @property
    def _part(self) -> Cells | None:
        """What to choose from for a client that can show only a part of the screen, or shows it in a larger window;
        None for one that is to get the output itself, also because there are no cells."""
        return None if self._fits else self._feed.screen.cells

    async def serve(self) -> None:
        """Send until the run has ended or the connection breaks (the wire then raises)."""
        if self._read_only:
            self._audience.watch(self)
        else:
            self._audience.join(self)
        try:
            await self._flow()
        finally:
            if not self._read_only:
                # A paste that has reached the child in part is given its end.
                with anyio.move_on_after(FAREWELL_S, shield=True):
                    await self._type(self._keystrokes.close())
            self._audience.leave(self)

    async def dismiss(self) -> None:
        """End the stream because somebody told the daemon to leave: the client is not to bring it back."""
        with anyio.move_on_after(FAREWELL_S):
            try:
                await self._wire.end(End(reason=EndReason.SHUTTING_DOWN))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, LocalProtocolError):
                # It has gone, or its stream has ended by itself.
                pass

    async def _flow(self) -> None:
        await self._feed.opened()
        changed = not self._read_only and self._audience.leads(self) and await self._take_size()
        if self._resume_at is not None and self._part is None:
            cursor = self._resume_at
        elif self._part is not None:
            cursor = self._feed.offset
        else:
            cursor = await self._repaint(self._history)
            if not self._read_only and not changed and self._feed.screen.wants_jiggle:
                await self._jiggle()
        splitter = QuerySplitter(cursor)
        jiggles = False
        while await self._more(cursor):
            jiggles = self._settle() or jiggles
            if self._part is not None:
                self._stale = await self._show_part()
                if not self._stale:
                    break
            if self._stale or self._feed.size_bytes - cursor > LAG_BYTES:
                self._stale = False
                cursor = await self._repaint()
                splitter = QuerySplitter(cursor)
                if jiggles:
                    jiggles = False
                    await self._jiggle()
                continue
            start, data = self._feed.read(cursor)
            if not data:
                cursor = self._feed.size_bytes
                continue
            if start != cursor:
                # A gap: what was held back before it has lost its rest.
                splitter = QuerySplitter(start)
            cursor = start + len(data)
            await self._send(splitter, data)
        exit_ = self._feed.exit
        await self._wire.end(End(reason=EndReason.EXITED, exit=exit_ if exit_ is not None else Exit()))

    async def _more(self, cursor: int) -> bool:
        """Wait until there is something to send; False when there never will be."""
        with anyio.CancelScope(deadline=self._settles_at) as self._waiting:
            news = self._stale or self._part is not None
            return news or await self._feed.beyond(cursor, self._feed.size)
        return True

    async def _show_part(self) -> bool:
        """Paint what fits into the client's window, again and again, until the sizes agree; False when the run has
        ended before."""
        while (cells := self._part) is not None and self._size is not None:
            offset, size = self._feed.offset, self._feed.size
            await self._wire.repaint(offset - self._feed.screen.held_bytes, cells.fitted(self._size))
            await anyio.sleep(FRAME_S)
            with anyio.CancelScope() as self._waiting:
                if self._stale:
                    # The window changed while the picture was on its way.
                    self._stale = False
                elif not await self._feed.painted(offset, size):
                    return False
        return True

    async def _send(self, splitter: QuerySplitter, data: bytes) -> None:
        passages = []
        end = None
        for piece in splitter.feed(data):
            if isinstance(piece, Passage):
                passages.append(piece.data)
            end = piece.end
        if end is not None and passages:
            await self._wire.data(end, b"".join(passages))

    async def _repaint(self, history: int = 0) -> int:
        """Paint the screen as it is now; data follows from the offset that the screen has reached."""
        offset = self._feed.offset - self._feed.screen.held_bytes
        await self._wire.repaint(offset, self._feed.screen.repaint(history))
        return offset

    async def _jiggle(self) -> None:
        # One at a time: what another one has changed for a moment is not the size to go back to.
        async with self._audience.jiggling:
            size = self._feed.size
            rows = size.rows - 1 if size.rows > 1 else size.rows + 1
            changed = Size(cols=size.cols, rows=rows, xpixel=size.xpixel, ypixel=size.ypixel)
            try:
                await self._terminal.resize(self._feed, changed)
                # A program that repaints says so by printing; one that does not is given time to see the change.
                _, offset = self._records.extent(self._feed.session, self._feed.run)
                await anyio.sleep(JIGGLE_S)
                with anyio.move_on_after(REPAINT_S):
                    await self._feed.beyond(offset)
            finally:
                # Also when the client has gone meanwhile: the size is the session's, not its own.
                with anyio.move_on_after(FAREWELL_S, shield=True):
                    if self._feed.size in (changed, size):
                        await self._terminal.resize(self._feed, size)

    async def typed(self, data: bytes, *, more: bool) -> None:
        """The client typed. `more` says that further bytes are already waiting, so that a lone ESC may yet become
        a paste. Returns when the child's terminal has taken it; while no keeper answers, keys are dropped.
        """
        if self._read_only:
            return
        self._audience.lead(self)
        # Also of one that leads already, because the client whose size it was has gone.
        await self._take_size()
        batches = self._keystrokes.feed(data)
        if not more:
            batches = [*batches, *self._keystrokes.flush()]
        await self._type(batches)

    async def _type(self, batches: list[bytes]) -> None:
        if not batches:
            return
        await self._audience.hold(self)
        try:
            for batch in batches:
                self._batches += 1
                await self._terminal.type(self._feed.run, f"{self._name}:{self._batches}", batch)
        except (KeeperGone, InputFull):
            # What cannot be typed now is not typed later, when it may mean something else.
            pass
        finally:
            if not self._keystrokes.inside_paste:
                self._audience.release(self)

    async def _take_size(self) -> bool:
        """Give the session the client's size; False when it has that already."""
        if self._size is None or self._size == self._feed.size:
            return False
        await self._terminal.resize(self._feed, self._size)
        return True

    async def resized(self, size: Size) -> None:
        """The client's window changed, and what it showed may be lost even if the size is what it was before."""
        self._size = size
        if self._read_only or not self._audience.leads(self):
            self._stale = True
        else:
            if self._unsettled is None:
                self._unsettled = self._feed.size
            self._settles_at = anyio.current_time() + SETTLE_S
            await self._take_size()
        self._waiting.cancel()

    def _settle(self) -> bool:
        """Have the screen painted anew, once, when the window has stopped changing: always where there are cells to
        paint from, because every terminal folds lines in its own way. True when the child has to paint, too: the window
        is as it was, so a busy child has seen no change, while what did not fit in between is lost.
        """
        if anyio.current_time() < self._settles_at:
            return False
        before, self._unsettled = self._unsettled, None
        self._settles_at = math.inf
        has_come_back = before == self._feed.size
        has_cells = self._feed.screen.cells is not None
        self._stale = self._stale or has_come_back or has_cells
        return has_come_back and (has_cells or self._feed.screen.wants_jiggle)
