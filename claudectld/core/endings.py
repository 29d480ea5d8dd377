"""What an exit means: did the person leave, did something interrupt the session, or did it fail?"""

from enum import Enum, auto

from claudectl_protocol.sessions import Exit

_HANGUP = 129
_TERMINATED = 143
"""What programs that handle SIGHUP and SIGTERM exit with, Claude among them."""


class Ending(Enum):
    """The three meanings of an exit."""

    LEFT = auto()
    """It ended of its own accord: it is no longer wanted."""
    INTERRUPTED = auto()
    """Something from outside ended it, or nobody knows what did: what was wanted still is."""
    FAILED = auto()
    """It gave up without having been asked to: what was wanted still is, and trying again may help once."""


def ending_of(exit: Exit, *, claude: bool) -> Ending:  # noqa: A002  (the domain's own word)
    """What `exit` means for a run of Claude Code or of another program.

    Claude is left only by an exit with 0; another program's own exit is final whatever the code.
    """
    if exit.reason == "spawn_failed":
        return Ending.FAILED
    # Claude exits with 0 when its terminal is taken away, too: whoever knows that says so in the reason.
    if exit.reason != "exited" or exit.code is None:
        return Ending.INTERRUPTED
    if exit.code in (_HANGUP, _TERMINATED):
        return Ending.INTERRUPTED
    return Ending.LEFT if exit.code == 0 or not claude else Ending.FAILED
