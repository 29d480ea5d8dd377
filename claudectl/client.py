"""One blocking connection to the daemon: connect, greet, call, stream. No loop and no thread."""

import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar, cast

from claudectl.transport import ConnectionLost, DaemonSilent, connected_socket
from claudectl_protocol import __version__
from claudectl_protocol.calls import AnyCall, Call
from claudectl_protocol.codec import decode_reply
from claudectl_protocol.connection import (
    ClientConnection,
    ClientEvent,
    Data,
    Dismissed,
    Ended,
    Refused,
    Repaint,
    Replied,
    Welcomed,
)
from claudectl_protocol.faults import InvalidArgument, Rejected
from claudectl_protocol.sessions import Size

R = TypeVar("R")
StreamEvent = Data | Repaint | Ended

GREETING_S = 5.0
"""How long connecting and the daemon's welcome may take."""
_READ_BYTES = 256 * 1024
_CALLS_AT_ONCE = 64
"""Well under what a daemon accepts unanswered on one connection."""


class _Deadline:
    """When to give up, and how long that was from the start, for people."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._at = monotonic() + timeout_s

    def left_s(self) -> float:
        """What is left. Raises DaemonSilent when nothing is."""
        left_s = self._at - monotonic()
        if left_s <= 0:
            raise DaemonSilent(self._timeout_s)
        return left_s


class Client:
    """A greeted connection. As a context it closes itself.

    Every method that talks raises ConnectionLost, Rejected with the fault that the daemon ended the
    connection with, or framing.RemoteProtocolError when the daemon breaks the rules of the wire.
    """

    def __init__(self, sock: socket.socket, connection: ClientConnection) -> None:
        self._socket = sock
        self._connection = connection
        self._events: deque[ClientEvent] = deque()
        self._unsent = bytearray()

    @classmethod
    def connect(cls, path: str, timeout_s: float = GREETING_S) -> Self:
        """Connect to the daemon at `path` and greet it.

        Raises:
            NoDaemon: nobody listens there.
            DaemonUnreachable: the socket's directory or server is not ours, or the daemon does not answer.
            framing.VersionMismatch: the daemon speaks another major version.
            framing.RemoteProtocolError: it speaks no such protocol.
            Rejected: it does not want this client.
        """
        deadline = _Deadline(timeout_s)
        sock = connected_socket(path, timeout_s)
        client = cls(sock, ClientConnection(__version__, os.getpid()))
        try:
            client._send_all(client._connection.start())
            while not isinstance(client._next_event(deadline), Welcomed):
                pass
        except BaseException:
            sock.close()
            raise
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._socket.fileno()

    # --- calls ---------------------------------------------------------------------------------------------

    def call(self, call: Call[R], timeout_s: float | None = None) -> R:
        """Ask and wait for the reply, by default for as long as it takes.

        Raises:
            Rejected: with the fault that the daemon refuses it with, or InvalidArgument when the call cannot
                be written down.
            DaemonUnreachable: no reply within `timeout_s`.
        """
        deadline = None if timeout_s is None else _Deadline(timeout_s)
        answer = self._answers([call], deadline)[0]
        if isinstance(answer, Refused):
            raise Rejected(answer.fault)
        return decode_reply(call, answer.raw)

    def call_each(self, calls: Sequence[Call[R]]) -> list[R | Rejected]:
        """Ask several things at once and wait for all: replies and refusals in the order of `calls`."""
        results: list[R | Rejected] = []
        for start in range(0, len(calls), _CALLS_AT_ONCE):
            some = calls[start : start + _CALLS_AT_ONCE]
            for call, answer in zip(some, self._answers(some, None), strict=True):
                match answer:
                    case Refused(fault=fault):
                        results.append(Rejected(fault))
                    case Replied(raw=raw):
                        results.append(decode_reply(call, raw))
        return results

    def _answers(self, calls: Sequence[Call[R]], deadline: _Deadline | None) -> list[Replied | Refused]:
        # A daemon may have ended the connection together with its welcome; then nothing may be sent any more.
        for event in self._events:
            self._checked(event)
        ids: list[int] = []
        for call in calls:
            try:
                # Call[R] is the generic view of the union that the connection takes.
                asked, to_send = self._connection.send(cast(AnyCall, call))
            except ValueError as error:
                why = "it is not UTF-8" if isinstance(error, UnicodeEncodeError) else str(error)
                raise Rejected(InvalidArgument(what="an argument", why=f"cannot be sent: {why}")) from error
            ids.append(asked)
            self._send_all(to_send)
        answers: dict[int, Replied | Refused] = {}
        while len(answers) < len(ids):
            event = self._next_event(deadline)
            if isinstance(event, Replied | Refused):
                answers[event.id] = event
        return [answers[asked] for asked in ids]

    # --- streams -------------------------------------------------------------------------------------------

    def stream(self) -> Iterator[StreamEvent]:
        """What follows Attach or Logs, up to and including Ended; each step waits."""
        while True:
            event = self._next_event(None)
            if isinstance(event, StreamEvent):
                yield event
            if isinstance(event, Ended):
                return

    def received(self) -> list[StreamEvent]:
        """The stream's events that are here or that one read brings; waits only when there are none here."""
        if not self._events:
            self._receive(None)
        events = [self._checked(event) for event in self._events]
        self._events.clear()
        return [event for event in events if isinstance(event, StreamEvent)]

    @property
    def has_events(self) -> bool:
        """True when `received` would not wait."""
        return bool(self._events)

    def type(self, data: bytes) -> None:
        """Queue input for the attached session."""
        self._unsent += self._connection.data(data)

    def resize(self, size: Size) -> None:
        """Queue the terminal's new size."""
        self._unsent += self._connection.resize(size)

    @property
    def unsent_bytes(self) -> int:
        """How much is queued."""
        return len(self._unsent)

    def send_queued(self) -> None:
        """Send what the daemon takes now, without waiting."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            # What the daemon said last may still wait to be read; reading finds the end.
            self._unsent.clear()

    # --- bytes ---------------------------------------------------------------------------------------------

    def _send_all(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # as in send_queued: a refusal or an older version's preamble may be waiting

    def _next_event(self, deadline: _Deadline | None) -> ClientEvent:
        while not self._events:
            self._receive(deadline)
        return self._checked(self._events.popleft())

    def _checked(self, event: ClientEvent) -> ClientEvent:
        if isinstance(event, Dismissed):
            raise Rejected(event.fault)
        return event

    def _receive(self, deadline: _Deadline | None) -> None:
        self._socket.settimeout(None if deadline is None else deadline.left_s())
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            return  # the deadline itself says so when it is asked next
        except ConnectionResetError:
            data = b""
        finally:
            self._socket.settimeout(None)
        if not data:
            raise ConnectionLost
        self._events.extend(self._connection.receive_data(data))
