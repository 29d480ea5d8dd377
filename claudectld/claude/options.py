"""Claude's options as its command line (2.1.330) reads them, and those that a session may not be given."""

from types import MappingProxyType

_CHOOSES = "would choose the conversation, and claudectl does that"
_PRINTS = "would make it answer once instead of staying interactive"
_MOVES = "would move the conversation out of this session"
FORBIDDEN = MappingProxyType(
    {
        "-p": _PRINTS,
        "--print": _PRINTS,
        "--init-only": _PRINTS,
        "--sdk-url": _PRINTS,
        "--session-id": _CHOOSES,
        "-r": _CHOOSES,
        "--resume": _CHOOSES,
        "-c": _CHOOSES,
        "--continue": _CHOOSES,
        "--fork-session": _CHOOSES,
        "--from-pr": _CHOOSES,
        "--teleport": _CHOOSES,
        "--bg": _MOVES,
        "--background": _MOVES,
        "--routine": _MOVES,
        "--cloud": _MOVES,
        "--remote": _MOVES,
        "--desktop": _MOVES,
        "--tmux": _MOVES,
        "--no-session-persistence": "would make it impossible to bring the conversation back",
        "--resume-session-at": "would cut the conversation again at every start",
        "--rewind-files": "would rewind files again at every start",
    }
)
"""Option: why it is refused, completing 'it …'."""

ONE_VALUE = frozenset(
    (
        "--advisor",
        "--agent",
        "--agents",
        "--append-subagent-system-prompt",
        "--append-system-prompt",
        "--append-system-prompt-file",
        "--autocompact",
        "--debug-file",
        "--effort",
        "--environment",
        "--fallback-model",
        "--fast-mode",
        "--input-format",
        "--json-schema",
        "--managed-settings",
        "--max-budget-usd",
        "--max-thinking-tokens",
        "--max-turns",
        "--messaging-socket-path",
        "--model",
        "-n",
        "--name",
        "--output-format",
        "--permission-mode",
        "--permission-prompt-tool",
        "--permission-prompts",
        "--plan-mode-instructions",
        "--plugin-dir",
        "--plugin-dir-no-mcp",
        "--plugin-url",
        "--prefill",
        "--remote-control-session-name-prefix",
        "--setting-sources",
        "--settings",
        "--system-prompt",
        "--system-prompt-file",
        "--system-prompt-snapshot",
        "--task-budget",
        "--thinking",
        "--thinking-display",
    )
)
"""These take the next word, whatever it looks like."""

MANY_VALUES = frozenset(
    (
        "--add-dir",
        "--allowed-tools",
        "--allowedTools",
        "--betas",
        "--channels",
        "--dangerously-load-development-channels",
        "--disallowed-tools",
        "--disallowedTools",
        "--file",
        "--mcp-config",
        "--tools",
    )
)
"""These take the next word, and all after it up to the next option."""

MAYBE_VALUE = frozenset(
    (
        "-d",
        "--debug",
        "--prompt-suggestions",
        "--rc",
        "--remote-control",
        "-w",
        "--worktree",
    )
)
"""These take the next word if it does not look like an option."""

NO_VALUE = frozenset(
    (
        "--allow-dangerously-skip-permissions",
        "--ax-screen-reader",
        "--bare",
        "--brief",
        "--chrome",
        "-d2e",
        "--dangerously-skip-permissions",
        "--debug-to-stderr",
        "--disable-slash-commands",
        "--enable-auto-mode",
        "--exclude-dynamic-system-prompt-sections",
        "--forward-subagent-text",
        "-h",
        "--help",
        "--ide",
        "--include-hook-events",
        "--include-partial-messages",
        "--init",
        "--maintenance",
        "--no-chrome",
        "--replay-user-messages",
        "--reply-on-resume",
        "--restricted",
        "--safe-mode",
        "--strict-mcp-config",
        "-v",
        "--verbose",
        "--version",
    )
)
"""These take nothing."""
