"""What the core asks of the world. The supervisor carries a list of effects out in order and stops at the first
that fails, so what must not happen before a save stands behind it.
"""

from claudectl_protocol.sessions import Exit, RunId, SessionId, Value


class Save(Value):
    """Write the sessions of `project` (None: those of no project) as they are when it is written.

    `removed` is the reason when there are fewer sessions than before.
    """

    project: str | None
    removed: str = ""


class Start(Value):
    """Bring a run to life: end what the `old` runs left behind, write `starting`, spawn, and say what came of it.

    `fresh` marks a session that has never been on disk.
    """

    session: SessionId
    run: RunId
    old: tuple[RunId, ...] = ()
    """Every earlier run, not only the last: that one may have been cut off before it had ended those before it."""
    fresh: bool = False


class End(Value):
    """End a run and everything it started."""

    session: SessionId
    run: RunId
    grace_s: float
    force: bool


class Follow(Value):
    """A run is live: read its record, keep its screen."""

    session: SessionId
    run: RunId


class Unfollow(Value):
    """A run ended: tell those who watch."""

    run: RunId
    exit: Exit


class Acknowledge(Value):
    """The exit is on disk: the keeper may stop reporting it."""

    run: RunId


class Forget(Value):
    """Delete a session's records, secrets and checkpoints."""

    session: SessionId
    runs: tuple[RunId, ...]


class Changed(Value):
    """A session is not what it was."""

    session: SessionId


Effect = Save | Start | End | Follow | Unfollow | Acknowledge | Forget | Changed
