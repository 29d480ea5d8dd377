"""All benches by name, and a run of some of them."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tests.bench import adoption, creating, echo, listing, machine, memory, throughput, tmux, work
from tests.bench.results import Failure, Figure, Figures, Line, Party, Report, Row, WrongResult
from tests.bench.scale import FULL, QUICK, Scale

SCHEMA = 1


class Bench(NamedTuple):
    """What a bench is about, and how it is run."""

    lines: Callable[[Scale], tuple[Line, ...]]
    measure: Callable[[Scale], Figures]
    has_peer: bool = True


BENCHES: Mapping[str, Bench] = MappingProxyType(
    {
        "create": Bench(creating.lines, creating.measure),
        "ls": Bench(listing.lines, listing.measure),
        "throughput": Bench(throughput.lines, throughput.measure),
        "echo": Bench(echo.lines, echo.measure),
        "memory": Bench(memory.lines, memory.measure),
        "cpu": Bench(work.lines, work.measure),
        "adoption": Bench(adoption.lines, adoption.measure, has_peer=False),
    }
)


def run(names: Iterable[str], *, quick: bool, say: Callable[[str], None]) -> Report:
    """Run benches one after the other; `say` is told the name of each when it begins."""
    facts = machine.facts()
    scale = QUICK if quick else FULL
    rows: list[Row] = []
    for name in names:
        say(name)
        rows += _rows(name, BENCHES[name], scale)
    return Report(schema=SCHEMA, quick=quick, machine=facts, rows=tuple(rows))


def _rows(name: str, bench: Bench, scale: Scale) -> Iterable[Row]:
    everybody: dict[Party, Figure] = {}
    try:
        figures = bench.measure(scale)
        # What everybody failed at could not say which lines it is about.
        everybody = figures.get("", {})
    except (WrongResult, OSError, TimeoutError) as error:
        figures = {}
        everybody = {Party.OURS: Failure(why=f"{type(error).__name__}: {error}")}
    if bench.has_peer and not tmux.is_installed():
        everybody = {**everybody, Party.PEER: Failure(why="tmux is not installed")}
    for line in bench.lines(scale):
        found = {**everybody, **figures.get(line.name, {})}
        if Party.OURS not in found:
            found[Party.OURS] = Failure(why="it was not measured")
        yield Row(bench=name, line=line, figures=found)
