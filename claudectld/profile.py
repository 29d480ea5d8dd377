"""How different programs want to be treated: which signals end them, what a key does to them."""

from signal import SIGCONT, SIGHUP, SIGTERM

from claudectl_protocol.sessions import Value
from claudectld.core.session import Session


class Profile(Value):
    """A program's manners."""

    stop_signals: tuple[int, ...]
    """Sent in this order to ask the main process to end."""
    suspend_key: bool
    """False when Ctrl-Z must not reach it."""
    young_s: float
    """It is not killed before it has lived so long, unless forced."""


CLAUDE = Profile(
    stop_signals=(SIGTERM,),
    # Claude leaves its screen and then hears nothing until SIGCONT, which no key can send.
    suspend_key=False,
    # A kill in its first seconds counts as a failure of the full-screen mode, which it then turns off.
    young_s=10.0,
)
# Shells ignore SIGTERM when interactive but leave on a hang-up; a stopped program must run to hear either.
PROGRAM = Profile(stop_signals=(SIGHUP, SIGTERM, SIGCONT), suspend_key=True, young_s=0.0)


def profile_of(session: Session) -> Profile:
    """The profile of a session's program."""
    return CLAUDE if session.is_claude else PROGRAM
