"""Whether Claude Code has a login: only that there is one and of which kind, never the secret itself."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from claudectld.claude.transcript import config_directory

_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
)
_CREDENTIALS = ".credentials.json"
_STATE = ".claude.json"
_SETTINGS = "settings.json"


def logins(client: Mapping[str, str], cwd: str) -> tuple[str, ...]:
    """The names of what stands for a login: variables, or keys with the file they are in."""
    return (*(name for name in _VARIABLES if client.get(name)), *_in_files(client, cwd))


def _in_files(client: Mapping[str, str], cwd: str) -> Iterator[str]:
    config = config_directory(client, cwd)
    for key in _keys(config / _CREDENTIALS):
        yield f"{key} in {config / _CREDENTIALS}"
    # Where the credentials lie in the system's keychain, this file still says that there is an account.
    state = config / _STATE if client.get("CLAUDE_CONFIG_DIR") else config.parent / _STATE
    for path, names in ((state, ("oauthAccount", "primaryApiKey")), (config / _SETTINGS, ("apiKeyHelper",))):
        for key in _keys(path):
            if key in names:
                yield f"{key} in {path}"


def _keys(path: Path) -> tuple[str, ...]:
    """The keys of a JSON object in a file that have a value; none for anything else."""
    try:
        document: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()
    return tuple(key for key, value in document.items() if value) if isinstance(document, dict) else ()
