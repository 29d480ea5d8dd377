"""A record on its way to a client: as it is, and as lines from an emulator that is made of values."""

import anyio
import pytest

from claudectl_protocol.calls import Logs, LogsStarted, Target
from claudectl_protocol.sessions import Exit, RunId, SessionId, Size
from claudectl_protocol.stream import MAX_OUTPUT_BYTES, End, EndReason
from claudectld.logs import open_log
from claudectld.ports import RenderedLog, Screen
from tests.fakes.records import MemoryRecord, MemoryRecords

pytestmark = pytest.mark.anyio

SESSION, RUN = SessionId("s"), RunId("r")
SIZE = Size(cols=80, rows=24)
OTHER = Size(cols=40, rows=12)
WHOLE = Logs(target=Target(text="x", cwd="/"), rendered=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Typewriter:
    """Says which bytes and sizes it was given, as lines."""

    def __init__(self, size: Size) -> None:
        self._said = [f"{size.cols}x{size.rows}"]
        self._pending = b""

    def feed(self, data: bytes) -> list[str]:
        *whole, self._pending = (self._pending + data).split(b"\n")
        self._said += [line.decode() for line in whole]
        said, self._said = self._said, []
        return said

    def resize(self, size: Size) -> None:
        self._said.append(f"{size.cols}x{size.rows}")

    def finish(self) -> list[str]:
        return [*self._said, self._pending.decode()]


class Typewriters:
    """Renders with typewriters, or not at all."""

    def __init__(self, *, renders: bool = True) -> None:
        self._renders = renders

    def fresh(self, size: Size) -> Screen:
        raise NotImplementedError

    def restored(self, checkpoint: bytes) -> Screen | None:
        raise NotImplementedError

    def log(self, size: Size) -> RenderedLog | None:
        return Typewriter(size) if self._renders else None


class Reader:
    """A wire that keeps what comes."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.ended: End | None = None

    async def data(self, offset: int, data: bytes) -> None:
        assert len(data) <= MAX_OUTPUT_BYTES
        assert not self.frames or offset >= self.frames[-1][0]
        self.frames.append((offset, data))

    async def repaint(self, offset: int, data: bytes) -> None:
        raise NotImplementedError

    async def end(self, end: End) -> None:
        self.ended = end

    @property
    def text(self) -> str:
        return b"".join(data for _, data in self.frames).decode()


async def read(
    records: MemoryRecords, call: Logs = WHOLE, screens: Typewriters | None = None
) -> tuple[LogsStarted, Reader]:
    """The reply to a call, and what the wire was given."""
    reader = Reader()
    started, flow = open_log(
        call,
        SESSION,
        RUN,
        size=SIZE,
        feed=None,
        records=records,
        screens=screens or Typewriters(),
        wire=reader,
    )
    with anyio.fail_after(20):
        await flow()
    return started, reader


def printed(*parts: bytes | Size, code: int | None = None) -> tuple[MemoryRecords, MemoryRecord]:
    """A record of outputs and sizes in their order."""
    records = MemoryRecords()
    record = records.record(SESSION, RUN)
    for part in parts:
        if isinstance(part, Size):
            record.resize(part)
        else:
            record.append(part)
    record.exit = None if code is None else Exit(code=code)
    return records, record


async def test_lines_come_with_every_size_at_its_place() -> None:
    records, _ = printed(SIZE, b"one\ntwo\n", OTHER, b"three\n", code=3)

    started, reader = await read(records)

    assert started.rendered
    assert reader.text == "80x24\n80x24\none\ntwo\n40x12\nthree\n\n"
    assert reader.ended == End(reason=EndReason.COMPLETE, exit=Exit(code=3))


async def test_without_an_emulator_the_record_itself_comes_and_the_reply_says_so() -> None:
    records, _ = printed(SIZE, b"one\n\x1b[1mtwo\n")

    started, reader = await read(records, screens=Typewriters(renders=False))

    assert not started.rendered
    assert reader.text == "one\n\x1b[1mtwo\n"


async def test_a_tail_begins_with_the_size_it_was_printed_at() -> None:
    records, _ = printed(SIZE, b"one\n", OTHER, b"two\nthree\n")

    started, reader = await read(records, Logs(target=WHOLE.target, rendered=True, tail_bytes=6))

    assert (started.start, started.end) == (8, 14)
    assert reader.text == "40x12\nthree\n\n"


async def test_a_gap_and_segments_that_are_gone_cost_no_other_line() -> None:
    records, record = printed(SIZE, b"old\n", b"one\n")
    record.lose(1000)
    record.append(b"two\n")
    record.drop_before(4)

    started, reader = await read(records)

    assert started.start == 4
    assert reader.text == "80x24\none\ntwo\n\n"


async def test_terminal_queries_are_no_text_of_the_log() -> None:
    records, _ = printed(SIZE, b"a\x1b[c", b"b\n")

    _, reader = await read(records)

    assert reader.text == "80x24\n80x24\nab\n\n"


async def test_lines_hold_no_control_characters() -> None:
    records, _ = printed(SIZE, "a\u202eb\x9bc\n".encode())

    _, reader = await read(records)

    assert "\u202e" not in reader.text
    assert "\x9b" not in reader.text


async def test_many_lines_come_in_frames_that_fit() -> None:
    line = b"x" * 99 + b"\n"
    records, _ = printed(SIZE, *[line * 1000] * 20)

    _, reader = await read(records)

    assert reader.text.count("x" * 99 + "\n") == 20_000
