"""Waiting for what other programs write to files, by the kernel's events (inotify) instead of by looking again."""

import ctypes
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

_WRITTEN = 0x2 | 0x8 | 0x80 | 0x100 | 0x200
"""IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE, IN_DELETE."""


def wait_for_file(directory: Path, look: Callable[[], T | None], *, deadline_s: float = 20.0) -> T:
    """What `look` finds, asked now and after each change of a file in `directory` (made if it is missing).

    Raises:
        TimeoutError: it found nothing in time.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("file events are only wired for Linux")
    directory.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    events: int = libc.inotify_init1(os.O_CLOEXEC)
    try:
        if libc.inotify_add_watch(events, os.fsencode(directory), _WRITTEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(directory))
        poll = select.poll()
        poll.register(events, select.POLLIN)
        deadline = time.monotonic() + deadline_s
        while True:
            found = look()
            if found is not None:
                return found
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError(f"not within {deadline_s} s in {directory}")
            os.read(events, 65536)
    finally:
        os.close(events)
