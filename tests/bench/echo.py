"""How long it takes from a key to what the program answers, through an attached client."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from tests.bench import children, tmux
from tests.bench.product import Product
from tests.bench.pty import Pty
from tests.bench.results import Figures, Line, Party, Target, interleaved, percentile
from tests.bench.scale import Scale
from tests.bench.tmux import Tmux

P50 = "key echo through attach, p50"
P99 = "key echo through attach, p99"
KEYS = (b"{", b"}")
"""In no escape sequence, and no key of any client."""
WARM_UP_KEYS = 20


def lines(_: Scale) -> tuple[Line, ...]:
    """What is measured."""
    return (
        Line(name=P50, unit="us", target=Target(value=1.6, against=Party.PEER)),
        Line(name=P99, unit="us"),
    )


def measure(scale: Scale) -> Figures:
    """One key after the other, the next when the one before has come back."""
    with ExitStack() as stack:
        product = stack.enter_context(Product())
        session = product.create("echo", children.echo())

        def typed(argv: Sequence[str], env: Mapping[str, str]) -> Mapping[str, float]:
            took = []
            with Pty(argv, env) as terminal:
                terminal.read_until(children.READY)
                for number in range(WARM_UP_KEYS + scale.keys):
                    key = KEYS[number % len(KEYS)]
                    begun = time.perf_counter()
                    terminal.write(key)
                    terminal.read_until(key)
                    took.append((time.perf_counter() - begun) * 1e6)
            return {P50: percentile(took[WARM_UP_KEYS:], 50), P99: percentile(took[WARM_UP_KEYS:], 99)}

        trials: dict[Party, Callable[[], Mapping[str, float]]] = {
            Party.OURS: lambda: typed(product.argv("attach", session.name, "-g"), product.world.env),
            Party.LIMIT: lambda: typed(children.echo(), {"PATH": os.defpath}),
        }
        if tmux.is_installed():
            server = stack.enter_context(Tmux())

            def peer() -> Mapping[str, float]:
                window = f"echo-{time.monotonic_ns()}"
                server.window(window, children.echo())
                return typed(server.attach(window), server.env)

            trials[Party.PEER] = peer
        return interleaved(trials, scale.rounds)
