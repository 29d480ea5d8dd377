"""The real Claude Code for tests: one pinned version in a cache, and homes that go straight to the prompt."""

import fcntl
import os
import select
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

VERSION = "2.1.330"
PACKAGE = f"@anthropic-ai/claude-code@{VERSION}"
API_KEY = "sk-ant-test-0123456789-abcdefghijklmnopqrst"
_APPROVED_KEY_CHARACTERS = 20
"""Claude remembers an approved key by its end."""
_INSTALL_S = 600.0


class Unavailable(Exception):
    """The CLI cannot be fetched here; the text says why."""


def cache_directory() -> Path:
    """Where the CLI is kept: CLAUDECTL_TEST_CACHE, else ~/.cache/claudectl-tests."""
    return Path(os.environ.get("CLAUDECTL_TEST_CACHE") or Path.home() / ".cache" / "claudectl-tests")


def installed() -> Path:
    """The CLI's program, fetched first if the cache does not have it; safe to call from several processes.

    Raises:
        Unavailable: npm is missing or could not fetch it.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / "node_modules" / ".bin" / "claude"
    complete = cache / f"installed-{VERSION}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists() and program.exists():
            return program.resolve()
        npm = shutil.which("npm")
        if npm is None:
            raise Unavailable("npm is not installed, and the cache has no Claude Code")
        command = (npm, "install", "--prefix", str(cache), "--no-audit", "--no-fund", PACKAGE)
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        if done.returncode != 0:
            raise Unavailable(f"npm could not fetch {PACKAGE}: {done.stderr.strip()[-500:]}")
        complete.touch()
    return program.resolve()


def installed_or_skip() -> Path:
    """The CLI's program; without it the test is skipped, or fails where CI=1 says that nothing may miss."""
    try:
        return installed()
    except Unavailable as why:
        if os.environ.get("CI") == "1":
            pytest.fail(str(why))
        pytest.skip(str(why))


class HookPipe:
    """A named pipe that a command hook writes its input to: waiting for a hook is waiting for a line."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # Read and write: the hook never waits for a reader, and there is no end of file between two hooks.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._pending = b""

    def close(self) -> None:
        """Stop listening."""
        os.close(self._fd)

    @property
    def command(self) -> str:
        """The hook's command line."""
        return f"{{ cat; echo; }} > '{self.path}'"

    def wait(self, *, deadline_s: float = 20.0) -> bytes:
        """The next hook's input, one line of JSON. Raises TimeoutError."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            line, found, rest = self._pending.partition(b"\n")
            if found:
                self._pending = rest
                if line:
                    return line
                continue
            if not poll.poll(deadline_s * 1000):
                raise TimeoutError(f"no hook ran within {deadline_s} s")
            self._pending += os.read(self._fd, 65536)


class Turn(msgspec.Struct, frozen=True):
    """One thing said in a conversation, as its transcript has it."""

    role: str
    text: str


class _Said(msgspec.Struct, frozen=True):
    content: str | list[dict[str, object]] = ""


class _Line(msgspec.Struct, frozen=True):
    type: str
    message: _Said | None = None


class Home:
    """A person's home for Claude: onboarded, the key approved, one trusted project, nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.project = path / "project"
        self._pipes: list[HookPipe] = []
        self.project.mkdir()
        (path / ".claude").mkdir()
        seed = {
            "hasCompletedOnboarding": True,
            "customApiKeyResponses": {"approved": [API_KEY[-_APPROVED_KEY_CHARACTERS:]], "rejected": []},
            "projects": {str(self.project): {"hasTrustDialogAccepted": True}},
            "hasSeenAutoDefaultNudge": True,
        }
        (path / ".claude.json").write_bytes(msgspec.json.encode(seed))

    def close(self) -> None:
        """Stop listening to hooks."""
        for pipe in self._pipes:
            pipe.close()

    @property
    def config_directory(self) -> Path:
        """Where Claude keeps what it writes."""
        return self.path / ".claude"

    def environment(self, api_url: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """A person's environment: nothing of the test's own, no way to the real service."""
        return {
            "HOME": str(self.path),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SHELL": "/bin/sh",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.path),
            "ANTHROPIC_API_KEY": API_KEY,
            "ANTHROPIC_BASE_URL": api_url,
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **(extra or {}),
        }

    def hooks(self, *events: str) -> dict[str, HookPipe]:
        """Write user settings in which each event's hook reports to a pipe of its own."""
        pipes = {event: HookPipe(self.path / f"hook-{event}") for event in events}
        self._pipes += pipes.values()
        hooks = {
            event: [{"hooks": [{"type": "command", "command": pipe.command}]}]
            for event, pipe in pipes.items()
        }
        (self.config_directory / "settings.json").write_bytes(msgspec.json.encode({"hooks": hooks}))
        return pipes

    def transcript(self, conversation: str) -> Path | None:
        """The conversation's transcript, or None while it has none."""
        return next(self.config_directory.glob(f"projects/*/{conversation}.jsonl"), None)

    def turns(self, conversation: str) -> tuple[Turn, ...]:
        """What was said in a conversation, oldest first."""
        path = self.transcript(conversation)
        if path is None:
            return ()
        said = []
        for raw in path.read_bytes().splitlines():
            line = msgspec.json.decode(raw, type=_Line)
            if line.type in ("user", "assistant") and line.message is not None:
                content = line.message.content
                blocks = [{"text": content}] if isinstance(content, str) else content
                text = "".join(str(block.get("text", "")) for block in blocks)
                if text:
                    said.append(Turn(line.type, text))
        return tuple(said)


@contextmanager
def home() -> Iterator[Home]:
    """A fresh home under a short path, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp")).resolve()
    made = Home(path)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(path, ignore_errors=True)


def conversation_id() -> str:
    """A new conversation's id."""
    return str(uuid.uuid4())
