"""How fast output reaches the terminal of an attached client, and whether all of it does."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from claudectl_protocol.calls import Remove
from claudectl_protocol.calls import Target as Named
from tests.bench import children, tmux
from tests.bench.product import Product
from tests.bench.pty import Pty
from tests.bench.results import Figures, Line, Party, Target, WrongResult, interleaved
from tests.bench.scale import Scale
from tests.bench.tmux import Tmux

PLAIN = "attach: plain output, client that keeps up"
COLOURED = "attach: coloured output, client that keeps up"
FLOOD = "attach: flood without a pause, until its end is shown"
SKIPPED = "attach: lines of that flood that were skipped"


def lines(_: Scale) -> tuple[Line, ...]:
    """What is measured."""
    speed = Target(value=2, against=Party.PEER, at_least=True)
    return (
        Line(name=PLAIN, unit="MB/s", target=speed),
        Line(name=COLOURED, unit="MB/s", target=speed),
        Line(name=FLOOD, unit="ms"),
        Line(name=SKIPPED, unit="lines"),
    )


class Course(NamedTuple):
    """A file of lines that is printed so many times, each time when the one before has come to its end."""

    file: Path
    content: bytes
    times: int

    def run(self, argv: Sequence[str], env: Mapping[str, str]) -> tuple[float, int]:
        """(seconds, lines that did not come) through a client in a terminal that is read at once."""
        with Pty(argv, env) as terminal:
            terminal.read_until(children.READY)
            begun = time.perf_counter()
            blocks = []
            for number in range(1, self.times + 1):
                terminal.write(b"\n")
                blocks.append(terminal.read_until(children.block_end(number)))
            elapsed = time.perf_counter() - begun
        missing = sum(children.missing_lines(block, self.content) for block in blocks)
        return elapsed, missing


Judge = Callable[[float, int], Mapping[str, float]]
"""From seconds and lines that did not come to figures. Raises WrongResult."""


def measure(scale: Scale) -> Figures:
    """`claudectl attach`, `tmux attach-session`, and the program alone."""
    figures: Figures = {}
    with ExitStack() as stack:
        product = stack.enter_context(Product())
        server = stack.enter_context(Tmux()) if tmux.is_installed() else None
        for name, coloured in ((PLAIN, False), (COLOURED, True)):
            file = product.home / f"coloured-{coloured}"
            content = children.write_lines(file, scale.block_bytes, coloured=coloured)
            course = Course(file, content, scale.blocks)
            figures |= interleaved(_trials(product, server, course, _speed(name, course)), scale.rounds)
        file = product.home / "flood"
        content = children.write_lines(file, scale.flood_bytes)
        course = Course(file, content, 1)
        figures |= interleaved(_trials(product, server, course, _flood), min(scale.rounds, 3))
    return figures


def _speed(name: str, course: Course) -> Judge:
    def judge(elapsed: float, _missing: int) -> Mapping[str, float]:
        return {name: len(course.content) * course.times / elapsed / 1e6}

    return judge


def _flood(elapsed: float, missing: int) -> Mapping[str, float]:
    return {FLOOD: elapsed * 1000, SKIPPED: missing}


def _trials(
    product: Product, server: Tmux | None, course: Course, judge: Judge
) -> Mapping[Party, Callable[[], Mapping[str, float]]]:
    program = children.blocks(course.file)
    keeps_up = course.times > 1

    def ours() -> Mapping[str, float]:
        name = f"{course.file.name}-{time.monotonic_ns()}"
        session = product.create(name, program)
        elapsed, missing = course.run(product.argv("attach", name, "-g"), product.world.env)
        if keeps_up and missing:
            raise WrongResult(f"{missing} lines did not come")
        ends = (course.content + children.block_end(number) for number in range(1, course.times + 1))
        if product.record(session) != children.READY + b"".join(ends):
            raise WrongResult("the record is not what was printed")
        product.client.call(Remove(target=Named(text=session.id, cwd="/"), force=True))
        return judge(elapsed, missing)

    def bare() -> Mapping[str, float]:
        elapsed, missing = course.run(program, {"PATH": os.defpath})
        if missing:
            raise WrongResult(f"{missing} lines did not come")
        return judge(elapsed, missing)

    trials: dict[Party, Callable[[], Mapping[str, float]]] = {Party.OURS: ours, Party.LIMIT: bare}
    if server is not None:
        trials[Party.PEER] = lambda: judge(*_through(server, program, course))
    return trials


def _through(server: Tmux, program: tuple[str, ...], course: Course) -> tuple[float, int]:
    """It draws what it thinks is worth drawing; that it took everything shows on its screen."""
    window = f"{course.file.name}-{time.monotonic_ns()}"
    server.window(window, program)
    found = course.run(server.attach(window), server.env)
    shown = server.screen(window)[-2:]
    last = course.content[-children.LINE_BYTES :].split()[0].decode()
    if not shown[0].startswith(last) or shown[1] != children.block_end(course.times).decode():
        raise WrongResult(f"its screen ends in {shown}")
    server.run("kill-window", "-t", f"bench:{window}")
    return found
