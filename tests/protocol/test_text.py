"""Text that may be shown, and the table of `ls`."""

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl_protocol.sessions import (
    Activity,
    ActivityState,
    Exit,
    Lifecycle,
    RunId,
    SessionId,
    SessionInfo,
    Wanted,
)
from claudectl_protocol.text import (
    age,
    cell_width,
    detail,
    fit,
    fit_end,
    look,
    name_problem,
    plain,
    session_table,
    state_since,
)

NOW = 1_700_000_000.0
HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            "\x1b\x9b\x9d\x90\x07\x9c[]PX^_;m0\\ab \n\t\u200b\u200d\u202e\u2066\u0301\ufe0f漢\ud800"
        ),
        st.characters(),
    ),
    max_size=60,
)


WORKING = SessionInfo(
    id=SessionId("0b5ce5a1-7f3c-4a52-9d8e-3f1c2b4a5d6e"),
    name="api",
    project="/home/ada/api",
    cwd="/home/ada/api",
    program="claude",
    lifecycle=Lifecycle.ACTIVE,
    wanted=Wanted.RUNNING,
    created_at=NOW - 9000,
    since=NOW - 7200,
    run=RunId("r"),
    activity=Activity(state=ActivityState.WORKING, source="osc7501", since=NOW - 180),
)


def session(**changes: object) -> SessionInfo:
    """A working session, changed as asked."""
    return msgspec.structs.replace(WORKING, **changes)


# --- plain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("naïve 漢字 👍", "naïve 漢字 👍"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("a\x9dtitle\x9cb", "ab"),
        ("a\x1bPq#0\x1b\\b\x1b_G\x1b\\c", "abc"),
        ("a\x1bcb\x1b(Bc\x1b7d", "abcd"),
        ("cut\x1b[12;3", "cut"),
        ("cut\x1b]0;never ends", "cut"),
        ("cut\x1b", "cut"),
        ("a\r\nb\tc\u2028d", "a b c d"),
        ("a\x00\x07\x08b\x7f", "ab"),
        ("a\x85b\x84c", "a bc"),
        ("abc\u202edcba\u202c", "abcdcba"),
        ("\u2066a\u2069\u200e\u200f\u061cb", "ab"),
        ("in\u200bvis\u2060ib\ufeffle\xad", "invisible"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("e\u0301", "e\u0301"),
        ("z" + "\u0335" * 500, "z" + "\u0335" * 3),
        ("👩\u200d💻 ok", "👩\u200d💻 ok"),
        ("lone \ud800 half", "lone \ufffd half"),
    ],
)
def test_nothing_that_acts_on_a_terminal_or_hides_is_left(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(HOSTILE)
def test_plain_text_holds_no_control_mark_or_surrogate(text: str) -> None:
    shown = plain(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    shown.encode()


@given(HOSTILE, st.integers(min_value=0, max_value=30))
def test_plain_text_stays_as_it_is_and_within_its_limit(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert plain(shown, limit) == shown


def test_cut_text_says_so() -> None:
    assert (plain("abcdef", 6), plain("abcdefg", 6), plain("abc", 1), plain("abc", 0)) == (
        "abcdef",
        "abcde…",
        "…",
        "",
    )


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a", "api", "API 2", "émile", "漢字", "fix-#12", "x" * 64, "deadbee", "deadbeeg", "1234567", "a-", "."],
)
def test_good_names(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("a" * 65, "is longer than 64 characters"),
        ("a\nb", "holds control or invisible characters"),
        ("a\x1b[31m", "holds control or invisible characters"),
        ("a\u202eb", "holds control or invisible characters"),
        ("a\u200b", "holds control or invisible characters"),
        (" a", "begins or ends with a space"),
        ("a ", "begins or ends with a space"),
        ("   ", "begins or ends with a space"),
        ("-a", "begins with '-', like an option"),
        ("a/b", "holds '/'"),
        ("deadbeef", "looks like an id"),
        ("0123456789ABCDEF", "looks like an id"),
    ],
)
def test_bad_names_and_why(name: str, why: str) -> None:
    assert name_problem(name) == why


# --- widths and ages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cells"), [("", 0), ("abc", 3), ("漢字", 4), ("e\u0301", 1), ("ｆ", 2), ("●◐○", 3)]
)
def test_width_in_cells(text: str, cells: int) -> None:
    assert cell_width(text) == cells


@pytest.mark.parametrize(
    ("text", "cells", "kept", "end"),
    [
        ("abc", 3, "abc", "abc"),
        ("abcd", 3, "ab…", "…cd"),
        ("漢字漢", 5, "漢字…", "…字漢"),
        ("漢字漢", 4, "漢…", "…漢"),
        ("abc", 1, "…", "…"),
        ("abc", 0, "", ""),
    ],
)
def test_text_is_cut_to_columns_at_either_end(text: str, cells: int, kept: str, end: str) -> None:
    assert (fit(text, cells), fit_end(text, cells)) == (kept, end)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (-5, "0s"),
        (float("nan"), "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (180, "3m"),
        (3599, "59m"),
        (3600, "1h"),
        (7200, "2h"),
        (172799, "47h"),
        (172800, "2d"),
        (86400 * 400, "400d"),
        (float("inf"), "11574074d"),
    ],
)
def test_age_is_one_number_and_one_unit(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


# --- states -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ActivityState)
def test_every_activity_has_a_word_and_two_symbols_of_one_column(state: ActivityState) -> None:
    shown = look(session(activity=Activity(state=state)))
    assert shown.word == state.value.replace("_", " ")
    assert (cell_width(shown.symbol), len(shown.ascii), shown.ascii.isascii()) == (1, 1, True)


@pytest.mark.parametrize("lifecycle", Lifecycle)
def test_every_lifecycle_has_its_word_and_two_symbols_of_one_column(lifecycle: Lifecycle) -> None:
    shown = look(session(lifecycle=lifecycle, activity=None))
    assert shown.word == lifecycle.value
    assert (cell_width(shown.symbol), len(shown.ascii), shown.ascii.isascii()) == (1, 1, True)


def test_active_session_without_a_source_of_its_state_is_active_and_one_with_a_silent_source_unknown() -> (
    None
):
    assert look(session(activity=None)).word == "active"
    assert look(session(activity=Activity(state=ActivityState.UNKNOWN))).word == "unknown"


def test_activity_of_a_session_that_is_not_active_any_more_is_not_shown() -> None:
    stopped = session(lifecycle=Lifecycle.STOPPED)
    assert (look(stopped).word, state_since(stopped), detail(stopped)) == ("stopped", NOW - 7200, "")


def test_age_is_that_of_the_activity_and_else_of_the_lifecycle() -> None:
    assert state_since(session()) == NOW - 180
    assert state_since(session(activity=Activity(state=ActivityState.UNKNOWN))) == NOW - 7200


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        (
            {
                "activity": Activity(
                    state=ActivityState.NEEDS_INPUT, kind="permission", text="Bash: \x1b[1mrm\x1b[m"
                )
            },
            "permission: Bash: rm",
        ),
        ({"activity": Activity(state=ActivityState.ERROR, text="529 overloaded")}, "529 overloaded"),
        ({"lifecycle": Lifecycle.FAILED, "exit": Exit(code=1, text="no key")}, "exit 1: no key"),
        ({"lifecycle": Lifecycle.INTERRUPTED, "exit": Exit(signal=9)}, "signal 9"),
        ({"lifecycle": Lifecycle.INTERRUPTED, "exit": Exit(reason="unknown")}, "exit unknown"),
        ({"exit": Exit(code=1)}, ""),
        ({"problem": "not saved"}, "not saved"),
    ],
    ids=str,
)
def test_detail_is_what_is_worth_reading(changes: dict[str, object], shown: str) -> None:
    assert detail(session(**changes)) == shown


# --- the table ----------------------------------------------------------------------------------------------

ASKING = session(
    id=SessionId("1c6df6b2-804d-4b63-8e9f-4a2d3c5b6e7f"),
    name="漢字",
    project=None,
    activity=Activity(
        state=ActivityState.NEEDS_INPUT, kind="permission", text="Bash: make", since=NOW - 7200
    ),
)


def test_table_of_no_sessions_is_empty() -> None:
    assert session_table([], NOW) == ""


def test_columns_are_aligned_by_cells() -> None:
    assert session_table([session(), ASKING], NOW) == (
        "STATE          NAME  ID        AGE  DETAIL\n"
        "● working      api   0b5ce5a1  3m\n"
        "◐ needs input  漢字  1c6df6b2  2h   permission: Bash: make\n"
    )


def test_projects_are_shown_when_asked_for() -> None:
    assert session_table([session(), ASKING], NOW, projects=True) == (
        "STATE          NAME  ID        PROJECT        AGE  DETAIL\n"
        "● working      api   0b5ce5a1  /home/ada/api  3m\n"
        "◐ needs input  漢字  1c6df6b2  -              2h   permission: Bash: make\n"
    )


def test_symbols_have_a_fallback_and_the_word_is_always_there() -> None:
    assert session_table([session(), ASKING], NOW, ascii_only=True).splitlines()[1:] == [
        "* working      api   0b5ce5a1  3m",
        "! needs input  漢字  1c6df6b2  2h   permission: Bash: make",
    ]


def test_colour_is_a_help_only() -> None:
    table = session_table([session(), ASKING], NOW, colour=True)
    assert plain(table.replace("\n", "|")) == session_table([session(), ASKING], NOW).replace("\n", "|")
    assert "\x1b[32m● working    \x1b[0m  api" in table
    assert "\x1b[33m◐ needs input\x1b[0m" in table


@given(st.integers(min_value=0, max_value=120), st.booleans())
def test_no_line_is_wider_than_the_terminal(width: int, colour: bool) -> None:
    table = session_table([session(), ASKING], NOW, width, colour=colour, projects=True)
    assert all(cell_width(plain(line)) <= width for line in table.splitlines())
    assert table.count("\n") == 3


def test_long_project_path_keeps_its_end_and_leaves_room() -> None:
    far = session(project="/home/ada/proj/company/monorepo/services/api")
    line = session_table([far], NOW, 80, projects=True).splitlines()[1]
    assert line == "● working  api   0b5ce5a1  …any/monorepo/services/api  3m"


@given(HOSTILE, HOSTILE)
def test_session_cannot_add_a_line_or_a_colour_to_the_table(name: str, text: str) -> None:
    asking = Activity(state=ActivityState.ERROR, text=text, since=NOW)
    table = session_table(
        [session(name=name, project=text, problem=name, activity=asking)], NOW, projects=True
    )
    assert table.count("\n") == 2
    assert "\x1b" not in table


def test_session_of_unknown_age_has_none() -> None:
    assert "  -" in session_table([session(activity=None, since=0.0)], NOW)
