"""Following one live run: its record is read once into the screen, queries are answered, and those who watch are
woken. Clients are served from the record itself, so none of them can hold anything up.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread

from claudectl_protocol.faults import Rejected
from claudectl_protocol.sessions import Activity, Exit, RunId, SessionId, Size
from claudectld.audience import Audience
from claudectld.ports import InputFull, KeeperGone, KeeperTerminal, PrivateStore, Records, Screen

log = logging.getLogger(__name__)

CHUNK_BYTES = 60 * 1024
MAX_ANSWERS = 256
"""Answers that may wait for a child that does not read; of more, the oldest are given up."""
CHECKPOINT_BYTES = 1024 * 1024
CHECKPOINT_S = 10.0


class Screens(Protocol):
    """Makes a screen: a fresh one, or from a checkpoint (None if that cannot be used)."""

    def fresh(self, size: Size) -> Screen: ...
    def restored(self, checkpoint: bytes) -> Screen | None: ...


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
        self._saved_offset = 0
        self._last_report: Activity | None = None
        self._answers: deque[tuple[int, bytes]] = deque(maxlen=MAX_ANSWERS)
        self._asked = anyio.Event()

    @property
    def screen(self) -> Screen:
        """The screen; there is none before `open`."""
        assert self._screen is not None
        return self._screen

    async def open(self) -> None:
        """Rebuild the screen from its checkpoint and the record after it. Nothing is answered."""
        found = await anyio.to_thread.run_sync(self._private.load_checkpoint, self.run)
        if found is not None and found[0] <= self.size_bytes:
            self._screen = self._screens.restored(found[1])
        if found is not None and self._screen is not None:
            self.offset = found[0]
        changes = self._records.sizes(self.session, self.run)
        size = changes[0].size if changes else self.size
        if self._screen is None:
            self._screen = self._screens.fresh(size)
        self._saved_offset = self.offset
        for change in changes:
            # A change right where the checkpoint lies may be in it or not: no byte lies between, so twice is once.
            if change.offset >= self._saved_offset:
                await self._read(min(change.offset, self.size_bytes))
                if change.size != size:
                    self.screen.resize(change.size)
            size = change.size
        await self._read(self.size_bytes)
        self.size = size

    async def follow(self) -> None:
        """Read on as the record grows, until the run has ended. Cancelled, it may be called again."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._checkpoints)
            tasks.start_soon(self._type_answers)
            while self.exit is None or self.offset < self.size_bytes:
                news = self._news
                await self._read(self.size_bytes)
                if self.exit is None and self.offset >= self.size_bytes:
                    await self.watch()
                    await news.wait()
            tasks.cancel_scope.cancel()
        self._wake()

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

    async def beyond(self, offset: int) -> bool:
        """Wait until the record is longer than `offset`; False when it never will be."""
        while self.size_bytes <= offset:
            if self.exit is not None:
                return False
            await self._news.wait()
        return True

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _read(self, until: int) -> None:
        """Take the record into the screen up to an offset; what is before `live_from` is only replayed."""
        while self.offset < until:
            live = self.offset >= self._live_from
            end = until if live else min(until, self._live_from)
            start, data = self._records.read(
                self.session, self.run, self.offset, min(CHUNK_BYTES, end - self.offset)
            )
            if not data:
                # A gap up to the end, or segments that are gone: nothing more can be read.
                self.offset = end
                continue
            data = data[: max(0, end - start)]
            self.offset = max(start + len(data), self.offset)
            answer = self.screen.feed(data, live=live)
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
                    await self._news.wait()
            if self.offset != self._saved_offset:
                await self._checkpoint()

    async def _checkpoint(self) -> None:
        offset, data = self.offset, self.screen.checkpoint()
        try:
            await anyio.to_thread.run_sync(self._private.save_checkpoint, self.run, offset, data)
        except Rejected as error:
            log.warning(
                "session=%s run=%s event=checkpoint_failed fault=%r", self.session, self.run, error.fault
            )
        self._saved_offset = offset
