"""The one thread's loop: descriptors that are ready, signals, and what was put off to the end of a turn."""

import os
import selectors
import signal
from collections.abc import Callable, Mapping

Callback = Callable[[], None]


class _Watch:
    """What to call for one descriptor; nothing once it was given up, though events of this turn are pending."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.read: Callback | None = None
        self.write: Callback | None = None
        self.events = 0


class Loop:
    """Calls each ready descriptor's callback once per turn, so that nobody starves anybody."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._watches: dict[int, _Watch] = {}
        self._soon: list[Callback] = []
        self._signals: Mapping[int, Callback] = {}
        self._wakeup: tuple[int, int] | None = None

    def on_read(self, fd: int, callback: Callback | None) -> None:
        """Call when `fd` has something to read; None stops that."""
        watch = self._watches.setdefault(fd, _Watch(fd))
        watch.read = callback
        self._update(watch)

    def on_write(self, fd: int, callback: Callback | None) -> None:
        """Call when `fd` takes bytes; None stops that."""
        watch = self._watches.setdefault(fd, _Watch(fd))
        watch.write = callback
        self._update(watch)

    def give_up(self, fd: int) -> None:
        """Watch `fd` no more. Must come before it is closed."""
        if (watch := self._watches.get(fd)) is not None:
            watch.read = watch.write = None
            self._update(watch)

    def soon(self, callback: Callback) -> None:
        """Call at the end of this turn, or of the next when called from there."""
        self._soon.append(callback)

    def on_signals(self, callbacks: Mapping[int, Callback]) -> None:
        """Call these in the loop when their signals arrive."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        self._wakeup = read, write
        self._signals = callbacks
        for signo in callbacks:
            signal.signal(signo, _ignore)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.on_read(read, self._signalled)

    def hear_signals(self) -> None:
        """Call for the signals that have arrived, now instead of in the next turn."""
        self._signalled()

    def turn(self) -> None:
        """Wait for something and deal with all of it once."""
        for key, mask in self._selector.select(0 if self._soon else None):
            watch: _Watch = key.data
            if mask & selectors.EVENT_READ and watch.read is not None:
                watch.read()
            if mask & selectors.EVENT_WRITE and watch.write is not None:
                watch.write()
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()

    def close(self) -> None:
        """Give everything up."""
        self._selector.close()
        if self._wakeup is not None:
            signal.set_wakeup_fd(-1)
            for fd in self._wakeup:
                os.close(fd)

    def _update(self, watch: _Watch) -> None:
        events = selectors.EVENT_READ if watch.read is not None else 0
        events |= selectors.EVENT_WRITE if watch.write is not None else 0
        before, watch.events = watch.events, events
        if events == before:
            return
        if not events:
            self._selector.unregister(watch.fd)
            del self._watches[watch.fd]
        elif not before:
            self._selector.register(watch.fd, events, watch)
        else:
            self._selector.modify(watch.fd, events, watch)

    def _signalled(self) -> None:
        assert self._wakeup is not None
        # A signal whose byte did not fit is among those that did: there are fewer signals than bytes.
        try:
            arrived = set(os.read(self._wakeup[0], 4096))
        except BlockingIOError:
            return  # they were heard within this turn
        for signo in sorted(arrived):
            if (callback := self._signals.get(signo)) is not None:
                callback()


def _ignore(signo: int, frame: object) -> None:
    """The wake-up descriptor tells; this only keeps the default action away."""
