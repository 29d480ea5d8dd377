"""Where Claude keeps the transcript of a conversation, and whether there is one yet."""

import glob
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from claudectl_protocol.sessions import ConversationId


def config_directory(env: Mapping[str, str], cwd: str) -> Path:
    """Where a Claude with this environment and cwd keeps its files: CLAUDE_CONFIG_DIR, else ~/.claude."""
    configured = env.get("CLAUDE_CONFIG_DIR")
    if configured:
        return Path(cwd, configured)
    home = env.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    return Path(home) / ".claude"


def find(conversation: ConversationId, config: Path) -> Path | None:
    """The conversation's transcript, or None while it has none: Claude makes it at the first prompt.

    All directories are searched: a resumed conversation goes on in the file of the directory it began in.
    """
    name = f"{glob.escape(conversation)}.jsonl"
    return next((path for path in sorted(config.glob(f"projects/*/{name}")) if path.is_file()), None)


def exists(conversation: ConversationId, config: Path) -> bool:
    """Whether the conversation can be resumed; without a transcript it has to be begun."""
    return find(conversation, config) is not None
