"""What is wrong with a call in itself, whoever makes it: found out before anything is looked at or changed. Pure."""

import uuid
from typing import assert_never

from claudectl_protocol import calls
from claudectl_protocol.faults import InvalidArgument, Rejected
from claudectl_protocol.sessions import Size

MOST_CELLS = 65535
"""A terminal's columns, rows and pixels are 16-bit numbers."""
LONGEST_GRACE_S = 3600.0
_UNLIMITED = -1
_MOST_LIMIT = (1 << 63) - 1
_MOST_GROUP = (1 << 32) - 2


def check(call: calls.AnyCall) -> None:
    """Raise Rejected(InvalidArgument) for a call that nobody could carry out."""
    match call:
        case calls.New():
            _check_new(call)
        case calls.Attach(target=target, size=size, read_only=read_only, history=history):
            _check_directory(target.cwd)
            _check(size is not None or read_only, "the terminal's size", "is needed to type")
            _check(history >= 0, "--history", "is less than 0")
            if size is not None:
                _check_size(size)
        case calls.Logs(target=target, follow=follow, rendered=rendered):
            _check_directory(target.cwd)
            _check(not (follow and rendered), "rendered", "does not go with follow")
        case calls.Stop(target=target, grace_s=grace_s) | calls.Restart(target=target, grace_s=grace_s):
            _check_directory(target.cwd)
            _check(0 <= grace_s <= LONGEST_GRACE_S, "--grace", "is not between 0 and 3600 seconds")
        case (
            calls.Show(target=target)
            | calls.Rename(target=target)
            | calls.Remove(target=target)
            | calls.SendKeys(target=target)
            | calls.View(target=target)
        ):
            _check_directory(target.cwd)
        case calls.List(cwd=path) | calls.Diagnose(cwd=path):
            _check_directory(path)
        case calls.Table(cwd=path, width=width):
            _check_directory(path)
            _check(width is None or width > 0, "the terminal's width", "is less than 1")
        case calls.ProjectAdd(path=path) | calls.ProjectRemove(path=path) | calls.ProjectShow(path=path):
            _check_directory(path)
        case calls.Status() | calls.ProjectListing() | calls.Shutdown() | calls.UpgradeKeeper():
            pass
        case _:
            assert_never(call)


def _check_new(call: calls.New) -> None:
    _check_directory(call.cwd)
    try:
        canonical = str(uuid.UUID(call.key))
    except ValueError:
        canonical = ""
    _check(canonical == call.key, "key", "is no uuid in its canonical form")
    _check(not (call.via_npx and call.program), "via_npx", "is for Claude Code only")
    for what, words in (
        ("the arguments", call.args),
        ("the prompt", (call.prompt or "",)),
        ("--command", (call.program,)),
        ("the environment", (*call.env.keys(), *call.env.values())),
    ):
        _check(not any("\0" in word for word in words), what, "holds a NUL byte")
    raw = (*call.raw_env.keys(), *call.raw_env.values())
    _check(not any(b"\0" in word for word in raw), "the environment", "holds a NUL byte")
    _check(
        all(name and "=" not in name for name in call.env)
        and all(name and b"=" not in name for name in call.raw_env),
        "the environment",
        "has a name that no variable can have",
    )
    _check(not call.program or call.prompt is None, "the prompt", "goes with Claude Code only")
    _check(0 <= call.umask <= 0o777, "the umask", "is not between 0 and 0777")
    _check(all(0 <= group <= _MOST_GROUP for group in call.groups), "a group", "is no group id")
    for number, limits in call.rlimits.items():
        fits = number >= 0 and all(_UNLIMITED <= limit <= _MOST_LIMIT for limit in limits)
        _check(fits, f"resource limit {number}", "is no limit")
    if call.size is not None:
        _check_size(call.size)


def _check_directory(path: str) -> None:
    _check(path.startswith("/") and "\0" not in path, "the directory", "is not an absolute path")


def _check_size(size: Size) -> None:
    cells = all(1 <= number <= MOST_CELLS for number in (size.cols, size.rows))
    pixels = all(0 <= number <= MOST_CELLS for number in (size.xpixel, size.ypixel))
    _check(cells and pixels, "the terminal's size", f"is not between 1 and {MOST_CELLS} columns and rows")


def _check(holds: bool, what: str, why: str) -> None:
    if not holds:
        raise Rejected(InvalidArgument(what=what, why=why))
