"""How often a random thing is tried: a few times in every run, the full count with CLAUDECTL_LONG=1."""

import os


def times(small: int, full: int) -> int:
    """`small`, or `full` in the long run."""
    return full if os.environ.get("CLAUDECTL_LONG") == "1" else small
