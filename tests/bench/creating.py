"""How long it takes until a new session's program runs."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from tests.bench import children, tmux
from tests.bench.product import Product
from tests.bench.pty import Pty
from tests.bench.results import Figures, Line, Party, Target, WrongResult, interleaved
from tests.bench.scale import Scale
from tests.bench.tmux import Tmux
from tests.e2e.world import Fifo

CLIENT = "create: command, until it has ended and the program runs"
DAEMON = "create: call on an open connection, until answered"


def lines(_: Scale) -> tuple[Line, ...]:
    """What is measured."""
    return (
        Line(name=CLIENT, unit="ms"),
        Line(name=DAEMON, unit="ms", target=Target(value=5)),
    )


def measure(scale: Scale) -> Figures:
    """`claudectl new`, the call alone, `tmux new-window`, and a fork into a bare terminal."""
    with ExitStack() as stack:
        product = stack.enter_context(Product())
        started = Fifo(product.home / "started")
        stack.callback(started.close)
        program = children.told(started.path)
        names = (f"job-{number}" for number in range(1_000_000))

        def run(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> float:
            """Milliseconds until a command has ended with 0 and what it started has said that it runs."""
            begun = time.perf_counter()
            done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, check=False)
            if done.returncode:
                raise WrongResult(f"it left with {done.returncode}: {done.stderr.decode()}")
            started.line()
            return (time.perf_counter() - begun) * 1000

        def ours() -> Mapping[str, float]:
            command = product.argv("new", "-n", next(names), "--command", "--", *program)
            whole = run(command, product.world.env, str(product.world.project))
            begun = time.perf_counter()
            session = product.create(next(names), program)
            answered = (time.perf_counter() - begun) * 1000
            started.line()
            if session.pid is None:
                raise WrongResult(f"session {session.name} has no process")
            return {CLIENT: whole, DAEMON: answered}

        def bare() -> Mapping[str, float]:
            begun = time.perf_counter()
            with Pty(program, {"PATH": os.defpath}):
                started.line()
                elapsed = (time.perf_counter() - begun) * 1000
            return {CLIENT: elapsed, DAEMON: elapsed}

        trials: dict[Party, Callable[[], Mapping[str, float]]] = {Party.OURS: ours, Party.LIMIT: bare}
        if tmux.is_installed():
            server = stack.enter_context(Tmux())

            def peer() -> Mapping[str, float]:
                command = server.argv("new-window", "-d", "-t", "bench", "-n", next(names), *program)
                return {CLIENT: run(command, server.env, "/")}

            trials[Party.PEER] = peer
        return interleaved(trials, scale.create_rounds)
