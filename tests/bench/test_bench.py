"""The benchmarks run, check what they measure, and report every line; no number is judged here."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.bench import children, suite, tmux
from tests.bench.results import (
    Failure,
    Figure,
    Line,
    Party,
    Report,
    Row,
    Target,
    WrongResult,
    interleaved,
    json_text,
    table,
)
from tests.bench.scale import QUICK

HALF = Target(value=0.5, against=Party.PEER)


def report(figures: dict[Party, Figure], target: Target | None = None) -> Report:
    line = Line(name="running", unit="ms", target=target)
    return Report(
        schema=1, quick=True, machine={"cores": "2"}, rows=(Row(bench="b", line=line, figures=figures),)
    )


def test_smallest_size_of_every_bench_gives_every_line() -> None:
    told: list[str] = []

    found = suite.run(suite.BENCHES, quick=True, say=told.append)

    assert told == list(suite.BENCHES)
    expected = [(name, line.name) for name, bench in suite.BENCHES.items() for line in bench.lines(QUICK)]
    assert [(row.bench, row.line.name) for row in found.rows] == expected
    wrong = {
        (row.line.name, party): figure.why
        for row in found.rows
        for party, figure in row.figures.items()
        if isinstance(figure, Failure) and (party is not Party.PEER or tmux.is_installed())
    }
    assert wrong == {}
    assert all(line in table(found) for _, line in expected)


def test_parties_take_turns_and_the_median_counts() -> None:
    order: list[Party] = []
    numbers = {Party.OURS: iter((90.0, 1.0, 9.0, 2.0)), Party.LIMIT: iter((90.0, 5.0, 3.0, 4.0))}

    def trial(party: Party) -> Mapping[str, float]:
        order.append(party)
        return {"running": next(numbers[party])}

    found = interleaved({party: partial(trial, party) for party in numbers}, 3)

    assert order == [Party.OURS, Party.LIMIT] * 4
    assert found == {"running": {Party.OURS: 2.0, Party.LIMIT: 4.0}}


def test_wrong_result_stands_in_the_place_of_a_number() -> None:
    def wrong() -> Mapping[str, float]:
        raise WrongResult("two lines are missing")

    found = interleaved({Party.OURS: wrong, Party.LIMIT: lambda: {"running": 4.0}}, 2)

    assert found == {"running": {Party.OURS: Failure(why="two lines are missing"), Party.LIMIT: 4.0}}
    text = table(report(found["running"], HALF))
    assert text.splitlines()[3].split() == [
        "running",
        "ms",
        "FAILED",
        "-",
        "4",
        "-",
        "-",
        "<=",
        "0.5",
        "x",
        "tmux",
    ]
    assert text.splitlines()[4] == "FAILED running, ours: two lines are missing"


@pytest.mark.parametrize(("ours", "said"), [(4.0, "met"), (6.0, "missed")])
def test_table_shows_ratios_and_whether_the_target_is_met(ours: float, said: str) -> None:
    text = table(report({Party.OURS: ours, Party.PEER: 10.0, Party.LIMIT: 2.0}, HALF))

    ratios = [f"{ours / 10:.2f}", f"{ours / 2:.2f}"]
    assert text.splitlines()[3].split()[5:] == [*ratios, "<=", "0.5", "x", "tmux", said]


def test_json_has_numbers_and_the_reasons_of_failures() -> None:
    document = json.loads(json_text(report({Party.OURS: 4.0, Party.PEER: Failure(why="not installed")})))

    assert document["rows"][0]["figures"] == {"ours": 4.0, "tmux": {"why": "not installed"}}


@pytest.mark.parametrize(
    ("cut", "missing"),
    [
        (lambda lines: lines, 0),
        (lambda lines: [b"before", *lines, b"after"], 0),
        (lambda lines: lines[:3] + lines[5:], 2),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 1),
        (lambda lines: [*lines[:3], lines[3][:-1], *lines[4:]], 1),
        (lambda lines: lines[1:], 1),
    ],
)
def test_lines_that_did_not_come_are_counted(
    tmp_path: Path, cut: Callable[[list[bytes]], list[bytes]], missing: int
) -> None:
    content = children.write_lines(tmp_path / "lines", 10 * children.LINE_BYTES)

    received = b"".join(line + b"\r\n" for line in cut(content.split(b"\r\n")[:-1]))

    assert children.missing_lines(received, content) == missing
