"""Named points at which a test lets this process die at once: no handler runs, nothing is flushed."""

import os
import signal

VARIABLE = "CLAUDECTL_CRASH"


def crashpoint(name: str) -> None:
    """Die by SIGKILL if the environment variable CLAUDECTL_CRASH equals `name`; else do nothing."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
