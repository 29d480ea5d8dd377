"""What the benchmarks found: figures of three parties, line by line, as a table and as JSON."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from claudectl_protocol.sessions import Value


class Party(StrEnum):
    """Who is measured."""

    OURS = "ours"
    PEER = "tmux"
    LIMIT = "limit"


class WrongResult(Exception):
    """What was measured did not do what it was measured for, so that its time says nothing."""


class Failure(Value):
    """Stands in the place of a number."""

    why: str


Figure = float | Failure


class Target(Value):
    """What our figure is to reach: a number, or a multiple of another party's figure."""

    value: float
    against: Party | None = None
    at_least: bool = False

    def is_met(self, figures: Mapping[Party, Figure]) -> bool | None:
        """None when a figure that it takes is missing."""
        ours = figures.get(Party.OURS)
        base = 1.0 if self.against is None else figures.get(self.against)
        if not isinstance(ours, float) or not isinstance(base, float):
            return None
        return ours >= self.value * base if self.at_least else ours <= self.value * base

    def text(self, unit: str) -> str:
        """As it stands in the table."""
        sign = ">=" if self.at_least else "<="
        of = unit if self.against is None else f"x {self.against}"
        return f"{sign} {self.value:g} {of}"


class Line(Value):
    """One line of the table before anything is measured."""

    name: str
    unit: str
    target: Target | None = None


Figures = dict[str, dict[Party, Figure]]
"""By the line's name, then by party."""


class Row(Value):
    """One line of the table with its figures; a party that this line does not have is absent."""

    bench: str
    line: Line
    figures: dict[Party, Figure]

    def ratio(self, party: Party) -> float | None:
        """Ours divided by the party's."""
        ours, theirs = self.figures.get(Party.OURS), self.figures.get(party)
        if not isinstance(ours, float) or not isinstance(theirs, float) or not theirs:
            return None
        return ours / theirs


class Report(Value):
    """One run of the benchmarks."""

    schema: int
    quick: bool
    machine: dict[str, str]
    rows: tuple[Row, ...]


def interleaved(trials: Mapping[Party, Callable[[], Mapping[str, float]]], rounds: int) -> Figures:
    """Run every party's trial in turn, `rounds` times after a warm-up, so that a noisy moment hits all of them.

    A trial gives a number for each line it is about; returned are the medians of its rounds. The Failure of a party
    whose trial raised WrongResult stands under the lines that the other parties name, or "" when none is left.
    """
    samples: dict[Party, list[Mapping[str, float]]] = {party: [] for party in trials}
    failures: dict[Party, Failure] = {}
    for number in range(rounds + 1):
        for party, trial in trials.items():
            if party in failures:
                continue
            try:
                found = trial()
            except WrongResult as error:
                failures[party] = Failure(why=str(error))
                continue
            if number:
                samples[party].append(found)
    figures: Figures = {}
    for party, found_by_round in samples.items():
        for name in found_by_round[0] if party not in failures else ():
            median = statistics.median(found[name] for found in found_by_round)
            figures.setdefault(name, {})[party] = float(median)
    for party, failure in failures.items():
        for figure in list(figures.values()) or [figures.setdefault("", {})]:
            figure[party] = failure
    return figures


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of a hundred lie."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def json_text(report: Report) -> str:
    """The report as one JSON document over several lines."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n"


def table(report: Report) -> str:
    """The report for people."""
    heading = ["what", "unit", "ours", "tmux", "limit", "x tmux", "x limit", "target", ""]
    cells = [heading, *(_cells(row) for row in report.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    lines = [f"{name}: {value}" for name, value in report.machine.items()]
    lines.append("")
    for name, unit, *others in cells:
        columns = [name.ljust(widths[0]), unit.ljust(widths[1])]
        columns += [cell.rjust(width) for cell, width in zip(others, widths[2:], strict=True)]
        lines.append("  ".join(columns).rstrip())
    for row in report.rows:
        for party, figure in row.figures.items():
            if isinstance(figure, Failure):
                lines.append(f"FAILED {row.line.name}, {party}: {figure.why}")
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    target = row.line.target
    met = None if target is None else target.is_met(row.figures)
    return [
        row.line.name,
        row.line.unit,
        *(_figure(row.figures.get(party)) for party in Party),
        *(_ratio(row.ratio(party)) for party in (Party.PEER, Party.LIMIT)),
        "" if target is None else target.text(row.line.unit),
        {True: "met", False: "missed", None: ""}[met],
    ]


def _figure(figure: Figure | None) -> str:
    if isinstance(figure, Failure):
        return "FAILED"
    if figure is None:
        return "-"
    return f"{figure:.0f}" if figure >= 100 or figure == int(figure) else f"{figure:.3g}"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"
