"""The daemon's start, from its command line to the word that it serves."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.world import World, wait_gone
from tests.support.files import wait_for_file


@pytest.fixture
def world() -> Iterator[World]:
    """A world that ends as the product ends it."""
    with World() as made:
        yield made
        made.end()


def test_a_daemon_that_is_asked_for_its_socket_before_it_has_one_lives(world: World) -> None:
    locks = world.state / "locks"
    ready, its = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "claudectld", "run", "--ready-fd", str(its)], env=world.env, pass_fds=(its,)
    ) as daemon:
        os.close(its)
        lock = locks / "daemon.lock"

        def holds() -> bool | None:
            return (lock.exists() and lock.read_text().strip() == str(daemon.pid)) or None

        wait_for_file(locks, holds)
        # What another one does that finds the lock taken and no socket: it wakes whoever holds the lock.
        daemon.send_signal(signal.SIGUSR1)
        with os.fdopen(ready) as pipe:
            assert pipe.readline() == "ready\n"
        world.ctl("daemon", "stop")
        assert daemon.wait(20) == 0
        wait_gone(world.processes())
