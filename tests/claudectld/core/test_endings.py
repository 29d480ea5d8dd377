import pytest

from claudectl_protocol.sessions import Exit
from claudectld.core.endings import Ending, ending_of


def test_claude_that_exits_with_zero_was_left() -> None:
    assert ending_of(Exit(code=0), claude=True) is Ending.LEFT


@pytest.mark.parametrize(
    "exit_",
    [
        Exit(code=129),
        Exit(code=143),
        Exit(signal=9, reason="signalled"),
        Exit(code=None, signal=None, reason="unknown"),
        Exit(reason="exited"),
        Exit(code=0, reason="interrupted"),
        Exit(code=1, reason="interrupted"),
    ],
)
@pytest.mark.parametrize("claude", [True, False])
def test_what_came_from_outside_or_is_unknown_is_an_interruption(exit_: Exit, claude: bool) -> None:
    assert ending_of(exit_, claude=claude) is Ending.INTERRUPTED


@pytest.mark.parametrize("code", [1, 2, 42, 130, 255])
def test_claude_that_exits_with_anything_else_has_failed(code: int) -> None:
    assert ending_of(Exit(code=code), claude=True) is Ending.FAILED


@pytest.mark.parametrize("code", [0, 1, 42, 130, 255])
def test_another_program_s_own_exit_is_final(code: int) -> None:
    assert ending_of(Exit(code=code), claude=False) is Ending.LEFT


@pytest.mark.parametrize("claude", [True, False])
def test_what_could_not_be_started_has_failed(claude: bool) -> None:
    assert ending_of(Exit(reason="spawn_failed"), claude=claude) is Ending.FAILED
