"""What is typed into one terminal: whole batches in order, each typed once, never waiting for the child."""

import os
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Protocol

from .requests import MAX_TYPED_BYTES, Refused

QUEUE_BYTES = 4 << 20
REMEMBERED_BATCHES = 4096


class Done(Protocol):
    """Called once: typed when the terminal has taken the whole batch, not when it cannot any more."""

    def __call__(self, *, typed: bool) -> None: ...


class WantWrite(Protocol):
    """Told whether `Input.write` should be called as soon as the master takes bytes."""

    def __call__(self, *, wanted: bool) -> None: ...


class _Batch:
    def __init__(self, name: str, data: bytes, done: Done) -> None:
        self.name = name
        self.rest = memoryview(data)
        self.waiting = [done]


class Input:
    """The queue before one PTY master. A batch that was begun is finished, even if who asked for it has gone."""

    def __init__(self, master: int, want_write: WantWrite) -> None:
        self._master = master
        self._want_write = want_write
        self._queue: deque[_Batch] = deque()
        self._queued_bytes = 0
        self._typed: OrderedDict[str, None] = OrderedDict()

    @property
    def is_busy(self) -> bool:
        """True while a batch has not been typed whole."""
        return bool(self._queue)

    @property
    def typed(self) -> tuple[str, ...]:
        """The remembered batches, oldest first."""
        return tuple(self._typed)

    def remember(self, names: Iterable[str]) -> None:
        """Take these batches for typed."""
        self._typed.update(dict.fromkeys(names))

    def add(self, name: str, data: bytes, done: Done) -> None:
        """Type a batch, or join one of the same name. Raises Refused("full" | "too_large")."""
        if name in self._typed:
            done(typed=True)
            return
        for batch in self._queue:
            if batch.name == name:
                batch.waiting.append(done)
                return
        if len(data) > MAX_TYPED_BYTES:
            raise Refused("too_large", "a batch is at most 1 MiB")
        if self._queued_bytes + len(data) > QUEUE_BYTES:
            raise Refused("full", "the child does not read what was typed before")
        self._queue.append(_Batch(name, data, done))
        self._queued_bytes += len(data)
        if len(self._queue) == 1:
            self.write()

    def write(self) -> None:
        """Type what the terminal takes now: one write, so that a paste does not hold other terminals up."""
        if not self._queue:
            return
        batch = self._queue[0]
        try:
            written = os.write(self._master, batch.rest) if batch.rest else 0
        except BlockingIOError:
            written = 0
        except OSError:
            self._finish(batch, typed=False)
            return
        batch.rest = batch.rest[written:]
        self._queued_bytes -= written
        if batch.rest:
            self._want_write(wanted=True)
        else:
            self._finish(batch, typed=True)

    def end(self) -> None:
        """Nobody will read any more."""
        while self._queue:
            self._finish(self._queue[0], typed=False)
        self._typed.clear()

    def _finish(self, batch: _Batch, *, typed: bool) -> None:
        self._queue.popleft()
        self._queued_bytes -= len(batch.rest)
        if typed:
            self._typed[batch.name] = None
            if len(self._typed) > REMEMBERED_BATCHES:
                self._typed.popitem(last=False)
        self._want_write(wanted=bool(self._queue))
        for done in batch.waiting:
            done(typed=typed)
