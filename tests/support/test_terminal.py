import os
import signal

import pytest

from claudectl_protocol.sessions import Size
from tests.support.display import Display, cells_of
from tests.support.terminal import Terminal

ENV = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}


def shell(script: str, *, answer: bool = False) -> Terminal:
    return Terminal(("/bin/sh", "-c", script), env=ENV, answer=answer)


def test_a_program_is_typed_to_and_its_screen_is_read() -> None:
    with shell("read line; echo got $line; cat") as terminal:
        terminal.type("something\r")
        terminal.wait_for("got something")


def test_it_has_a_session_and_a_controlling_terminal_of_its_own() -> None:
    with shell("echo here > /dev/tty; cat") as terminal:
        terminal.wait_for("here")
        assert os.getsid(terminal.pid) == terminal.pid


def test_the_child_gets_exactly_the_environment_given() -> None:
    with Terminal(("/usr/bin/env",), env=ENV, cwd="/tmp") as terminal:
        terminal.wait_for_exit()
        assert sorted(terminal.output.decode().split()) == sorted(f"{k}={v}" for k, v in ENV.items())


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", -9)])
def test_an_exit_is_waited_for(script: str, code: int) -> None:
    with shell(script) as terminal:
        assert terminal.wait_for_exit() == code


def test_waiting_for_what_never_comes_ends_with_the_program() -> None:
    with shell("echo the end") as terminal, pytest.raises(TimeoutError, match="the end"):
        terminal.wait_for("never")


def test_a_new_size_reaches_the_child() -> None:
    with shell("trap 'stty size' WINCH; echo ready; while read x; do :; done") as terminal:
        terminal.wait_for("ready")
        terminal.resize(Size(cols=61, rows=17))
        terminal.type("\r")
        terminal.wait_for("17 61")


def test_a_status_query_is_answered_before_the_device_attributes() -> None:
    script = "stty raw -echo; printf '\\033]7501;?\\007\\033[c'; cat -v"
    with shell(script, answer=True) as terminal:
        answer = terminal.wait_for("^[[?")
        assert answer.startswith("^[]7501;?^[\\^[[?")


def test_a_mute_terminal_answers_nothing_but_collects_reports() -> None:
    with shell("stty raw -echo; printf '\\033]7501;?\\007\\033]7501;state=idle\\007'; cat -v") as terminal:
        assert terminal.wait_for_report("state") == "state=idle"
        terminal.type("x")
        terminal.wait_for("x")
        assert terminal.reports == ("state=idle",)


def test_cells_tell_text_and_style_apart() -> None:
    size = Size(cols=4, rows=1)
    plain, red = cells_of(b"ab", size), cells_of(b"a\x1b[31mb", size)
    assert [cell.text for cell in red[0]] == ["a", "b", " ", " "]
    assert plain[0][0] == red[0][0]
    assert plain[0][1] != red[0][1]


def test_cells_hold_whole_graphemes() -> None:
    assert cells_of("e\u0301".encode(), Size(cols=2, rows=1))[0][0].text == "e\u0301"


def test_a_terminal_shows_what_a_control_emulator_shows() -> None:
    with shell("printf 'x\\033[1my\\033[0m\\n\\033[44mz'") as terminal:
        terminal.wait_for_exit()
        assert terminal.cells() == cells_of(terminal.output)


def test_a_program_that_ignores_termination_does_not_survive_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.support.terminal._GRACE_S", 0.2)
    with shell("trap '' TERM; echo deaf; while :; do read x; done") as terminal:
        terminal.wait_for("deaf")
    with pytest.raises(ProcessLookupError):
        os.kill(terminal.pid, signal.SIGCONT)


def test_a_display_takes_a_sequence_in_pieces() -> None:
    display = Display(Size(cols=10, rows=2))
    replies = b"".join(display.feed(bytes((byte,))) for byte in b"\x1b]7501;?\x07\x1b[c")
    assert replies.startswith(b"\x1b]7501;?\x1b\\\x1b[?")
