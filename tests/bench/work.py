"""How much processor time it takes to keep many sessions that print a little all the time."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from tests.bench import children, machine, tmux
from tests.bench.product import Product
from tests.bench.results import Figures, Line, Party, Target, WrongResult, interleaved
from tests.bench.scale import Scale
from tests.bench.tmux import Tmux

_TICK = re.compile(rb"tick (\d{8}) ")
TOLERANCE = 0.2


def _name(scale: Scale) -> str:
    return f"CPU, {scale.ticking_sessions} printing 1 KB/s each"


def lines(scale: Scale) -> tuple[Line, ...]:
    """What is measured."""
    return (Line(name=_name(scale), unit="%", target=Target(value=1, against=Party.PEER)),)


def measure(scale: Scale) -> Figures:
    """Keeper and daemon, and the tmux server, while nobody is attached; children that wait do not count."""

    def measured(last_ticks: Callable[[], Sequence[int]], pids: Sequence[int]) -> Mapping[str, float]:
        before, begun = last_ticks(), time.perf_counter()
        had = sum(machine.cpu_s(pid) for pid in pids)
        time.sleep(scale.ticking_s)
        used, elapsed = sum(machine.cpu_s(pid) for pid in pids) - had, time.perf_counter() - begun
        printed = [after - earlier for earlier, after in zip(before, last_ticks(), strict=True)]
        expected = children.TICKS_PER_S * elapsed
        if abs(sum(printed) / len(printed) - expected) > max(expected * TOLERANCE, 2):
            raise WrongResult(f"{min(printed)} to {max(printed)} lines were printed, not {expected:.0f}")
        return {_name(scale): 100 * used / elapsed}

    def ours() -> Mapping[str, float]:
        with _printing(scale) as (product, last_ticks), product.pids() as pids:
            return measured(last_ticks, pids)

    def peer() -> Mapping[str, float]:
        with Tmux() as server:
            server.fill([children.ticking()] * scale.ticking_sessions)
            windows = server.windows()[1:]
            return measured(lambda: [_last(_screen(server, window)) for window in windows], [server.pid])

    trials: dict[Party, Callable[[], Mapping[str, float]]] = {Party.OURS: ours}
    if tmux.is_installed():
        trials[Party.PEER] = peer
    return interleaved(trials, min(scale.rounds, 3))


@contextmanager
def _printing(scale: Scale) -> Iterator[tuple[Product, Callable[[], Sequence[int]]]]:
    """A product with sessions that print, and a look at the last line of each that is recorded."""
    with ExitStack() as stack:
        product = stack.enter_context(Product())
        sessions = product.fill([children.ticking()] * scale.ticking_sessions)

        def last_ticks() -> Sequence[int]:
            records = [product.record(session) for session in sessions]
            for record in records:
                numbers = [int(number) for number in _TICK.findall(record)]
                if numbers != list(range(1, len(numbers) + 1)):
                    raise WrongResult("a record lacks lines or has them out of order")
            return [_last(record) for record in records]

        yield product, last_ticks


def _screen(server: Tmux, window: str) -> bytes:
    return "\n".join(server.screen(window)).encode()


def _last(printed: bytes) -> int:
    numbers = _TICK.findall(printed)
    return int(numbers[-1]) if numbers else 0
