"""Queries that a child mixes into its output: answered at most once, never seen by a client, across daemon kills."""

import re
from functools import partial

from claudectl_protocol.sessions import Size
from tests.counts import times
from tests.e2e.world import Fifo, World
from tests.support.files import wait_for_file
from tests.support.terminal import Terminal

QUERIES = (
    b"\x1b[c",
    b"\x1b[0c",
    b"\x1b[>c",
    b"\x1b[6n",
    b"\x1b[5n",
    b"\x1b]7501;?\x07",
    b"\x1b]7501;?\x1b\\",
    b"\x1b[?2026$p",
    b"\x1b[?1$p",
    b"\x1b]11;?\x1b\\",
    b"\x1bP$qm\x1b\\",
    b"\x1b[18t",
)

PACED = """
import os, select, sys, tty
# After a first key: numbered lines with a query in each, often written in two pieces, until 'q' is typed.
# For 'p' it stops in the middle of a query, says in which line, and goes on when 'G' is typed.
tty.setraw(0)
paused = os.open({paused!r}, os.O_WRONLY)
QUERIES = {queries!r}
os.write(1, b"ready\\r\\n")
os.read(0, 1)
os.write(1, b"BEGIN\\r\\n")
number = 0
while True:
    line, query = b"line %09d\\r\\n" % number, QUERIES[number % len(QUERIES)]
    cut = number % (len(line) + 1)
    piece = line[:cut] + query + line[cut:]
    half = number * 7 % len(piece)
    os.write(1, piece[:half])
    # Answers come here, too; none of them has these letters.
    keys = os.read(0, 4096) if select.select([0], [], [], 0.001)[0] else b""
    os.write(1, piece[half:])
    if b"p" in keys:
        half = 1 + number % (len(query) - 1)
        os.write(1, b"pause %09d" % number + query[:half])
        os.write(paused, b"%d\\n" % number)
        while b"G" not in os.read(0, 4096):
            pass
        os.write(1, query[half:] + b"\\r\\n")
    if b"q" in keys:
        break
    number += 1
os.write(1, b"END\\r\\n")
"""


def without_queries(output: bytes) -> bytes:
    """What a client is to receive of `output`."""
    return re.sub(b"|".join(map(re.escape, QUERIES)), b"", output)


def has_lines(terminal: Terminal, count: int, _: str) -> bool:
    """True when so many lines have come."""
    return terminal.output.count(b"line") >= count


def test_an_attached_client_gets_the_record_without_the_queries_exactly_once(world: World) -> None:
    paused = Fifo(world.home / "paused")
    session = world.run(PACED.format(queries=QUERIES, paused=str(paused.path)))
    with world.attach("job", size=Size(cols=80, rows=24)) as terminal:
        terminal.wait_for("ready")
        terminal.type("g")
        terminal.wait_for_output(b"BEGIN\r\n")
        for kill in range(times(6, 50)):
            within_a_query = kill % 2 == 0
            if within_a_query:
                terminal.type("p")
                terminal.wait_for_output(b"pause %09d" % int(paused.line()))
            world.kill(world.daemon_pid())
            world.start()
            if within_a_query:
                world.ctl("send", "job", "--keys", "G")
            # So much more that it has come through the new daemon.
            wanted = terminal.output.count(b"line") + 200
            terminal.wait_for(partial(has_lines, terminal, wanted))
        terminal.type("q")
        terminal.wait_for_output(b"END\r\n")
        output = terminal.output
    paused.close()

    record = world.record(session)
    body = record[record.index(b"BEGIN") : record.index(b"END\r\n")]
    assert sum(body.count(query) for query in QUERIES) >= body.count(b"line")
    assert output[output.index(b"BEGIN") : output.index(b"END\r\n")] == without_queries(body)


ASKER = """
import os, select, sys, tty
# Asks numbered questions for as long as it runs (the answer to a DECRQM names its number) and notes all of stdin.
tty.setraw(0)
log = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
number = 1
while True:
    question = b"\\x1b[?%d$p" % (100000 + number)
    half = number % len(question)
    os.write(1, b"asked %d " % number + question[:half])
    if select.select([0], [], [], 0.002)[0]:
        data = os.read(0, 65536)
        os.write(log, data)
        if b"q" in data:
            break
    os.write(1, question[half:] + b"\\r\\n")
    number += 1
"""


def test_no_query_is_answered_twice_and_no_key_is_typed_twice_across_daemon_kills(world: World) -> None:
    notes = world.home / "notes"
    notes.mkdir()
    path = notes / "stdin"
    world.run(ASKER.format(path=str(path)))

    def stdin() -> bytes:
        return path.read_bytes() if path.exists() else b""

    def answers() -> list[int]:
        return [int(number) for number in re.findall(rb"\x1b\[\?1(\d{5});0\$y", stdin())]

    def wait_for_answers(count: int) -> None:
        wait_for_file(notes, lambda: len(answers()) >= count or None)

    kills = times(20, 200)
    with world.attach("job", size=Size(cols=80, rows=24)) as terminal:
        terminal.wait_for("asked")
        for kill in range(kills):
            # Some of these meet no daemon and are lost, as they should be then.
            for number in range(5):
                terminal.type(f"<a{kill:03d}.{number}>")
            # This starts a daemon if the client has not, and it answers what is asked from then on.
            world.ctl("send", "job", "--keys", f"{{s{kill:03d}}}")
            wait_for_answers(len(answers()) + 3)
            terminal.type(f"<b{kill:03d}.0>")
            world.kill(int((world.state / "locks" / "daemon.lock").read_text()))
            terminal.type(f"<c{kill:03d}.0>")
        world.ctl("send", "job", "--keys", "q")
        wait_for_file(notes, lambda: b"q" in stdin() or None)

    typed = re.findall(rb"<[abc][0-9.]+>|\{s\d+\}", stdin())
    assert len(typed) == len(set(typed))
    assert [key for key in typed if key.startswith(b"{")] == [b"{s%03d}" % kill for kill in range(kills)]
    found = answers()
    assert len(found) > 3 * kills
    assert found == sorted(set(found))
