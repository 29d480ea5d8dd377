"""`attach` on a real terminal: keys, sizes, pictures, leaving, and coming back after the daemon."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from claudectl_protocol import faults
from claudectl_protocol.calls import AnyCall, Attach, Attached, New, Show, Target
from claudectl_protocol.sessions import Exit, RunId, SessionDetail, Size
from claudectl_protocol.stream import End, EndReason
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.person import Person
from tests.claudectl.samples import ACTIVE, API, DETAIL, RUN, STOPPED
from tests.claudectl.stand_in import PICTURE, install
from tests.fakes.daemon import Answer, FakeDaemon

RAW = b"\x1b[22;2t"
"""The first thing written after the terminal is in raw mode."""
BACK = b"\x1b[23;2t\r\n\x1b[J"
"""The last thing written before the terminal is a shell's again."""
RESET_PARTS = [
    b"\x1b[0m",
    b"\x1b[?1000l",
    b"\x1b[?1002l",
    b"\x1b[?1003l",
    b"\x1b[?1006l",
    b"\x1b[?1004l",
    b"\x1b[?2004l",
    b"\x1b[?2026l",
    b"\x1b[<",
    b"\x1b[>4m",
    b"\x1b[?1049l",
    b"\x1b[?7h",
    b"\x1b[?25h",
    b"\x1b[0 q",
]


def attached(call: AnyCall) -> Attached:
    """The answer to Attach: goes on at the offset asked for, else at 100."""
    assert isinstance(call, Attach)
    return Attached(
        session=API,
        name="api",
        run=RUN,
        offset=100 if call.offset is None else call.offset,
        size=call.size or Size(cols=80, rows=24),
        resumed=call.offset is not None,
        suspend_key=False,
    )


@pytest.fixture
def environment(directory: Path, project: str) -> Mapping[str, str]:  # noqa: ARG001 - the working directory
    """What a command on a terminal needs; no daemon is started."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "CLAUDECTL_SOCKET": str(directory / "daemon.sock"),
        "CLAUDECTL_AUTOSTART": "0",
        "TERM": "xterm-256color",
    }


def was_reset(seen: bytes) -> bool:
    """True when all that a child may have switched on was switched off before the end."""
    return all(part in seen for part in RESET_PARTS) and seen.find(RESET_PARTS[0]) < seen.find(BACK)


def test_output_and_keys_are_copied_as_they_are(
    daemon: Daemon, environment: Mapping[str, str], project: str
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment, cols=100, rows=30) as person:
        stream = fake.stream()
        person.until(RAW)
        stream.data(106, b"\x1b[1mhi\xff")
        person.until(b"\x1b[1mhi\xff")
        person.type(b"ls\x03\x1b[A\xff\r")
        assert stream.hear_typed(8) == b"ls\x03\x1b[A\xff\r"
        person.type(b"\x11")

        assert person.wait() == 0

    assert fake.calls == [Attach(target=Target(text="api", cwd=project), size=Size(cols=100, rows=30))]
    assert b"[detached from api]" in person.seen
    assert stream.hear() is None


def test_leaving_resets_the_screen_and_the_terminals_modes(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        fake.stream()
        person.until(RAW)
        assert person.modes() != person.modes_before
        person.type(b"\x11")
        person.wait()

        assert person.modes() == person.modes_before
        assert was_reset(person.seen)
        assert b"\x1b]104" not in person.seen


def test_colours_are_put_back_only_if_the_child_changed_them(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        stream.data(110, b"\x1b]1")
        stream.data(120, b"1;#000000\x07")
        person.until(b"#000000\x07")
        person.type(b"\x11")
        person.wait()

    assert b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\" in person.seen


def test_a_paste_that_holds_the_detach_key_is_passed_on(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Attach: attached})
    paste = b"\x1b[200~a\x11b\x1ac\x1b[113;5u\x1b[201~"

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        person.type(paste)
        assert stream.hear_typed(len(paste)) == paste
        person.type(b"\x1b[113;5u")

        assert person.wait() == 0


def test_ctrl_z_does_not_reach_a_child_that_it_would_freeze(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        person.type(b"a\x1ab\x1b[122;5uc")

        assert stream.hear_typed(3) == b"abc"


def test_a_lone_escape_is_passed_on(daemon: Daemon, environment: Mapping[str, str]) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        person.type(b"\x1b")

        assert stream.hear_typed(1) == b"\x1b"


def test_a_new_window_size_is_sent(daemon: Daemon, environment: Mapping[str, str]) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        person.resize(120, 40)

        assert stream.hear() == Size(cols=120, rows=40)


def test_after_it_was_stopped_and_continued_the_terminal_is_raw_again(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        raw = person.modes()
        person.signal(signal.SIGSTOP)
        person.set_modes(person.modes_before)
        person.signal(signal.SIGCONT)

        assert stream.hear() == Size(cols=80, rows=24)
        assert person.modes() == raw


def test_a_repaint_begins_with_a_reset(daemon: Daemon, environment: Mapping[str, str]) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        stream.repaint(200, b"PICTURE")
        main = person.until(b"PICTURE")
        stream.repaint(300, b"\x1b[?1049hOTHER")
        alternate = person.until(b"OTHER")

    assert main.startswith(b"\x1b[0m")
    assert main.endswith(b"\x1b[?2026h\x1b[H\x1b[2JPICTURE")
    assert alternate.startswith(b"\x1b[?2026l\x1b[0m")
    assert b"\x1b[2J" not in alternate


@pytest.mark.parametrize(
    ("end", "said", "code", "status"),
    [
        (End(reason=EndReason.EXITED, exit=Exit(code=3)), b"[api exited with code 3]", 0, 3),
        (
            End(reason=EndReason.EXITED, exit=Exit(signal=15, by="user")),
            b"[api was ended by signal 15 by user]",
            0,
            143,
        ),
        (End(reason=EndReason.EXITED, exit=Exit()), b"[api ended; its exit status is not known]", 0, 1),
        (End(reason=EndReason.REMOVED), b"[api was removed]", 0, 0),
    ],
)
@pytest.mark.parametrize("exit_status", [False, True])
def test_an_end_is_told_and_the_terminal_is_back(
    daemon: Daemon,
    environment: Mapping[str, str],
    end: End,
    said: bytes,
    code: int,
    status: int,
    exit_status: bool,
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api", *(["--exit-status"] if exit_status else [])], environment) as person:
        stream = fake.stream()
        stream.data(104, b"last")
        stream.end(end)

        assert person.wait() == (status if exit_status else code)
        assert person.modes() == person.modes_before

    assert b"last" in person.seen
    assert was_reset(person.seen)
    assert said in person.seen.partition(BACK)[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_view_and_the_terminal_is_back(
    daemon: Daemon, environment: Mapping[str, str], number: signal.Signals
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        fake.stream()
        person.until(RAW)
        person.signal(number)

        assert person.wait() == 128 + number
        assert person.modes() == person.modes_before

    assert was_reset(person.seen)
    assert b"Traceback" not in person.seen


def test_read_only_sends_nothing_and_leaves_by_ctrl_c_too(
    daemon: Daemon, environment: Mapping[str, str], project: str
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "--read-only", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        person.type(b"abc")
        person.resize(90, 20)
        stream.data(101, b"x")
        person.until(b"x")
        person.type(b"\x03")

        assert person.wait() == 0

    assert stream.hear() == Size(cols=90, rows=20)
    assert stream.hear() is None
    target = Target(text="api", cwd=project)
    assert fake.calls == [Attach(target=target, size=Size(cols=80, rows=24), read_only=True)]


def test_what_goes_to_a_file_has_no_size(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({Attach: attached})

    def serve() -> None:
        stream = fake.stream()
        stream.data(5, b"wide\n")
        stream.end(End(reason=EndReason.EXITED, exit=Exit(code=0)))

    thread = threading.Thread(target=serve)
    thread.start()
    claudectl("attach", "--read-only", "api")
    thread.join(20)

    assert fake.calls == [Attach(target=Target(text="api", cwd=project), read_only=True)]


def test_history_is_asked_for_once(socket_path: str, environment: Mapping[str, str]) -> None:
    with Person(["attach", "--history", "200", "api"], environment) as person:
        with FakeDaemon(socket_path, {Attach: attached}) as first:
            stream = first.stream()
            person.until(RAW)
            stream.data(105, b"before")
            person.until(b"before")
        with FakeDaemon(socket_path, {Attach: attached}) as second:
            second.stream()
            person.type(b"\x11")
            assert person.wait() == 0

    asked = [call.history for call in (*first.calls, *second.calls) if isinstance(call, Attach)]
    assert asked == [200, 0]


def test_after_a_picture_the_view_asks_for_another_one_and_not_for_the_rest(
    socket_path: str, environment: Mapping[str, str]
) -> None:
    with Person(["attach", "api"], environment) as person:
        with FakeDaemon(socket_path, {Attach: attached}) as first:
            stream = first.stream()
            person.until(RAW)
            stream.data(105, b"before")
            stream.repaint(300, b"PICTURE")
            person.until(b"PICTURE")
        with FakeDaemon(socket_path, {Attach: attached}) as second:
            second.stream()
            person.type(b"\x11")
            assert person.wait() == 0

    again = second.calls[0]
    assert isinstance(again, Attach)
    assert again.offset is None


def test_new_can_attach_at_once(daemon: Daemon, environment: Mapping[str, str], project: str) -> None:
    fake = daemon({New: ACTIVE, Attach: attached})

    with Person(["new", "--attach"], environment) as person:
        person.until(b"api  0f1e2d3c\r\n")
        fake.stream()
        person.until(RAW)
        person.type(b"\x11")

        assert person.wait() == 0

    new, attach = fake.calls
    assert isinstance(new, New)
    assert new.size == Size(cols=80, rows=24)
    assert attach == Attach(target=Target(text=API, cwd=project), size=Size(cols=80, rows=24))


# --- when the daemon goes -----------------------------------------------------------------------------------


def test_after_a_break_the_view_goes_on_at_its_offset(
    socket_path: str, environment: Mapping[str, str], project: str
) -> None:
    with Person(["attach", "api"], environment) as person:
        with FakeDaemon(socket_path, {Attach: attached}) as first:
            stream = first.stream()
            person.until(RAW)
            stream.data(105, b"before")
            person.until(b"before")
        # No daemon listens now; the view waits for one.
        with FakeDaemon(socket_path, {Attach: attached}) as second:
            again = second.stream()
            again.data(111, b"behind")
            between = person.until(b"behind")
            person.type(b"x\x11")

            assert person.wait() == 0
            assert again.hear_typed(1) == b"x"

    assert between == b"behind"
    (call,) = second.calls
    assert call == Attach(
        target=Target(text=API, cwd=project, all_projects=True),
        size=Size(cols=80, rows=24),
        run=RUN,
        offset=105,
    )
    assert b"claudectl: reconnected once; keys typed while no daemon ran were discarded" in person.seen


def test_the_successor_of_a_daemon_that_was_told_to_leave_is_waited_for(
    socket_path: str, environment: Mapping[str, str]
) -> None:
    calls: list[Attach] = []

    def answer(call: AnyCall) -> Attached:
        assert isinstance(call, Attach)
        calls.append(call)
        return attached(call)

    with Person(["attach", "api"], environment) as person:
        with FakeDaemon(socket_path, {Attach: answer}) as first:
            stream = first.stream()
            stream.data(123, b"before")
            person.until(b"before")
            stream.end(End(reason=EndReason.SHUTTING_DOWN))
            assert stream.hear() is None
        with FakeDaemon(socket_path, {Attach: answer}) as second:
            again = second.stream()
            again.data(200, b"after")
            person.until(b"after")
            person.type(b"\x11")

            assert person.wait() == 0

    # The one that leaves may be reached once more before it has left.
    offsets = [call.offset for call in calls]
    assert offsets[0] is None
    assert set(offsets[1:]) == {123}


def test_a_daemon_that_was_told_to_leave_is_not_brought_back(
    socket_path: str, environment: Mapping[str, str]
) -> None:
    with Person(["attach", "api"], {**environment, "CLAUDECTL_AUTOSTART": "1"}) as person:
        with FakeDaemon(socket_path, {Attach: attached}) as fake:
            fake.stream().end(End(reason=EndReason.SHUTTING_DOWN))
            person.until(RAW)

        assert person.wait() == 69
        assert person.modes() == person.modes_before

    assert was_reset(person.seen)
    assert b"claudectl: the daemon is just leaving" in person.seen.partition(BACK)[2]
    assert not os.path.exists(socket_path)


def test_without_a_daemon_the_person_can_still_leave(
    socket_path: str, environment: Mapping[str, str]
) -> None:
    with Person(["attach", "api"], environment) as person:
        with FakeDaemon(socket_path, {Attach: attached}) as fake:
            fake.stream()
            person.until(RAW)
        person.type(b"lost keys")
        person.type(b"\x11")

        assert person.wait() == 0
        assert person.modes() == person.modes_before

    assert b"[detached from api]" in person.seen


def test_a_wish_to_leave_that_was_typed_while_the_daemon_came_back_is_heard(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    asked, typed = threading.Event(), threading.Event()

    def slow(call: AnyCall) -> Attached:
        assert isinstance(call, Attach)
        if call.run is not None:
            asked.set()
            assert typed.wait(20)
        return attached(call)

    fake = daemon({Attach: slow})

    with Person(["attach", "api"], environment) as person:
        stream = fake.stream()
        person.until(RAW)
        stream.vanish()
        assert asked.wait(20)
        person.type_ahead(b"lost\x11")
        typed.set()
        again = fake.stream()

        assert person.wait() == 0
        assert again.hear() is None


def test_a_daemon_that_is_just_leaving_is_not_taken_for_an_answer(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    leaving = iter([False, True, False])

    def answer(call: AnyCall) -> Answer:
        return faults.ShuttingDown() if next(leaving) else attached(call)

    fake = daemon({Attach: answer})

    with Person(["attach", "api"], environment) as person:
        fake.stream().vanish()
        again = fake.stream()
        again.data(200, b"again")
        person.until(b"again")


def test_a_new_daemon_is_started_without_a_word_in_the_picture(
    socket_path: str, directory: Path, environment: Mapping[str, str]
) -> None:
    path = os.pathsep.join([install(directory), environment["PYTHONPATH"]])
    with_stand_in = {
        **environment,
        "PYTHONPATH": path,
        "CLAUDECTL_STAND_IN": "serve",
        "CLAUDECTL_AUTOSTART": "1",
    }
    try:
        with Person(["attach", "api"], with_stand_in) as person:
            with FakeDaemon(socket_path, {Attach: attached}) as first:
                stream = first.stream()
                stream.data(105, b"before")
                person.until(b"before")
            between = person.until(PICTURE)
            person.type(b"\x11")

            assert person.wait() == 0
    finally:
        stop = [sys.executable, "-m", "claudectl", "--no-start", "daemon", "stop"]
        subprocess.run(stop, env=with_stand_in, check=True, timeout=20)

    assert between == PICTURE


def test_a_session_that_breaks_every_daemon_can_be_left(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Attach: attached})

    with Person(["attach", "api"], environment) as person:
        for _ in range(2):
            fake.stream().vanish()
        person.until(RAW)
        person.type(b"\x11")

        assert person.wait() == 0
        assert person.modes() == person.modes_before


def test_a_session_that_ended_during_the_break_is_told_with_its_exit(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    ended = SessionDetail(
        info=STOPPED,
        argv=(),
        prompt=None,
        env_names=(),
        restore=False,
        conversations=(),
        runs=(RunId(RUN),),
        size=DETAIL.size,
    )

    def once(call: AnyCall) -> Attached | faults.NotRunning:
        assert isinstance(call, Attach)
        return attached(call) if call.run is None else faults.NotRunning(session=API, name="api")

    fake = daemon({Attach: once, Show: ended})

    with Person(["attach", "api"], environment) as person:
        fake.stream().vanish()

        assert person.wait() == 0
        assert person.modes() == person.modes_before

    assert b"[api exited with code 3]" in person.seen


def test_a_refusal_after_a_break_brings_the_terminal_back(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    def once(call: AnyCall) -> Attached | faults.SessionNotFound:
        assert isinstance(call, Attach)
        return attached(call) if call.run is None else faults.SessionNotFound(target="api", scope="all")

    fake = daemon({Attach: once})

    with Person(["attach", "api"], environment) as person:
        fake.stream().vanish()

        assert person.wait() == 3
        assert person.modes() == person.modes_before

    assert was_reset(person.seen)


# --- before it begins ---------------------------------------------------------------------------------------


def test_a_refusal_leaves_the_terminal_alone(daemon: Daemon, environment: Mapping[str, str]) -> None:
    daemon({Attach: faults.SessionNotFound(target="api", scope="/")})

    with Person(["attach", "api"], environment) as person:
        assert person.wait() == 3

    assert person.seen == b"claudectl: no session 'api' in this project; see 'claudectl ls -g'\r\n"


def test_attach_needs_a_terminal(claudectl: Claudectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.isatty", lambda _: False)

    assert claudectl("attach", "api") == (
        2,
        "",
        "claudectl: attach needs a terminal on stdin; use --read-only to watch\n",
    )


def test_read_only_without_a_terminal_streams_the_bytes_as_they_are(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Attach: attached})
    command = [sys.executable, "-m", "claudectl", "attach", "--read-only", "api"]

    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
    ) as process:
        stream = fake.stream()
        stream.repaint(100, b"\x1b[2Jpicture")
        stream.data(200, b"\xffmore")
        stream.end(End(reason=EndReason.EXITED, exit=Exit(code=0)))
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (0, b"\x1b[2Jpicture\xffmore")
    assert err == b"[api exited with code 0]\n"
