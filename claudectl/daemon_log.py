"""The logs of the daemon and the keeper: their last lines, and following them."""

import os
import shutil
from collections.abc import Sequence
from typing import NoReturn

from claudectl.service.port import ServiceTrouble

DAEMON_LOG = "claudectld.log"
KEEPER_LOG = "keeper.log"


def log_paths(state: str, *, keeper: bool) -> tuple[str, ...]:
    """The files to read, the daemon's first."""
    names = (DAEMON_LOG, KEEPER_LOG) if keeper else (DAEMON_LOG,)
    return tuple(os.path.join(state, "logs", name) for name in names)


def last_lines(path: str, count: int) -> list[str]:
    """The last lines of a log, also from the file that was set aside when it was full; none where there is none.

    Raises ServiceTrouble when it cannot be read.
    """
    lines: list[str] = []
    for each in (path, f"{path}.1"):
        if len(lines) >= count:
            break
        try:
            with open(each, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines() + lines
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ServiceTrouble(f"{each} cannot be read: {error.strerror}") from error
    return lines[-count:] if count else []


def follow(paths: Sequence[str], count: int) -> NoReturn:
    """Become `tail`, which knows on every system how to wait for lines and what a log that is set aside means.

    Raises ServiceTrouble where it is missing.
    """
    program = shutil.which("tail")
    if program is None:
        raise ServiceTrouble("there is no 'tail' on PATH to follow the log with; leave out -f")
    os.execv(program, ["tail", "-n", str(count), "-F", *paths])
