"""The daemon's connection to a keeper: requests and their replies, and everything else handed on. Knows no run."""

import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.abc
import msgspec

from claudectl_protocol.sessions import Value
from claudectld.keeper import wire
from claudectld.keeper.wire import BadFrame, Decoder, Frame
from claudectld.ports import KeeperGone, SpawnFailed

_Reply = TypeVar("_Reply", bound=Value)


class KeeperRefused(Exception):
    """The keeper answered, and will not do it. `error` is a word of PROTOCOL.md, such as `full`."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(f"{error}: {detail}" if detail else error)
        self.error = error
        self.detail = detail


class _Refusal(Value):
    error: str
    detail: str = ""
    stage: str = ""
    errno: str = ""
    path: str = ""

    def exception(self) -> KeeperRefused | SpawnFailed:
        if self.error == "spawn":
            return SpawnFailed(self.stage, self.errno, self.path, self.detail)
        return KeeperRefused(self.error, self.detail)


class _Pending:
    """A request that waits for its reply; `reply` is None when none will come."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.reply: Mapping[str, object] | None = None


class Link:
    """One connection. `on_frame` gets every frame and owns its descriptors; `on_lost` is called once, at the end."""

    def __init__(self, path: Path, on_frame: Callable[[Frame], None], on_lost: Callable[[str], None]) -> None:
        self._path = path
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._decoder = Decoder()
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0
        self._lost: str | None = None
        self._verdict = ""
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._has_unsent = anyio.Event()
        self._tasks: anyio.abc.TaskGroup

    async def __aenter__(self) -> Self:
        """Connect. Raises KeeperGone when nobody listens."""
        try:
            # A local connect waits only for a keeper that has stopped, and then it should not.
            self._socket.settimeout(0.0)
            self._socket.connect(str(self._path))
        except OSError as error:
            self._socket.close()
            raise KeeperGone(f"no keeper at {self._path}: {error.strerror or error}") from error
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._read)
        self._tasks.start_soon(self._write)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._tasks.cancel_scope.cancel()
        try:
            # These tasks raise nothing, so what the caller raised needs no group around it.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._lose("the connection to the keeper was closed")
            self._socket.close()
            self._decoder.close()

    async def ask(
        self,
        request: str,
        header: Mapping[str, object],
        kind: type[_Reply],
        *,
        payload: bytes = b"",
        fds: Sequence[int] = (),
    ) -> _Reply:
        """Ask and wait for the reply. The descriptors must stay open until then.

        Raises:
            KeeperGone: no reply; it may or may not have been done.
            KeeperRefused, SpawnFailed: the keeper says no.
            ValueError: the request is larger than a frame.
        """
        if self._lost is not None:
            raise KeeperGone(self._lost)
        self._last_id += 1
        number = self._last_id
        frame: dict[str, object] = {"id": number, "request": request, **header}
        if fds:
            frame["fds"] = len(fds)
        data = wire.encode(frame, payload)
        pending = self._pending[number] = _Pending()
        self._send(data, tuple(fds))
        try:
            await pending.answered.wait()
        finally:
            self._pending.pop(number, None)
        if pending.reply is None:
            raise KeeperGone(self._lost or "the connection to the keeper was lost")
        try:
            if "error" in pending.reply:
                raise msgspec.convert(pending.reply, _Refusal).exception()
            return msgspec.convert(pending.reply, kind)
        except msgspec.ValidationError as error:
            raise KeeperGone(f"the keeper's answer to {request} makes no sense: {error}") from error

    def _send(self, data: bytes, fds: tuple[int, ...]) -> None:
        self._unsent.append((memoryview(data), fds))
        if len(self._unsent) == 1:
            self._flush()
        if self._unsent:
            self._has_unsent.set()

    def _flush(self) -> None:
        try:
            while self._unsent:
                data, fds = self._unsent[0]
                sent = wire.send(self._socket, data, fds)
                if sent < len(data):
                    self._unsent[0] = data[sent:], ()
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError:
            # What it said before it went is still to be read; the end comes after that.
            self._unsent.clear()

    async def _write(self) -> None:
        while self._lost is None:
            await self._has_unsent.wait()
            self._has_unsent = anyio.Event()
            while self._unsent and self._lost is None:
                await anyio.wait_writable(self._socket)
                self._flush()

    async def _read(self) -> None:
        why = "the keeper closed the connection"
        try:
            while self._take(*await self._receive()):
                pass
        except (BadFrame, msgspec.ValidationError) as error:
            why = f"the keeper's words make no sense: {error}"
        except OSError as error:
            # A reset is an end like any other.
            why = f"the connection to the keeper was lost: {error.strerror}"
        self._lose(self._verdict or why)

    async def _receive(self) -> tuple[bytes, list[int]]:
        while True:
            try:
                return wire.receive(self._socket)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)

    def _take(self, data: bytes, fds: list[int]) -> bool:
        """Hand on what came; False at the end of the connection."""
        self._decoder.feed(data, fds)
        for frame in self._decoder.frames():
            self._on_frame(frame)
            match frame.header:
                case {"id": int(number)}:
                    if (pending := self._pending.get(number)) is not None:
                        pending.reply = frame.header
                        pending.answered.set()
                case {"event": "fenced"}:
                    self._verdict = "another daemon took the keeper over"
                case {"error": str(error), "detail": str(detail)}:
                    self._verdict = f"the keeper refused the connection: {error}: {detail}"
        return bool(data)

    def _lose(self, why: str) -> None:
        if self._lost is not None:
            return
        self._lost = why
        self._on_lost(why)
        self._has_unsent.set()
        for pending in self._pending.values():
            pending.answered.set()
