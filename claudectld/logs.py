"""Sending a run's record to a client: the bytes as they are, or the lines that a terminal would show."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio.to_thread

from claudectl_protocol.calls import Logs, LogsStarted
from claudectl_protocol.sessions import RunId, SessionId, Size
from claudectl_protocol.stream import MAX_OUTPUT_BYTES, End, EndReason
from claudectl_protocol.text import plain
from claudectld.attachment import Wire
from claudectld.feed import Feed
from claudectld.ports import Records, RenderedLog, Screens
from claudectld.screen.queries import Passage, QuerySplitter

CHUNK_BYTES = 256 * 1024


def open_log(
    call: Logs,
    session: SessionId,
    run: RunId,
    *,
    size: Size,
    feed: Feed | None,
    records: Records,
    screens: Screens,
    wire: Wire,
) -> tuple[LogsStarted, Callable[[], Awaitable[None]]]:
    """The reply to a call, and what sends the record after it.

    Args:
        size: of the terminal, where the record does not say.
        feed: of the run if it is live.
    """
    start, end = records.extent(session, run)
    offset = call.offset if call.tail_bytes is None else end - call.tail_bytes
    offset = max(start, min(offset, end))
    log = _Log(session, run, records, wire)
    flow = partial(log.send, offset, feed if call.follow else None)
    rendered = None
    if call.rendered:
        before = [change.size for change in records.sizes(session, run) if change.offset <= offset]
        rendered = screens.log(before[-1] if before else size)
        if rendered is not None:
            flow = partial(log.render, offset, end, rendered)
    started = LogsStarted(session=session, run=run, start=offset, end=end, rendered=rendered is not None)
    return started, flow


class _Log:
    """One run's record on its way to one client."""

    def __init__(self, session: SessionId, run: RunId, records: Records, wire: Wire) -> None:
        self._session = session
        self._run = run
        self._records = records
        self._wire = wire

    async def send(self, offset: int, feed: Feed | None) -> None:
        """Send all bytes from an offset; with a feed until the run has ended."""
        _, end = self._records.extent(self._session, self._run)
        while True:
            while offset < end:
                start, data = self._records.read(self._session, self._run, offset, MAX_OUTPUT_BYTES)
                offset = max(start + len(data), offset) if data else end
                if data:
                    await self._wire.data(offset, data)
            if feed is None or not await feed.beyond(offset):
                break
            end = feed.size_bytes
        exit_ = feed.exit if feed is not None else self._records.exit(self._session, self._run)
        reason = EndReason.EXITED if feed is not None else EndReason.COMPLETE
        await self._wire.end(End(reason=reason, exit=exit_))

    async def render(self, offset: int, end: int, log: RenderedLog) -> None:
        """Send what lies between two offsets as lines of text."""
        splitter = QuerySplitter(offset)
        for change in (*self._records.sizes(self._session, self._run), None):
            until = end if change is None else min(change.offset, end)
            while offset < until:
                size_bytes = min(CHUNK_BYTES, until - offset)
                start, data = self._records.read(self._session, self._run, offset, size_bytes)
                data = data[: max(0, until - start)]
                offset = start + len(data) if data else until
                printed = b"".join(piece.data for piece in splitter.feed(data) if isinstance(piece, Passage))
                # Parsing lets the loop serve others meanwhile.
                await self._say(offset, await anyio.to_thread.run_sync(log.feed, printed))
            if change is not None and change.offset >= offset:
                log.resize(change.size)
        await self._say(end, await anyio.to_thread.run_sync(log.finish))
        await self._wire.end(
            End(reason=EndReason.COMPLETE, exit=self._records.exit(self._session, self._run))
        )

    async def _say(self, offset: int, lines: list[str]) -> None:
        data = "".join(f"{plain(line)}\n" for line in lines).encode()
        for start in range(0, len(data), MAX_OUTPUT_BYTES):
            await self._wire.data(offset, data[start : start + MAX_OUTPUT_BYTES])
