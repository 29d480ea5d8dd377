"""One attached client against fakes of record, keeper and screen: when it gets output, and when pictures."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.lowlevel
import pytest

from claudectl_protocol.calls import Attach, Target
from claudectl_protocol.sessions import Exit, RunId, SessionId, Size
from claudectl_protocol.stream import End, EndReason
from claudectld import feed as feed_module
from claudectld.attachment import Attachment
from claudectld.feed import Feed
from claudectld.ports import RenderedLog, Screen
from tests.fakes.keeper import FakeKeeper
from tests.fakes.records import MemoryRecords
from tests.fakes.screen import TapeScreen
from tests.fakes.stores import MemoryPrivateStore

pytestmark = pytest.mark.anyio

SESSION, RUN = SessionId("s"), RunId("r")
WIDE = Size(cols=120, rows=40)
SMALL = Size(cols=80, rows=24)
WAIT_S = 20.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Window(TapeScreen):
    """A tape that has cells: what fits of it is a word that says for whom it was painted, and when."""

    def __init__(self) -> None:
        super().__init__(parse_report=lambda _: None, status_reply=b"")
        self.trims = anyio.Event()
        self._all = b""

    @property
    def cells(self) -> "Window":
        return self

    def feed(self, data: bytes, *, live: bool) -> bytes:
        self._all += data
        return super().feed(data, live=live)

    def fitted(self, size: Size) -> bytes:
        return b"%dx%d of %s" % (size.cols, size.rows, self._all)

    def rows(self, *, styled: bool = False) -> tuple[str, ...]:
        return (self._all.decode(),)

    def repaint(self, history: int = 0) -> bytes:
        return b"all of %s, %d lines of history" % (self._all, history)

    @property
    def wants_jiggle(self) -> bool:
        return False

    def trim(self) -> None:
        self.trims.set()


class Windows:
    """Makes one window."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def fresh(self, size: Size) -> Screen:
        return self._screen

    def restored(self, checkpoint: bytes) -> Screen | None:
        return None

    def log(self, size: Size) -> RenderedLog | None:
        return None


class Painted(NamedTuple):
    """A repaint frame."""

    data: bytes


class Output(NamedTuple):
    """A data frame."""

    data: bytes


class ListeningWire:
    """What a client's connection was given, in order."""

    def __init__(self) -> None:
        self._tell, self._told = anyio.create_memory_object_stream[Painted | Output | End](math.inf)

    async def data(self, offset: int, data: bytes) -> None:
        self._tell.send_nowait(Output(data))

    async def repaint(self, offset: int, data: bytes) -> None:
        self._tell.send_nowait(Painted(data))

    async def end(self, end: End) -> None:
        self._tell.send_nowait(end)

    async def next(self) -> Painted | Output | End:
        return await self._told.receive()

    async def until(self, wanted: Painted | Output | End) -> None:
        """Wait for a frame; others before it are as good as unseen."""
        while await self.next() != wanted:
            pass

    def close(self) -> None:
        self._tell.close()
        self._told.close()


class Stage:
    """One run, its feed, and clients around it."""

    def __init__(self, screen: Screen | None = None) -> None:
        self.records = MemoryRecords()
        self.record = self.records.record(SESSION, RUN)
        self.record.resize(WIDE)
        self.keeper = FakeKeeper()
        self.screen = screen or Window()
        self.feed = Feed(
            SESSION,
            RUN,
            WIDE,
            live_from=0,
            records=self.records,
            private=MemoryPrivateStore(),
            keeper=lambda: self.keeper,
            screens=Windows(self.screen),
            reported=lambda *_: None,
        )
        self.resizes: list[Size] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[anyio.abc.TaskGroup]:
        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as tasks:
                await self.feed.open(anyio.CapacityLimiter(1))
                tasks.start_soon(self.feed.follow)
                yield tasks
                tasks.cancel_scope.cancel()
        self.keeper.close()

    def print(self, data: bytes) -> None:
        self.record.append(data)
        self.feed.grown(self.record.end)

    async def type(self, run: RunId, batch: str, data: bytes) -> bool:
        return True

    async def resize(self, feed: Feed, size: Size) -> None:
        self.resizes.append(size)
        feed.resized(size)

    def attachment(
        self, wire: ListeningWire, size: Size | None, *, read_only: bool = False, history: int = 0
    ) -> Attachment:
        call = Attach(target=Target(text="x", cwd="/"), size=size, read_only=read_only, history=history)
        return Attachment(call, self.feed, wire=wire, terminal=self, records=self.records)


async def test_a_smaller_client_gets_pictures_of_what_fits_and_no_output() -> None:
    stage, wire = Stage(), ListeningWire()
    async with stage.open() as tasks:
        tasks.start_soon(stage.attachment(wire, SMALL, read_only=True).serve)
        assert await wire.next() == Painted(b"80x24 of ")

        stage.print(b"one")
        assert await wire.next() == Painted(b"80x24 of one")
        stage.print(b" two")
        assert await wire.next() == Painted(b"80x24 of one two")
    assert stage.resizes == []
    wire.close()


async def test_a_client_of_another_size_is_not_painted_while_nothing_changes() -> None:
    stage, wire, other = Stage(), ListeningWire(), ListeningWire()
    async with stage.open() as tasks:
        tasks.start_soon(stage.attachment(wire, SMALL, read_only=True).serve)
        tasks.start_soon(stage.attachment(other, WIDE, read_only=True).serve)
        await wire.next()
        stage.print(b"one")
        await wire.until(Painted(b"80x24 of one"))
        await other.until(Output(b"one"))
        # Nothing says that no frame comes; three frames of another client are three chances for one.
        for word in (b"two", b"three"):
            stage.print(word)
            await wire.next()
            await other.until(Output(word))

        assert wire._told.statistics().current_buffer_used == 0
    wire.close()
    other.close()


async def test_a_smaller_client_that_types_takes_the_size_and_then_gets_output() -> None:
    stage, wire, first = Stage(), ListeningWire(), ListeningWire()
    async with stage.open() as tasks:
        tasks.start_soon(stage.attachment(first, WIDE).serve)
        assert await first.next() == Painted(b"all of , 0 lines of history")
        second = stage.attachment(wire, SMALL)
        tasks.start_soon(second.serve)
        assert await wire.next() == Painted(b"80x24 of ")

        await second.typed(b"x", more=False)

        await wire.until(Painted(b"all of , 0 lines of history"))
        assert await first.next() == Painted(b"120x40 of ")
        stage.print(b"one")
        await wire.until(Output(b"one"))
        await first.until(Painted(b"120x40 of one"))
    assert stage.resizes == [SMALL]
    wire.close()
    first.close()


async def test_a_window_that_changes_is_painted_anew_for_who_only_watches() -> None:
    stage, wire = Stage(), ListeningWire()
    async with stage.open() as tasks:
        watcher = stage.attachment(wire, SMALL, read_only=True)
        tasks.start_soon(watcher.serve)
        await wire.next()

        await watcher.resized(Size(cols=40, rows=12))
        await wire.until(Painted(b"40x12 of "))
        await watcher.resized(WIDE)
        await wire.until(Painted(b"all of , 0 lines of history"))
        stage.print(b"one")
        await wire.until(Output(b"one"))
    assert stage.resizes == []
    wire.close()


async def test_the_end_of_the_run_reaches_a_client_of_another_size_after_the_last_picture() -> None:
    stage, wire = Stage(), ListeningWire()
    async with stage.open() as tasks:
        tasks.start_soon(stage.attachment(wire, SMALL, read_only=True).serve)
        await wire.next()
        stage.record.append(b"last words")

        stage.feed.finish(Exit(code=3), stage.record.end)

        await wire.until(Painted(b"80x24 of last words"))
        assert await wire.next() == End(reason=EndReason.EXITED, exit=Exit(code=3))
    wire.close()


async def test_a_client_that_is_no_terminal_gets_output_whatever_the_size() -> None:
    stage, wire = Stage(), ListeningWire()
    async with stage.open() as tasks:
        tasks.start_soon(stage.attachment(wire, None, read_only=True).serve)
        await wire.next()
        stage.print(b"one")

        assert await wire.next() == Output(b"one")
    wire.close()


async def test_a_screen_without_cells_is_followed_as_it_is_by_clients_of_every_size() -> None:
    tape = TapeScreen(parse_report=lambda _: None, status_reply=b"")
    stage, wire = Stage(tape), ListeningWire()
    async with stage.open() as tasks:
        tasks.start_soon(stage.attachment(wire, SMALL, read_only=True).serve)
        await wire.next()
        stage.print(b"one")

        await wire.until(Output(b"one"))
    wire.close()


async def test_history_comes_with_the_first_repaint_only() -> None:
    stage, wire = Stage(), ListeningWire()
    async with stage.open() as tasks:
        client = stage.attachment(wire, WIDE, history=500)
        tasks.start_soon(client.serve)
        assert await wire.next() == Painted(b"all of , 500 lines of history")

        await client.resized(WIDE)

        await wire.until(Painted(b"all of , 0 lines of history"))
    wire.close()


async def test_a_screen_at_which_nobody_looks_gives_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "QUIET_S", 0.0)
    window = Window()
    stage = Stage(window)
    async with stage.open():
        await window.trims.wait()


async def test_a_screen_that_somebody_watches_keeps_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "QUIET_S", 0.0)
    window = Window()
    stage, wire = Stage(window), ListeningWire()
    stage.feed.audience.watch(wire)
    async with stage.open():
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert not window.trims.is_set()
        stage.feed.audience.leave(wire)
        stage.print(b"one")
        await window.trims.wait()
    wire.close()
