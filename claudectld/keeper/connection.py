"""One client's connection: frames in, frames out, never waiting for the client."""

import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .loop import Loop
from .wire import BadFrame, Decoder, Frame, close_all, encode, receive, send

MAX_UNSENT_BYTES = 8 << 20
"""A client that leaves more than this unread is cut off."""


class ConnectionState(NamedTuple):
    """A connection between two frames or within one: what was received of an unfinished one, what is unsent."""

    fd: int
    pid: int
    received: bytes
    unsent: bytes


class Connection:
    """Owns the socket. `on_frame` owns the frames' descriptors; `on_close` is called once, whoever closed."""

    def __init__(
        self,
        sock: socket.socket,
        pid: int,
        loop: Loop,
        on_frame: Callable[["Connection", Frame], None],
        on_close: Callable[["Connection"], None],
    ) -> None:
        self.pid = pid
        self.is_open = True
        self._sock = sock
        self._loop = loop
        self._on_frame = on_frame
        self._on_close = on_close
        self._decoder = Decoder()
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._unsent_bytes = 0
        sock.settimeout(0.0)
        loop.on_read(sock.fileno(), self._readable)

    @property
    def fd(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    @property
    def has_descriptors(self) -> bool:
        """True while descriptors are on their way in or out: they belong to no run, so nobody could carry on."""
        return self._decoder.has_descriptors or any(fds for _, fds in self._unsent)

    def state(self) -> ConnectionState:
        """Everything needed to carry on; `has_descriptors` must be False."""
        unsent = b"".join(data for data, _ in self._unsent)
        return ConnectionState(self.fd, self.pid, self._decoder.unfinished, unsent)

    def carry_on(self, state: ConnectionState) -> None:
        """Go on within the frames in which this process was before its exec."""
        self._decoder.feed(state.received)
        if state.unsent:
            self._queue(state.unsent, ())

    def send(self, header: Mapping[str, object], fds: Sequence[int] = ()) -> None:
        """Send a frame with duplicates of `fds`, now or as soon as the client takes it."""
        if not self.is_open:
            return
        self._queue(encode({**header, "fds": len(fds)} if fds else header), _duplicates(fds))

    def _queue(self, data: bytes, fds: tuple[int, ...]) -> None:
        self._unsent.append((memoryview(data), fds))
        self._unsent_bytes += len(data)
        if len(self._unsent) == 1:
            self._writable()
        if self._unsent_bytes > MAX_UNSENT_BYTES:
            self.close()

    def close(self) -> None:
        """Close; what was not sent yet is dropped."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.give_up(self._sock.fileno())
        self._sock.close()
        self._decoder.close()
        for _, fds in self._unsent:
            close_all(fds)
        self._unsent.clear()
        self._on_close(self)

    def _readable(self) -> None:
        try:
            data, fds = receive(self._sock)
            if not data:
                self.close()
                return
            self._decoder.feed(data, fds)
            for frame in self._decoder.frames():
                self._on_frame(self, frame)
                if not self.is_open:
                    return
        except BadFrame as error:
            self.send({"error": "bad_frame", "detail": str(error)})
            self.close()
        except BlockingIOError:
            return
        except OSError:
            # A reset is an end like any other.
            self.close()

    def _writable(self) -> None:
        try:
            while self._unsent:
                data, fds = self._unsent[0]
                sent = send(self._sock, data, fds)
                close_all(fds)
                self._unsent_bytes -= sent
                if sent < len(data):
                    self._unsent[0] = data[sent:], ()
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._loop.on_write(self._sock.fileno(), self._writable if self._unsent else None)


def _duplicates(fds: Sequence[int]) -> tuple[int, ...]:
    made: list[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))
    except OSError:
        close_all(made)
        raise
    return tuple(made)
