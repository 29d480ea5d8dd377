"""`logs`: bytes as they are or as lines, from the end, following, and across a break."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec import structs

from claudectl.cli import run
from claudectl_protocol.calls import AnyCall, Logs, LogsStarted, Target
from claudectl_protocol.faults import SessionNotFound
from claudectl_protocol.sessions import Exit
from claudectl_protocol.stream import End, EndReason
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.samples import API, RUN
from tests.fakes.daemon import Answer, FakeDaemon

COMPLETE = End(reason=EndReason.COMPLETE)


class Record:
    """A record that the fake daemon reads out; `first` is where what is still on disk begins."""

    def __init__(self, data: bytes, first: int = 0) -> None:
        self.data = data
        self.first = first

    def start(self, call: AnyCall) -> Answer:
        """The answer to Logs."""
        assert isinstance(call, Logs)
        asked = call.offset if call.tail_bytes is None else len(self.data) - call.tail_bytes
        return LogsStarted(session=API, run=RUN, start=max(self.first, asked), end=len(self.data))


@contextmanager
def reading(fake: FakeDaemon, record: Record, connections: int = 1) -> Iterator[None]:
    """Serve `connections` complete readings while the body runs."""

    def serve() -> None:
        for _ in range(connections):
            stream = fake.stream()
            started = record.start(fake.calls[-1])
            assert isinstance(started, LogsStarted)
            for at in range(started.start, len(record.data), 60000):
                piece = record.data[at : at + 60000]
                stream.data(at + len(piece), piece)
            stream.end(COMPLETE)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)
    assert not thread.is_alive()


def test_logs_print_lines_without_escape_sequences(
    daemon: Daemon, claudectl: Claudectl, project: str
) -> None:
    record = Record("\x1b[1mone\x1b[0m\r\n\x1b]0;title\x07twö\nlast".encode())
    fake = daemon({Logs: record.start})

    with reading(fake, record):
        outcome = claudectl("logs", "api")

    assert fake.calls == [Logs(target=Target(text="api", cwd=project), rendered=True)]
    assert outcome == (0, "one\ntwö\nlast\n", "")


class Rendered(Record):
    """Lines that a daemon with an emulator has made of a longer record."""

    def start(self, call: AnyCall) -> Answer:
        started = super().start(call)
        assert isinstance(started, LogsStarted)
        return structs.replace(started, rendered=True)


def test_rendered_lines_are_printed_as_they_are(daemon: Daemon, claudectl: Claudectl) -> None:
    record = Rendered("one\n  twö\n\nlast\n".encode() * 9000)
    fake = daemon({Logs: record.start})

    with reading(fake, record):
        outcome = claudectl("logs", "api")

    assert outcome == (0, "one\n  twö\n\nlast\n" * 9000, "")


@pytest.mark.parametrize(("lines", "expected"), [(2, "b\u2028b\nc\n"), (9, "a\nb\u2028b\nc\n"), (0, "")])
def test_tail_of_rendered_lines(daemon: Daemon, claudectl: Claudectl, lines: int, expected: str) -> None:
    record = Rendered("a\nb\u2028b\nc\n".encode())
    fake = daemon({Logs: record.start})

    with reading(fake, record):
        outcome = claudectl("logs", "api", "--tail", str(lines))

    assert outcome == (0, expected, "")


def test_raw_logs_are_the_exact_bytes(
    daemon: Daemon, socket_path: str, project: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    record = Record(bytes(range(256)) * 1000)
    fake = daemon({Logs: record.start})

    with reading(fake, record):
        code = run(["--socket", socket_path, "logs", "--raw", "api", "--run", RUN])

    assert code == 0
    assert capfdbinary.readouterr().out == record.data
    assert fake.calls == [Logs(target=Target(text="api", cwd=project), run=RUN)]


@pytest.mark.parametrize("raw", [[], ["--raw"]], ids=["text", "raw"])
@pytest.mark.parametrize(
    ("data", "lines", "expected"),
    [
        (b"a\nb\nc\n", 2, "b\nc\n"),
        (b"a\nb\nc\n", 3, "a\nb\nc\n"),
        (b"a\nb\nc\n", 9, "a\nb\nc\n"),
        (b"a\nb\nc\n", 0, ""),
        (b"\n\n\n", 2, "\n\n"),
        (b"", 5, ""),
    ],
)
def test_tail_prints_the_last_lines(
    daemon: Daemon, claudectl: Claudectl, raw: list[str], data: bytes, lines: int, expected: str
) -> None:
    record = Record(data)
    fake = daemon({Logs: record.start})

    with reading(fake, record):
        outcome = claudectl("logs", "api", "--tail", str(lines), *raw)

    assert outcome == (0, expected, "")


def test_tail_looks_further_back_until_it_has_enough_lines(daemon: Daemon, claudectl: Claudectl) -> None:
    record = Record(b"first\n" + b"x" * 100_000 + b"\nlast\n")
    fake = daemon({Logs: record.start})

    with reading(fake, record, connections=2):
        outcome = claudectl("logs", "api", "--tail", "2", "--raw")

    assert outcome.out == "x" * 100_000 + "\nlast\n"


def test_tail_is_content_with_what_is_still_on_disk(daemon: Daemon, claudectl: Claudectl) -> None:
    record = Record(b"#" * 200_000 + b"rest\n", first=200_000)
    fake = daemon({Logs: record.start})

    with reading(fake, record):
        outcome = claudectl("logs", "api", "--tail", "2")

    assert outcome.out == "rest\n"


def test_tail_then_follow_goes_on_where_the_tail_ended(daemon: Daemon, claudectl: Claudectl) -> None:
    record = Record(b"a\nb\nhal")
    fake = daemon({Logs: record.start})

    def serve() -> None:
        first = fake.stream()
        first.data(7, record.data)
        first.end(COMPLETE)
        second = fake.stream()
        second.data(12, b"f\nc\n")
        second.end(End(reason=EndReason.EXITED, exit=Exit(code=0)))

    thread = threading.Thread(target=serve)
    thread.start()
    outcome = claudectl("logs", "api", "--tail", "2", "-f")
    thread.join(20)

    assert outcome == (0, "b\nhalf\nc\n", "")
    follow = fake.calls[1]
    assert isinstance(follow, Logs)
    assert (follow.run, follow.offset, follow.follow) == (RUN, 7, True)
    assert follow.target.text == API


def test_following_survives_a_break_without_losing_or_repeating_a_byte(
    daemon: Daemon, claudectl: Claudectl
) -> None:
    fake = daemon({Logs: LogsStarted(session=API, run=RUN, start=0, end=0)})

    def serve() -> None:
        first = fake.stream()
        first.data(5, b"one\nt")
        first.vanish()
        second = fake.stream()
        second.data(8, b"wo\n")
        second.end(End(reason=EndReason.EXITED))

    thread = threading.Thread(target=serve)
    thread.start()
    outcome = claudectl("logs", "api", "--follow")
    thread.join(20)

    assert outcome == (0, "one\ntwo\n", "")
    again = fake.calls[1]
    assert isinstance(again, Logs)
    assert again.offset == 5


def test_a_daemon_that_breaks_every_time_is_not_asked_for_ever(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({Logs: LogsStarted(session=API, run=RUN, start=0, end=9)})

    thread = threading.Thread(target=lambda: fake.stream().vanish())
    thread.start()
    outcome = claudectl("logs", "api")
    thread.join(20)

    assert outcome == (69, "", "claudectl: the connection to the daemon was lost\n")
    assert len(fake.calls) == 1


def test_a_daemon_that_leaves_ends_the_log(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({Logs: LogsStarted(session=API, run=RUN, start=0, end=9)})

    thread = threading.Thread(target=lambda: fake.stream().end(End(reason=EndReason.SHUTTING_DOWN)))
    thread.start()
    outcome = claudectl("logs", "api", "-f")
    thread.join(20)

    assert outcome.code == 69
    assert "sessions go on" in outcome.err


def test_logs_of_an_unknown_session_are_refused(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Logs: SessionNotFound(target="nope", scope=os.sep)})

    assert claudectl("logs", "nope").code == 3
