"""The daemon may be killed at any moment: nothing is lost, nothing comes twice."""

import os
import random
import re
import signal

from claudectl_protocol.sessions import Size
from tests.counts import times
from tests.e2e.claude_world import field
from tests.e2e.scripts import NUMBERED_LINES, numbers_in
from tests.e2e.world import World, wait_gone


def test_killed_at_random_moments_no_line_is_lost_and_none_comes_twice(world: World) -> None:
    # The whole record is judged, so nothing of it may be given up to the limit.
    world.configure("[records]\nlimit_mib = 4096\n")
    session = world.run(NUMBERED_LINES)
    moments = random.Random(7)

    for _ in range(times(20, 1000)):
        daemon = world.daemon_pid()
        # The moment is a random amount of its work, not of time.
        for _ in range(moments.randrange(3)):
            world.ctl("ls")
        world.kill(daemon)

    assert world.shown("job")["pid"] == session["pid"]
    world.ctl("send", "job", "--keys", "stop<Enter>")
    followed = world.ctl("logs", "job", "-f", "--raw").out.encode()
    numbers, end = numbers_in(world.record(session))
    assert end is not None
    assert numbers == list(range(end))
    assert numbers_in(followed)[0] == numbers
    assert field(world.shown("job"), "exit", "code") == 42


def test_an_exit_that_no_daemon_saw_is_known_to_the_next(world: World) -> None:
    session = world.run("import sys; print('up', flush=True); sys.stdin.readline()")
    world.kill(world.daemon_pid())
    pid = int(str(session["pid"]))

    os.kill(pid, signal.SIGHUP)
    wait_gone([pid])

    assert field(world.shown("job"), "exit", "signal") == signal.SIGHUP


def test_an_attached_client_goes_on_at_its_byte(world: World) -> None:
    session = world.run(NUMBERED_LINES)
    with world.attach("job", size=Size(cols=80, rows=24)) as terminal:
        terminal.wait_for("line 0000")
        for _ in range(times(5, 50)):
            world.kill(world.daemon_pid())
            world.start()
            newest = numbers_in(world.record(session))[0][-1]
            terminal.wait_for_output(f"line {newest:09d}".encode())
        terminal.type("stop\r")
        terminal.wait_for_output(b"exited with code 42")
        output = terminal.output

    numbers = [int(number) for number in re.findall(rb"line (\d{9})", output)]
    record, end = numbers_in(world.record(session))
    assert end is not None
    assert numbers == record[record.index(numbers[0]) :]
