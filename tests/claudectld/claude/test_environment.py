import pytest

from claudectl_protocol.sessions import RunId, SessionId
from claudectld.claude.environment import environment

SESSION = SessionId("6b8b4567-0000-4000-8000-000000000001")
RUN = RunId("6b8b4567-0000-4000-8000-000000000002")


def made(client: dict[str, str], *, claude: bool = True) -> dict[str, str]:
    return environment(client, session=SESSION, run=RUN, claude=claude)


def test_a_bare_client_gives_exactly_what_a_child_needs() -> None:
    assert made({}) == {
        "CLAUDECTL_SESSION": SESSION,
        "CLAUDECTL_RUN": RUN,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "CLAUDE_CODE_DISABLE_AGENT_VIEW": "1",
    }


def test_other_programs_hear_nothing_of_claude() -> None:
    assert "CLAUDE_CODE_DISABLE_AGENT_VIEW" not in made({}, claude=False)


def test_what_the_person_set_is_kept() -> None:
    mine = {
        "PATH": "/home/me/bin:/usr/bin",
        "HOME": "/home/me",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "HTTPS_PROXY": "http://proxy",
        "ANTHROPIC_API_KEY": "secret",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "CLAUDE_CONFIG_DIR": "/home/me/.claude-work",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "1000",
        "CLAUDECTL_SOCKET": "/home/me/daemon.sock",
        "LANG": "de_DE.UTF-8",
        "EMPTY": "",
    }
    assert mine.items() <= made(mine).items()


@pytest.mark.parametrize("chosen", [{"LC_ALL": "C"}, {"LANG": "POSIX"}])
def test_a_locale_that_was_chosen_is_not_overruled(chosen: dict[str, str]) -> None:
    env = made(chosen)
    assert {name: env[name] for name in ("LANG", "LC_ALL") if name in env} == chosen


@pytest.mark.parametrize(
    "name",
    [
        "CLAUDECODE",
        "CLAUDE_CODE_CHILD_SESSION",
        "CLAUDE_CODE_CHILD_NOTES_DIR",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_MESSAGING_SOCKET",
        "CLAUDE_CODE_MESSAGING_TOKEN",
        "CLAUDE_PID",
        "CLAUDE_ENV_FILE",
        "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_BG_ANYTHING",
        "CLAUDE_JOB_DIR",
        "CLAUDE_CODE_SESSION_KIND",
        "AI_AGENT",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "TMUX",
        "TMUX_PANE",
        "KITTY_WINDOW_ID",
        "ITERM_SESSION_ID",
        "WEZTERM_PANE",
        "VTE_VERSION",
        "WT_SESSION",
        "STY",
        "WINDOW",
        "COLUMNS",
        "LINES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "INVOCATION_ID",
        "CLAUDECTL_TOKEN",
        "PWD",
    ],
)
def test_what_belongs_to_somebody_else_does_not_reach_the_child(name: str) -> None:
    assert name not in made({name: "x"})
    assert name not in made({name: "x"}, claude=False)


def test_an_outer_session_and_terminal_are_replaced_by_our_own() -> None:
    env = made({"CLAUDECTL_SESSION": "outer", "CLAUDECTL_RUN": "outer", "TERM": "dumb", "COLORTERM": "no"})
    assert env == made({})


def test_the_client_environment_itself_is_left_alone() -> None:
    client = {"TMUX": "1", "A": "b"}
    made(client)
    assert client == {"TMUX": "1", "A": "b"}
