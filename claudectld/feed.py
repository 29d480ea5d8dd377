"""Following one live run: its record is read once into the screen, queries are answered, and those who watch are
woken. Clients are served from the record itself, so none of them can hold anything up.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread

from claudectl_protocol.faults import Rejected
from claudectl_protocol.sessions import Activity, Exit, RunId, SessionId, Size
from claudectld.audience import Audience
from claudectld.ports import InputFull, KeeperGone, KeeperTerminal, PrivateStore, Records, Screen, Screens
from claudectld.rebuilding import rebuild

log = logging.getLogger(__name__)

CHUNK_BYTES = 60 * 1024
MAX_ANSWERS = 256
"""Answers that may wait for a child that does not read; of more, the oldest are given up."""
CHECKPOINT_BYTES = 1024 * 1024
CHECKPOINT_S = 10.0
CHECKPOINT_PAUSE = 20.0
"""So many times as long as the last checkpoint took, none is made: else a flood would be spent on them."""
UNWATCHED_S = 0.1
"""How late what a run prints may be read while nobody looks: many that print a little then cost little."""
QUIET_S = 5.0
"""A run that has printed nothing for so long, and at which nobody looks, gives memory back."""


class Feed:
    """A live run as the daemon knows it: how long its record is, what its screen shows, whether it has ended."""

    def __init__(
        self,
        session: SessionId,
        run: RunId,
        size: Size,
        *,
        live_from: int,
        records: Records,
        private: PrivateStore,
        keeper: Callable[[], KeeperTerminal],
        screens: Screens,
        reported: Callable[[RunId, Activity], None],
    ) -> None:
        """Bytes before `live_from` were printed before this daemon could have answered: they are only replayed."""
        self.session = session
        self.run = run
        self.size = size
        self.size_bytes = live_from
        self.offset = 0
        self.exit: Exit | None = None
        self.audience = Audience()
        self._live_from = live_from
        self._records = records
        self._private = private
        self._keeper = keeper
        self._screens = screens
        self._reported = reported
        self._screen: Screen | None = None
        self._news = anyio.Event()
        self._painted = anyio.Event()
        self._opened = anyio.Event()
        self._piece = (0, b"")
        self._waiters = 0
        self._attention = anyio.Event()
        """Set while somebody waits for what the run prints."""
        self._saved_offset = 0
        self._last_report: Activity | None = None
        self._answers: deque[tuple[int, bytes]] = deque(maxlen=MAX_ANSWERS)
        self._asked = anyio.Event()

    @property
    def screen(self) -> Screen:
        """The screen; there is none before it is `opened`."""
        assert self._screen is not None
        return self._screen

    async def opened(self) -> None:
        """Wait until there is a screen."""
        await self._opened.wait()

    async def open(self, limiter: anyio.CapacityLimiter) -> None:
        """Rebuild the screen as it was when the daemon began to follow the run; `limiter` is for worker threads."""
        try:
            rebuilt = await anyio.to_thread.run_sync(
                partial(
                    rebuild,
                    self.session,
                    self.run,
                    until=self._live_from,
                    size=self.size,
                    records=self._records,
                    private=self._private,
                    screens=self._screens,
                ),
                limiter=limiter,
            )
            self._screen, self.offset, self._saved_offset, self.size = rebuilt
            self._notice_report()
        finally:
            self._opened.set()

    async def follow(self) -> None:
        """Read on as the record grows, until the run has ended. Cancelled, it may be called again."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._checkpoints)
            tasks.start_soon(self._type_answers)
            while self.exit is None or self.offset < self.size_bytes:
                news = self._news
                await self._read(self.size_bytes)
                if self.exit is None and self.offset >= self.size_bytes:
                    await self._rest()
                    await self.watch()
                    await self._wait_for(news)
            tasks.cancel_scope.cancel()
        self._wake()
        self._wake_watchers()

    async def _rest(self) -> None:
        """Before asking for more: what nobody waits for is read a little later, and more of it at once."""
        if self.audience.is_empty and not self._attention.is_set():
            with anyio.move_on_after(UNWATCHED_S):
                await self._attention.wait()

    async def _wait_for(self, news: anyio.Event) -> None:
        with anyio.move_on_after(QUIET_S):
            await news.wait()
            return
        if self.audience.is_empty:
            self._piece = (0, b"")
            self.screen.trim()
        await news.wait()

    async def watch(self) -> None:
        """Ask the keeper for the next growth. A keeper that is gone will be asked again by its successor's arrival."""
        try:
            await self._keeper().watch(self.run, self.size_bytes)
        except KeeperGone:
            pass

    def grown(self, size_bytes: int) -> None:
        """The record is at least this long."""
        if size_bytes > self.size_bytes:
            self.size_bytes = size_bytes
            self._wake()

    def finish(self, exit_: Exit, size_bytes: int) -> None:
        """The run's main process has ended; its record had this length then."""
        self.exit = exit_
        self.size_bytes = max(self.size_bytes, size_bytes)
        self._wake()

    def resized(self, size: Size) -> None:
        """The terminal has another size now."""
        self.size = size
        self.screen.resize(size)
        self._wake()
        self._wake_watchers()

    def read(self, offset: int, size_bytes: int = CHUNK_BYTES) -> tuple[int, bytes]:
        """As Records.read, at most CHUNK_BYTES. The last piece is remembered: all who follow the run want the same."""
        start, data = self._piece
        if not start <= offset < start + len(data):
            start, data = self._piece = self._records.read(self.session, self.run, offset, CHUNK_BYTES)
            offset = max(offset, start)
        return offset, data[offset - start : offset - start + size_bytes]

    async def beyond(self, offset: int, size: Size | None = None) -> bool:
        """Wait until the record is longer than `offset`, or the terminal has another size than `size`; False when
        neither will ever be."""
        while self.size_bytes <= offset and size in (None, self.size):
            if self.exit is not None:
                return False
            with self._waited_for():
                await self._news.wait()
        return True

    async def painted(self, offset: int, size: Size) -> bool:
        """Wait until the screen shows more than what was printed before `offset`, or has another size; False when it
        never will."""
        while self.offset <= offset and size == self.size:
            if self.exit is not None and self.offset >= self.size_bytes:
                return False
            with self._waited_for():
                await self._painted.wait()
        return True

    @contextmanager
    def _waited_for(self) -> Iterator[None]:
        self._waiters += 1
        self._attention.set()
        try:
            yield
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._attention = anyio.Event()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    def _wake_watchers(self) -> None:
        self._painted.set()
        self._painted = anyio.Event()

    async def _read(self, until: int) -> None:
        """Take what was printed up to an offset into the screen, and note what its queries are to be answered."""
        while self.offset < until:
            start, data = self.read(self.offset, until - self.offset)
            if not data:
                # A gap up to the end, or segments that are gone: nothing more can be read.
                self.offset = until
                continue
            data = data[: max(0, until - start)]
            self.offset = max(start + len(data), self.offset)
            answer = self.screen.feed(data, live=True)
            self._wake_watchers()
            if answer:
                self._answers.append((self.offset, answer))
                self._asked.set()
            self._notice_report()
            await anyio.lowlevel.checkpoint()

    async def _type_answers(self) -> None:
        """Type answers in the order of their queries. A child that does not read them holds up nothing else."""
        while True:
            while self._answers:
                offset, answer = self._answers.popleft()
                try:
                    # Named by its place in the record: whatever happens, a query is answered at most once.
                    await self._keeper().type(self.run, f"answer:{offset}", answer)
                except (KeeperGone, InputFull) as error:
                    log.warning(
                        "session=%s run=%s event=query_unanswered error=%s", self.session, self.run, error
                    )
            self._asked = anyio.Event()
            await self._asked.wait()

    def _notice_report(self) -> None:
        activity = self.screen.activity
        if activity is not None and activity != self._last_report:
            self._last_report = activity
            self._reported(self.run, activity)

    async def _checkpoints(self) -> None:
        while True:
            with anyio.move_on_after(CHECKPOINT_S):
                while self.offset - self._saved_offset < CHECKPOINT_BYTES:
                    await self._painted.wait()
            if self.offset != self._saved_offset:
                began = anyio.current_time()
                await self._checkpoint()
                await anyio.sleep(CHECKPOINT_PAUSE * (anyio.current_time() - began))

    async def _checkpoint(self) -> None:
        offset, data = self.offset, self.screen.checkpoint()
        try:
            await anyio.to_thread.run_sync(self._private.save_checkpoint, self.run, offset, data)
        except Rejected as error:
            log.warning(
                "session=%s run=%s event=checkpoint_failed fault=%r", self.session, self.run, error.fault
            )
        self._saved_offset = offset
