"""What only the daemon's side can find out about itself and this machine, for `claudectl doctor`."""

from claudectl_protocol.sessions import Value


class ClaudeFacts(Value):
    """Claude Code as a session of the caller would find it."""

    path: str = ""
    """Empty when it was not found."""
    searched: tuple[str, ...] = ()
    """Where, when it was not found."""
    version: str = ""
    """Empty when it did not say."""
    problem: str = ""
    """Why it did not say."""
    logins: tuple[str, ...] = ()
    """What stands for a login, by name, never a value; empty when nothing does."""


class Diagnosis(Value):
    """Facts, not opinions."""

    claude: ClaudeFacts
    config_problem: str = ""
    """Why the configuration file is not used; empty when it is, or when there is none."""
    keeper_code: str = ""
    """The copy of its code that a keeper started by this installation would run; empty when it cannot be read."""
    files_open: int | None = None
    """File descriptors of the answering process, where the system says."""
    files_soft: int | None = None
    """How many it may have; nil for no limit."""
    projects: tuple[str, ...] = ()
    """The directories on the list of projects."""
    store_problems: tuple[str, ...] = ()
    """Which of the session files cannot be read, and why."""
