"""How long listing takes, with few and with many running sessions."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from tests.bench import children, tmux
from tests.bench.product import Product
from tests.bench.results import Figures, Line, Party, Target, WrongResult, interleaved
from tests.bench.scale import Scale
from tests.bench.tmux import Tmux


def _name(sessions: int) -> str:
    return f"ls, {sessions} running"


def lines(scale: Scale) -> tuple[Line, ...]:
    """What is measured."""
    target = Target(value=1.5, against=Party.LIMIT)
    return tuple(Line(name=_name(count), unit="ms", target=target) for count in scale.list_sessions)


def measure(scale: Scale) -> Figures:
    """`claudectl ls` as it is installed, `tmux list-windows`, and an interpreter that does nothing."""
    figures: Figures = {}
    with ExitStack() as stack:
        product = stack.enter_context(Product())
        server = stack.enter_context(Tmux()) if tmux.is_installed() else None
        have = 0
        for count in scale.list_sessions:
            product.fill([children.IDLE] * (count - have))
            if server is not None:
                # It has one window from its start.
                server.fill([children.IDLE] * (count - max(have, 1)))
            have = count
            figures |= _measure(product, server, count, scale.list_rounds)
    return figures


def _measure(product: Product, server: Tmux | None, count: int, rounds: int) -> Figures:
    def run(argv: Sequence[str], env: Mapping[str, str], expected: int) -> Mapping[str, float]:
        begun = time.perf_counter()
        done = subprocess.run(argv, env=env, cwd=product.world.project, capture_output=True, check=False)
        elapsed = (time.perf_counter() - begun) * 1000
        found = done.stdout.count(b"\n")
        if done.returncode or found != expected:
            raise WrongResult(f"code {done.returncode}, {found} lines: {done.stderr.decode()}")
        return {_name(count): elapsed}

    def ours() -> Mapping[str, float]:
        heading = 1
        return run(product.argv("ls"), product.world.env, heading + count)

    def bare() -> Mapping[str, float]:
        return run([sys.executable, "-I", "-c", "pass"], product.world.env, 0)

    trials: dict[Party, Callable[[], Mapping[str, float]]] = {Party.OURS: ours, Party.LIMIT: bare}
    if server is not None:
        command, env = server.argv("list-windows", "-t", "bench"), server.env
        trials[Party.PEER] = lambda: run(command, env, count)
    return interleaved(trials, rounds)
