"""The environment of a child, made from the client's. Pure."""

from collections.abc import Mapping

from claudectl_protocol.sessions import RunId, SessionId

TERM = "xterm-256color"
COLORTERM = "truecolor"
LANG = "C.UTF-8"

# What an outer Claude or one of its tools and hooks leaves behind. CLAUDE_CODE_CHILD_SESSION is the worst:
# Claude then silently writes no transcript, and the conversation cannot be resumed.
_OUTER_CLAUDE = frozenset(
    (
        "AI_AGENT",
        "CLAUDECODE",
        "CLAUDE_CODE_CHILD_NOTES_DIR",
        "CLAUDE_CODE_CHILD_SESSION",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_EXECPATH",
        "CLAUDE_CODE_MESSAGING_SOCKET",
        "CLAUDE_CODE_MESSAGING_TOKEN",
        "CLAUDE_CODE_SESSION_ATTENDED",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_SESSION_KIND",
        "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_EFFORT",
        "CLAUDE_ENV_FILE",
        "CLAUDE_JOB_DIR",
        "CLAUDE_PID",
        "CLAUDE_PROJECT_DIR",
    )
)
# The client's terminal is not the child's: a program that believes in it speaks a dialect that nobody here knows.
_OUTER_TERMINAL = frozenset(
    (
        "COLUMNS",
        "GPG_TTY",
        "LC_TERMINAL",
        "LC_TERMINAL_VERSION",
        "LINES",
        "SSH_TTY",
        "STY",
        "TERMCAP",
        "TERMINAL_EMULATOR",
        "TERMINFO",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "TERM_SESSION_ID",
        "TMUX",
        "TMUX_PANE",
        "VTE_VERSION",
        "WINDOW",
        "WINDOWID",
        "WT_PROFILE_ID",
        "WT_SESSION",
        "XTERM_LOCALE",
        "XTERM_VERSION",
    )
)
# What a service manager said to somebody else. A child that answers NOTIFY_SOCKET would speak for the daemon.
_OUTER_SERVICE = frozenset(
    (
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "MAINPID",
        "MANAGERPID",
        "NOTIFY_SOCKET",
        "SYSTEMD_EXEC_PID",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    )
)
# The client's working directory and last command.
_OUTER_SHELL = frozenset(("OLDPWD", "PWD", "_"))
_SCRUBBED = _OUTER_CLAUDE | _OUTER_TERMINAL | _OUTER_SERVICE | _OUTER_SHELL
_SCRUBBED_PREFIXES = (
    "ALACRITTY_",
    "CLAUDECTL_",
    "CLAUDE_BG_",
    "GHOSTTY_",
    "ITERM_",
    "KITTY_",
    "KONSOLE_",
    "WEZTERM_",
    "ZELLIJ",
)
_KEPT = frozenset(("CLAUDECTL_SOCKET",))
"""The person's own choice of daemon: a claudectl inside the session must reach the one that runs it."""


def environment(client: Mapping[str, str], *, session: SessionId, run: RunId, claude: bool) -> dict[str, str]:
    """The complete environment of a child.

    The client's own, less what belongs to its terminal, its service manager or an outer Claude, plus the marker
    of the run, the terminal that we are, a UTF-8 locale if the client chose none, and for Claude Code a switch
    that keeps a stray key from moving the conversation into another supervisor.
    """
    env = {name: value for name, value in client.items() if not _is_scrubbed(name)}
    env["CLAUDECTL_SESSION"] = session
    env["CLAUDECTL_RUN"] = run
    env["TERM"] = TERM
    env["COLORTERM"] = COLORTERM
    if not env.get("LANG") and not env.get("LC_ALL"):
        env["LANG"] = LANG
    if claude:
        env["CLAUDE_CODE_DISABLE_AGENT_VIEW"] = "1"
    return env


def _is_scrubbed(name: str) -> bool:
    return name in _SCRUBBED or (name.startswith(_SCRUBBED_PREFIXES) and name not in _KEPT)
