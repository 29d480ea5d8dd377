"""A new daemon takes over many sessions with much output: every byte in order, every screen right, every client where
it was."""

import os
import select
import sys
from collections.abc import Iterator, Mapping

import pytest

from claudectl.client import Client
from claudectl_protocol.calls import Attach, Target
from claudectl_protocol.connection import Data, Repaint
from claudectl_protocol.sessions import Size
from tests.counts import times
from tests.e2e.world import DEADLINE_S, Fifo, World
from tests.support.display import cells_of
from tests.support.terminal import Terminal

SESSIONS = times(20, 100)
WATCHED = 3
BORN = Size(cols=120, rows=40)
"""The size of a session whose client had no terminal."""
PRINTED_BYTES = 1024 * 1024 - 4096
"""As much as a client may be behind, so that it gets all of it whatever the machine is busy with."""

PRINTS_WHEN_TOLD = """
import os, sys, tty
# Prints a file when the gate is opened, says so, and then answers each key.
tty.setraw(0)
os.write(1, b"up")
gate, done, file = sys.argv[1:]
open(gate).close()
with open(file, "rb") as lines:
    while data := lines.read(5000):
        while data:
            data = data[os.write(1, data):]
with open(done, "w") as pipe:
    pipe.write("done\\n")
while key := os.read(0, 1):
    os.write(1, b"(" + key + b")")
"""


def printed(number: int) -> bytes:
    """What session `number` prints: lines with their numbers, styles, wide characters and screens drawn in place."""
    lines: list[bytes] = []
    size_bytes = 0
    while size_bytes < PRINTED_BYTES - 200:
        at = len(lines)
        place = f"\x1b[{at % 37 + 1};{at % 11 + 1}H" if at % 50 < 10 else ""
        text = f"{place}\x1b[3{(at + number) % 8};{at % 2 * 4}m{number:03d} line {at:06d}\x1b[0m 漢字 {at * at:x}\r\n"
        lines.append(text.encode())
        size_bytes += len(lines[-1])
    return b"".join(lines)


class Crowd:
    """Sessions that print at the same time when the gate is opened."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._gate = world.home / "gate"
        os.mkfifo(self._gate)
        self.done = Fifo(world.home / "done")
        script = world.home / "print.py"
        script.write_text(PRINTS_WHEN_TOLD)
        self.sessions = [self._start(number, str(script)) for number in range(SESSIONS)]

    def _start(self, number: int, script: str) -> dict[str, object]:
        file = self._world.home / f"lines-{number}"
        file.write_bytes(printed(number))
        words = (sys.executable, script, str(self._gate), str(self.done.path), str(file))
        return self._world.new("-n", f"s{number}", "--command", "--", *words)

    def open_gate(self) -> None:
        """Let all of them print; those that come later too."""
        self._held = os.open(self._gate, os.O_RDWR)

    def close(self) -> None:
        """Give the pipes back."""
        os.close(self._held)
        self.done.close()


@pytest.fixture
def crowd(world: World) -> Iterator[Crowd]:
    made = Crowd(world)
    yield made
    made.close()


def painted(world: World, session: Mapping[str, object], size: Size, until: int) -> bytes:
    """What a client that comes now is sent until it has all up to an offset."""
    sent = b""
    offset = 0
    with Client.connect(world.socket) as client:
        client.call(Attach(target=Target(text=str(session["id"]), cwd="/"), size=size, read_only=True))
        while offset < until:
            if not client.has_events and not select.select([client], [], [], DEADLINE_S)[0]:
                raise TimeoutError(f"{session['name']} is shown up to {offset} of {until}")
            for event in client.received():
                assert isinstance(event, Data | Repaint), event
                sent += event.data
                offset = event.offset
    return sent


def active(world: World) -> list[tuple[object, object]]:
    """(name, pid) of every active session, as it is listed."""
    listed = world.ctl("ls", "--json").json()["sessions"]
    assert isinstance(listed, list)
    return [(each["name"], each["pid"]) for each in listed if each["lifecycle"] == "active"]


def test_new_daemon_has_every_byte_every_screen_and_every_client_of_many_sessions(
    world: World, crowd: Crowd
) -> None:
    sessions = crowd.sessions
    before = [(session["name"], session["pid"]) for session in sessions]
    expected = [b"up" + printed(number) for number in range(SESSIONS)]
    terminals: list[Terminal] = []
    try:
        for session in sessions[:WATCHED]:
            terminals.append(world.attach(str(session["name"]), size=BORN))
            terminals[-1].wait_for("up")
        daemon = world.daemon_pid()
        crowd.open_gate()
        assert crowd.done.line() == "done"

        world.kill(daemon)
        world.start()

        assert active(world) == before
        for _ in sessions[1:]:
            assert crowd.done.line() == "done"
        for terminal, session, whole in zip(terminals, sessions, expected, strict=False):
            # Somebody else's key shows that the client is with the new daemon, where its own is not discarded.
            world.ctl("send", str(session["name"]), "--keys", "y")
            terminal.wait_for_output(b"(y)")
            terminal.type("x")
            terminal.wait_for_output(b"(x)")
            # What was there before it attached was painted; from then on it is byte for byte.
            assert whole.removeprefix(b"up") + b"(y)(x)" in terminal.output, session["name"]
    finally:
        for terminal in terminals:
            terminal.__exit__(None, None, None)
    world.kill(world.daemon_pid())
    world.start()

    assert active(world) == before
    for number, (session, whole) in enumerate(zip(sessions, expected, strict=True)):
        record = whole + (b"(y)(x)" if number < WATCHED else b"")
        shown = painted(world, session, BORN, len(record))
        assert world.record(session) == record
        assert cells_of(shown, BORN) == cells_of(record, BORN)
