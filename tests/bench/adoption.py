"""How long a new daemon takes to have everything in hand again after its predecessor was killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from claudectl.client import Client
from claudectl_protocol.calls import Attach
from claudectl_protocol.calls import Target as Named
from claudectl_protocol.connection import Repaint
from claudectl_protocol.sessions import SessionInfo
from tests.bench import children
from tests.bench.product import Product
from tests.bench.pty import SIZE
from tests.bench.results import Figures, Line, Party, Target, WrongResult, interleaved
from tests.bench.scale import Scale
from tests.e2e.world import Fifo

SEEN = "seen by the old daemon"
UNSEEN = "printed while no daemon ran"
LOST = "adoption: bytes lost"
_READ_ALL = """
import os, sys
for root, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(root, name), "rb") as file:
            file.read()
"""


def _listed(scale: Scale, kind: str) -> str:
    return f"adoption of {scale.adopted_sessions}, {kind}: until all are listed active"


def _shown(scale: Scale, kind: str) -> str:
    return f"adoption of {scale.adopted_sessions}, {kind}: until all were painted for a client"


def lines(scale: Scale) -> tuple[Line, ...]:
    """What is measured."""
    return (
        Line(name=_listed(scale, SEEN), unit="ms", target=Target(value=1000)),
        Line(name=_shown(scale, SEEN), unit="ms"),
        Line(name=_listed(scale, UNSEEN), unit="ms"),
        Line(name=_shown(scale, UNSEEN), unit="ms"),
        Line(name=LOST, unit="bytes", target=Target(value=0)),
    )


def measure(scale: Scale) -> Figures:
    """From the start of a daemon's process on. The limit is an interpreter that reads all records once."""
    with Crowd(scale) as seen:
        seen.print_all()
        seen.paint_all()
        time.sleep(scale.adopted_quiet_s)

        def again() -> Mapping[str, float]:
            seen.product.kill_daemon()
            return seen.adopted(SEEN)

        trials: dict[Party, Callable[[], Mapping[str, float]]] = {
            Party.OURS: again,
            Party.LIMIT: lambda: _read_all(scale, seen.product),
        }
        figures = interleaved(trials, scale.rounds)
        lost = figures.pop(LOST, {})

    def unseen() -> Mapping[str, float]:
        with Crowd(scale) as crowd:
            crowd.product.kill_daemon()
            crowd.print_all()
            return crowd.adopted(UNSEEN)

    figures |= interleaved({Party.OURS: unseen}, min(scale.rounds, 2))
    worst = max(
        (figure for figure in (*lost.values(), *figures.get(LOST, {}).values()) if isinstance(figure, float)),
        default=None,
    )
    figures[LOST] = {} if worst is None else {Party.OURS: worst}
    return figures


class Crowd:
    """Sessions that all print the same lines after their own number. Use as a context manager."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self._open()
            self._stack = self._stack.pop_all()
        return self

    def _open(self) -> None:
        self.product = self._stack.enter_context(Product())
        home = self.product.home
        self._gate = home / "gate"
        os.mkfifo(self._gate)
        self._done = Fifo(home / "done")
        self._stack.callback(self._done.close)
        file = home / "lines"
        self._content = children.write_lines(file, self._scale.adopted_bytes)
        numbers = range(self._scale.adopted_sessions)
        self.sessions: Sequence[SessionInfo] = self.product.fill(
            [children.gated(self._gate, self._done.path, file, number) for number in numbers]
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def print_all(self) -> None:
        """Have all of them print, and wait until the last has."""
        with open(self._gate, "wb"):
            for _ in self.sessions:
                self._done.line()

    def paint_all(self) -> None:
        """Attach to each until its screen shows the last thing that was printed."""
        for session in self.sessions:
            with Client.connect(self.product.world.socket) as client:
                client.call(Attach(target=Named(text=session.id, cwd="/"), size=SIZE, read_only=True))
                shown = b""
                for event in client.stream():
                    shown += event.data if isinstance(event, Repaint) else getattr(event, "data", b"")
                    if children.END in shown:
                        break

    def adopted(self, kind: str) -> Mapping[str, float]:
        """Start a daemon and measure; what it says and what was recorded is checked."""
        begun = time.perf_counter()
        self.product.start()
        self.product.reconnect()
        now = self.product.active(len(self.sessions))
        listed = (time.perf_counter() - begun) * 1000
        self.paint_all()
        painted = (time.perf_counter() - begun) * 1000
        if [session.pid for session in now] != [session.pid for session in self.sessions]:
            raise WrongResult("a process is not the one it was")
        return {
            _listed(self._scale, kind): listed,
            _shown(self._scale, kind): painted,
            LOST: self._lost_bytes(),
        }

    def _lost_bytes(self) -> int:
        lost = 0
        for number, session in enumerate(self.sessions):
            expected = b"<%d>" % number + self._content + children.END
            record = self.product.record(session)
            if record != expected:
                lost += max(1, len(expected) - len(record))
        return lost


def _read_all(scale: Scale, product: Product) -> Mapping[str, float]:
    begun = time.perf_counter()
    records: Path = product.world.state / "records"
    subprocess.run([sys.executable, "-I", "-c", _READ_ALL, str(records)], check=True)
    return {_listed(scale, SEEN): (time.perf_counter() - begun) * 1000}
