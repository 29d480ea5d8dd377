"""Finding what to execute: Claude Code itself, or a program the person named."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from claudectl_protocol.faults import ClaudeCodeNotFound, ProgramNotFound, Rejected
from claudectl_protocol.text import plain

NAME = "claude"
NPX = "npx"
PACKAGE = "@anthropic-ai/claude-code"
# npx itself would stay in front of Claude, with another pid; so it is only asked where it has put it. What is typed
# meanwhile is Claude's.
_THROUGH_NPX = (
    f'claude=$("$0" -y --package={PACKAGE} -c "command -v {NAME}" </dev/null) && exec "$claude" "$@"'
)
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where a caller without PATH is taken to look."""
_CHARACTERS = 1000

# Where installers put it, best first. cron and systemd give a PATH that holds none of these.
_BELOW_HOME = (
    ".local/bin",
    ".claude/local",
    ".npm-global/bin",
    ".npm-packages/bin",
    ".bun/bin",
    ".volta/bin",
)
_ABSOLUTE = ("/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin", "/usr/bin")
_PER_NODE_VERSION = (".nvm/versions/node/*/bin", ".local/share/fnm/node-versions/*/installation/bin")


def claude_command(env: Mapping[str, str], configured: str = "", *, via_npx: bool = False) -> tuple[str, ...]:
    """The words that run Claude Code, before its own arguments; resolved anew at each start.

    Args:
        env, configured: as `find_claude`.
        via_npx: the person has agreed to npx as a last resort. What it starts becomes Claude itself, under the same
            pid: signals, exit code and Claude's registry are those of any other Claude session.

    Raises:
        Rejected: ClaudeCodeNotFound with everything that was tried.
    """
    try:
        return (find_claude(env, configured),)
    except Rejected as rejected:
        if not via_npx or not isinstance(rejected.fault, ClaudeCodeNotFound):
            raise
        places = tuple(dict.fromkeys(_places(env, NPX)))
        for path in places:
            if _is_program(path):
                return ("/bin/sh", "-c", _THROUGH_NPX, path)
        searched = (*rejected.fault.searched, *places)
        raise Rejected(ClaudeCodeNotFound(searched=searched)) from rejected


def find_claude(env: Mapping[str, str], configured: str = "") -> str:
    """The absolute path of Claude Code, looked for anew at each start because updates move it.

    Args:
        env: the client's environment, for PATH and HOME.
        configured: the path from the config; then nothing else is tried.

    Raises:
        Rejected: ClaudeCodeNotFound with everything that was tried.
    """
    searched = []
    for path in [os.path.expanduser(configured)] if configured else _places(env, NAME):
        if path in searched:
            continue
        searched.append(path)
        if os.path.isabs(path) and _is_program(path):
            return path
    raise Rejected(ClaudeCodeNotFound(searched=tuple(searched)))


def find_program(name: str, env: Mapping[str, str], cwd: str) -> str:
    """The absolute path of `name` as a shell in `cwd` would find it.

    Raises:
        Rejected: ProgramNotFound; `executable` is False when a file is there that may not be executed.
    """
    if not name:
        raise Rejected(ProgramNotFound(program=name, searched=()))
    if "/" in name:
        places = [os.path.join(cwd, name)]
    else:
        path = env.get("PATH", DEFAULT_PATH)
        places = [os.path.join(cwd, directory, name) for directory in path.split(":")]
    for place in places:
        if _is_program(place):
            return os.path.normpath(place)
    unusable = any(os.path.exists(place) for place in places)
    # Clipped, since the name may be longer than anything that exists, and as often as PATH has directories.
    searched = tuple(plain(place, _CHARACTERS) for place in places)
    raise Rejected(
        ProgramNotFound(program=plain(name, _CHARACTERS), searched=searched, executable=not unusable)
    )


def _places(env: Mapping[str, str], name: str) -> Iterator[str]:
    # Relative entries of PATH are left out: they would make the program depend on the directory, which may be
    # a stranger's repository.
    for directory in env.get("PATH", DEFAULT_PATH).split(":"):
        if os.path.isabs(directory):
            yield os.path.join(directory, name)
    home = env.get("HOME", "")
    below_home = _BELOW_HOME if os.path.isabs(home) else ()
    prefix = env.get("NPM_CONFIG_PREFIX") or env.get("npm_config_prefix") or ""
    yield from (os.path.join(home, directory, name) for directory in below_home)
    if os.path.isabs(prefix):
        yield os.path.join(prefix, "bin", name)
    yield from (os.path.join(directory, name) for directory in _ABSOLUTE)
    if below_home:
        for pattern in _PER_NODE_VERSION:
            yield from sorted(map(str, Path(home).glob(f"{pattern}/{name}")), key=_numbers, reverse=True)


def _numbers(path: str) -> tuple[int, ...]:
    """The numbers in a path, by which v20 is newer than v9."""
    return tuple(int(number) for number in re.findall(r"\d+", path))


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
