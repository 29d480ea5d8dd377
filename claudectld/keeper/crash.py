"""Named points at which a test can have the keeper die as if by SIGKILL."""

import os
import signal

VARIABLE = "CLAUDECTL_KEEPER_CRASH"


def crash_point(name: str) -> None:
    """Die here when the environment names this point; otherwise nothing."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
