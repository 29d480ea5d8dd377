"""A scripted daemon on a real socket: it answers each call by a table, remembers what it was asked, and lets a test
drive its streams. Its wire is the protocol's own."""

import os
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from claudectl_protocol.calls import AnyCall, Attached, LogsStarted
from claudectl_protocol.connection import DaemonConnection, Greeted, Refuse, Requested, Resized, Typed
from claudectl_protocol.faults import AnyFault, Fault, Internal
from claudectl_protocol.framing import ProtocolError, preamble
from claudectl_protocol.sessions import Size, Value
from claudectl_protocol.stream import End

WAIT_S = 20.0
PREAMBLE = preamble()
PREAMBLE = preamble()


class Vanish:
    """In place of an answer: the connection breaks."""


class Silence:
    """In place of an answer: none ever comes."""


class Last(NamedTuple):
    """An answer after which the connection is closed, and then `after` is called."""

    value: Value
    after: Callable[[], None] = lambda: None


Answer = Value | AnyFault | Vanish | Silence | Last
Script = Callable[[AnyCall], Answer]


class Streaming:
    """One connection after Attach or Logs was answered: a test speaks on it, and sees what the client said."""

    def __init__(self, link: "_Link") -> None:
        self._link = link
        self.heard: queue.Queue[bytes | Size | None] = queue.Queue()
        """Input, sizes, and None when the client has gone."""

    def data(self, offset_after: int, data: bytes) -> None:
        """Send output."""
        self._link.send(lambda wire: wire.data(offset_after, data))

    def repaint(self, offset: int, data: bytes) -> None:
        """Send a whole screen."""
        self._link.send(lambda wire: wire.repaint(offset, data))

    def end(self, end: End) -> None:
        """Send the last frame."""
        self._link.send(lambda wire: wire.end(end))

    def dismiss(self, fault: AnyFault) -> None:
        """End the connection with a reason."""
        self._link.send(lambda wire: wire.dismiss(fault))

    def vanish(self) -> None:
        """Break the connection."""
        self._link.close()

    def hear(self) -> bytes | Size | None:
        """The next thing the client said."""
        return self.heard.get(timeout=WAIT_S)

    def hear_typed(self, size_bytes: int) -> bytes:
        """The next `size_bytes` of input, in however many frames."""
        typed = b""
        while len(typed) < size_bytes:
            heard = self.hear()
            assert isinstance(heard, bytes), heard
            typed += heard
        return typed


class _Link:
    """A connection's socket and wire, which two threads use."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.wire = DaemonConnection("0.1.0", os.getpid())
        self._lock = threading.Lock()

    def send(self, make: Callable[[DaemonConnection], bytes]) -> None:
        with self._lock:
            self.sock.sendall(make(self.wire))

    def close(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client was faster


class FakeDaemon:
    """Listens while it is a context.

    Args:
        path: of the socket; its directory must be 0700.
        answers: by call type, what it is answered with; or a function that is given the call.
        greeting: what is said first.
        mute: accept and never say anything.
        dismissal: end every connection with this, as soon as it is greeted.
    """

    def __init__(
        self,
        path: str,
        answers: Mapping[type[AnyCall], Answer | Script],
        *,
        greeting: bytes = PREAMBLE,
        mute: bool = False,
        dismissal: AnyFault | None = None,
    ) -> None:
        self.path = path
        self.calls: list[AnyCall] = []
        self.streams: queue.Queue[Streaming] = queue.Queue()
        self._answers = answers
        self._greeting = greeting
        self._mute = mute
        self._dismissal = dismissal
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._links: list[_Link] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener.bind(self.path)
        self._listener.listen()
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.unlink(self.path)
        self._listener.shutdown(socket.SHUT_RDWR)
        # Whoever came at the last moment is among the links when nobody is accepted any more.
        self._threads[0].join(WAIT_S)
        for link in self._links:
            link.close()
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        self._listener.close()

    def stream(self) -> Streaming:
        """The next stream that a client opens."""
        return self.streams.get(timeout=WAIT_S)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            link = _Link(sock)
            self._links.append(link)
            self._start(partial(self._serve, link))

    def _serve(self, link: _Link) -> None:
        streaming = Streaming(link)
        try:
            if not self._mute:
                link.sock.sendall(self._greeting)
            if self._greeting != PREAMBLE:
                return
            while data := link.sock.recv(65536):
                if not self._mute:
                    self._hear(link, streaming, data)
        except (OSError, ProtocolError):
            pass  # the client is gone
        finally:
            streaming.heard.put(None)
            link.sock.close()

    def _hear(self, link: _Link, streaming: Streaming, data: bytes) -> None:
        for event in link.wire.receive_data(data):
            match event:
                case Greeted(to_send=to_send):
                    link.sock.sendall(to_send)
                    if self._dismissal is not None:
                        streaming.dismiss(self._dismissal)
                case Refuse(to_send=to_send):
                    link.sock.sendall(to_send)
                case Requested(id=asked, call=call):
                    self.calls.append(call)
                    self._answer(link, streaming, asked, call)
                case Typed(data=typed):
                    streaming.heard.put(typed)
                case Resized(size=size):
                    streaming.heard.put(size)

    def _answer(self, link: _Link, streaming: Streaming, asked: int, call: AnyCall) -> None:
        answer = self._answers.get(type(call), Internal(ticket=f"no answer for {type(call).__name__}"))
        if callable(answer):
            answer = answer(call)
        if isinstance(answer, Vanish):
            link.close()
        elif isinstance(answer, Silence):
            return
        elif isinstance(answer, Last):
            last = answer.value
            link.send(lambda wire: wire.reply(asked, last))
            link.close()
            answer.after()
        elif isinstance(answer, Fault):
            fault = answer
            link.send(lambda wire: wire.refuse(asked, fault))
        else:
            value = answer
            link.send(lambda wire: wire.reply(asked, value))
            if isinstance(value, Attached | LogsStarted):
                self.streams.put(streaming)
