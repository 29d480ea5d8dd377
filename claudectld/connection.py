"""The daemon's end of one client's connection: bytes in, calls to the service, frames out. Nothing is decided here."""

import logging
import math
import os
import uuid
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
import anyio.abc

from claudectl_protocol import __version__
from claudectl_protocol.calls import AnyCall, Attach, Attached, Logs, LogsStarted
from claudectl_protocol.connection import (
    DaemonConnection,
    Greeted,
    Refuse,
    Requested,
    Resized,
    Typed,
)
from claudectl_protocol.faults import AnyFault, BadRequest, Internal, InvalidArgument, Rejected
from claudectl_protocol.framing import LocalProtocolError, RemoteProtocolError, VersionMismatch
from claudectl_protocol.sessions import Value
from claudectl_protocol.stream import End
from claudectld.attachment import Attachment, Wire

log = logging.getLogger(__name__)

RECEIVE_BYTES = 64 * 1024
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, LocalProtocolError)
"""The client has left, or its connection has been ended: nobody is there to be told anything."""


class Limits(Value):
    """How long a client may take, in seconds, and how many there may be."""

    connections: int = 512
    hello_s: float = 5.0
    """To say hello."""
    frame_s: float = 5.0
    """To finish a frame that it has begun."""
    farewell_s: float = 1.0
    """To take what it is told before its connection is closed."""


class Answers(Protocol):
    """What a connection needs of the service."""

    async def answer(self, call: AnyCall) -> Value: ...
    async def attach(self, call: Attach, wire: Wire) -> tuple[Attached, Attachment]: ...
    async def serve(self, attachment: Attachment) -> None: ...
    async def logs(self, call: Logs, wire: Wire) -> tuple[LogsStarted, Callable[[], Awaitable[None]]]: ...


class Calls:
    """How many calls are being answered."""

    def __init__(self) -> None:
        self._count = 0
        self._none = anyio.Event()
        self._none.set()

    def __enter__(self) -> None:
        if not self._count:
            self._none = anyio.Event()
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def none_left(self) -> None:
        """Wait until there are none."""
        await self._none.wait()


class Patience:
    """Until when a client's unfinished frame is waited for, in the loop's seconds.

    Counted from the frame's first byte, so that whoever sends one byte a second is stopped too, and anew for each
    frame, so that somebody who types without a pause is not.
    """

    def __init__(self, frame_s: float) -> None:
        self._frame_s = frame_s
        self.deadline = math.inf

    def heard(self, now: float, *, ended: bool, midway: bool) -> None:
        """Bytes came at `now`; they `ended` a frame or more, and left the connection `midway` in one or not."""
        if not midway:
            self.deadline = math.inf
        elif ended or self.deadline == math.inf:
            self.deadline = now + self._frame_s


class Connection:
    """One client: `greet`, then `serve`. The stream is the caller's to close."""

    def __init__(
        self,
        stream: anyio.abc.SocketStream,
        service: Answers,
        tasks: anyio.abc.TaskGroup,
        calls: Calls,
        limits: Limits,
    ) -> None:
        """Calls run in `tasks`, not in the connection: a client that leaves does not undo what it asked for."""
        self._stream = stream
        self._service = service
        self._tasks = tasks
        self._calls = calls
        self._limits = limits
        self._connection = DaemonConnection(__version__, os.getpid())
        self._patience = Patience(limits.frame_s)
        self._sending = anyio.Lock()
        self._attachment: Attachment | None = None

    async def greet(self) -> bool:
        """Wait for the client's hello; False when the connection has ended without one."""
        return await self._guarded(self._hear_hello)

    async def serve(self) -> None:
        """Answer until either side ends the connection."""
        await self._guarded(self._hear)

    async def _guarded(self, hear: Callable[[], Awaitable[None]]) -> bool:
        try:
            await hear()
        except TimeoutError:
            await self._dismiss(BadRequest(why="it came too slowly"))
        except VersionMismatch as error:
            # Our preamble is with the client already and tells it which side is older.
            log.info("event=version_mismatch error=%s", error)
        except RemoteProtocolError as error:
            log.warning("event=protocol_error error=%s", error)
            await self._dismiss(BadRequest(why=str(error)))
        except _GONE:
            pass
        else:
            return True
        return False

    async def _hear_hello(self) -> None:
        await self._send(self._connection.start())
        with anyio.fail_after(self._limits.hello_s):
            while not await self._receive():
                pass

    async def _hear(self) -> None:
        while True:
            await self._receive()

    async def _receive(self) -> bool:
        """Take what has come; True when the client has said hello with it. Raises EndOfStream, TimeoutError."""
        with anyio.fail_after(None) as limit:
            limit.deadline = self._patience.deadline
            data = await self._stream.receive(RECEIVE_BYTES)
        greeted = False
        typed = b""
        events = self._connection.receive_data(data)
        for event in events:
            match event:
                case Greeted(to_send=to_send):
                    greeted = True
                    await self._send(to_send)
                case Requested(id=call_id, call=call):
                    self._take(call_id, call)
                case Refuse(to_send=to_send):
                    await self._send(to_send)
                case Typed(data=keys):
                    typed += keys
                case Resized(size=size):
                    if self._attachment is not None:
                        await self._attachment.resized(size)
        self._patience.heard(anyio.current_time(), ended=bool(events), midway=self._connection.is_midway)
        if typed and self._attachment is not None:
            await self._attachment.typed(typed, more=len(data) == RECEIVE_BYTES)
        return greeted

    def _take(self, call_id: int, call: AnyCall) -> None:
        if isinstance(call, Attach | Logs):
            self._tasks.start_soon(self._stream_out, call_id, call)
        else:
            self._tasks.start_soon(self._answer, call_id, call)

    # -- answers -------------------------------------------------------------------------------------------------

    async def _answer(self, call_id: int, call: AnyCall) -> None:
        with self._calls:
            answer: Value | AnyFault
            try:
                answer = await self._service.answer(call)
            except Rejected as error:
                answer = error.fault
            except Exception:  # noqa: BLE001 — the edge of a request: a defect in one call must not end the daemon
                answer = self._defect(call)
            await self._say(call_id, answer)

    async def _stream_out(self, call_id: int, call: Attach | Logs) -> None:
        fault: AnyFault | None = None
        try:
            if isinstance(call, Attach):
                await self._attach(call_id, call)
            else:
                started, flow = await self._service.logs(call, self)
                await self._send(self._connection.reply(call_id, started))
                await flow()
        except Rejected as error:
            fault = error.fault
        except _GONE:
            # Its session has not noticed.
            pass
        except Exception:  # noqa: BLE001 — as above
            fault = self._defect(call)
        try:
            if fault is not None:
                await self._say(call_id, fault)
        finally:
            self._attachment = None
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()

    async def _attach(self, call_id: int, call: Attach) -> None:
        attached, attachment = await self._service.attach(call, self)
        await self._send(self._connection.reply(call_id, attached))
        self._attachment = attachment
        await self._service.serve(attachment)

    def _defect(self, call: AnyCall) -> Internal:
        ticket = uuid.uuid4().hex[:8]
        log.exception("event=defect ticket=%s call=%s", ticket, type(call).__name__)
        return Internal(ticket=ticket)

    async def _say(self, call_id: int, answer: Value | AnyFault) -> None:
        try:
            # Written down only when its turn has come: until then the call counts as unanswered, and a client that
            # asks and does not read runs into the limit of those instead of filling our memory.
            async with self._sending:
                await self._stream.send(self._written(call_id, answer))
        except _GONE:
            log.info("event=answer_undelivered id=%d", call_id)

    def _written(self, call_id: int, answer: Value | AnyFault) -> bytes:
        try:
            if isinstance(answer, AnyFault):
                return self._connection.refuse(call_id, answer)
            return self._connection.reply(call_id, answer)
        except ValueError as error:
            fault = InvalidArgument(what="the answer", why=f"cannot be sent: {error}")
            return self._connection.refuse(call_id, fault)

    # -- the stream of a terminal or a log -----------------------------------------------------------------------

    async def data(self, offset: int, data: bytes) -> None:
        """Send a data frame."""
        await self._send(self._connection.data(offset, data))

    async def repaint(self, offset: int, data: bytes) -> None:
        """Send a repaint frame."""
        await self._send(self._connection.repaint(offset, data))

    async def end(self, end: End) -> None:
        """Send the stream's last frame."""
        await self._send(self._connection.end(end))

    async def _dismiss(self, fault: AnyFault) -> None:
        # Whoever does not even read this is not waited for.
        with anyio.move_on_after(self._limits.farewell_s):
            try:
                await self._send(self._connection.dismiss(fault))
            except _GONE:
                pass

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            await self._stream.send(data)
