"""The `claudectl` script."""

import sys
from io import TextIOWrapper

from claudectl.quick import answered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Run the command line of this process and exit with its code."""
    code = answered(sys.argv[1:])
    if code is not None:
        sys.exit(code)
    # Only now, as all that follows: it would cost more than the answer.
    from claudectl.completion import names

    if sys.argv[1:2] == [names.VERB]:
        sys.exit(names.main(sys.argv[2:]))
    from claudectl.cli import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a symbol should get something readable, never a traceback.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
