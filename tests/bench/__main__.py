"""`python -m tests.bench`: run the benchmarks, print a table, write JSON."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.bench.results import Failure, Party, json_text, table
from tests.bench.suite import BENCHES, run


def main() -> int:
    """Run what the command line names; 1 when a bench of ours failed, whatever the numbers are."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benches to run: {', '.join(BENCHES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: shows that it works")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}")
    # So that what is running is ended on the way out.
    signal.signal(signal.SIGTERM, _leave)
    report = run(
        options.names or BENCHES,
        quick=options.quick,
        say=lambda name: print(f"bench: {name}", file=sys.stderr, flush=True),
    )
    print(table(report), end="")
    if options.json is not None:
        options.json.write_text(json_text(report))
    return int(any(isinstance(row.figures[Party.OURS], Failure) for row in report.rows))


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
