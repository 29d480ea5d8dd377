"""A person's world in which the real Claude Code is installed and answers come from a loopback Messages API."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.world import DEADLINE_S, World
from tests.support.claude_code import Home, Turn
from tests.support.files import wait_for_file
from tests.support.messages_api import MessagesApi

MANUAL = ("--", "--permission-mode", "manual")
"""The mode whose permission dialogs need no service."""


def field(document: object, *names: str) -> object:
    """What lies at `names` in a JSON object of objects; None when something on the way is null."""
    for name in names:
        if document is None:
            return None
        assert isinstance(document, dict)
        document = document[name]
    return document


class ClaudeWorld(World):
    """A world with `claude` where installers put it."""

    def __init__(self, program: Path, home: Home, api: MessagesApi) -> None:
        super().__init__(home.path, home.environment(api.url))
        self.claude_home = home
        self.claude = home.path / ".local" / "bin" / "claude"
        self.claude.parent.mkdir(parents=True)
        self.claude.symlink_to(program)

    def claude_session(self, name: str, *, prompt: str | None = None) -> dict[str, object]:
        """Start a Claude session that asks before it acts."""
        return self.new(*([] if prompt is None else [prompt]), "-n", name, *MANUAL)

    def say(self, target: str, text: str) -> None:
        """Paste a text into a session's terminal and submit it, as a person does."""
        self.ctl("send", target, "--keys", "-", stdin=b"\x1b[200~" + text.encode() + b"\x1b[201~\r")

    def press(self, target: str, keys: str) -> None:
        """Press keys in a session's terminal."""
        self.ctl("send", target, "--keys", keys)

    def detail(self, target: str) -> dict[str, object]:
        """`show --json`, everything about the session."""
        detail = self.ctl("show", target, "--json", "-g").json()["detail"]
        assert isinstance(detail, dict)
        return detail

    def conversation(self, target: str) -> str:
        """The conversation a session is in."""
        return str(self.shown(target)["conversation"])

    def until_said(self, target: str, text: str) -> tuple[Turn, ...]:
        """All that was said in a session's conversation, as soon as its transcript has the reply `text`.

        Raises:
            TimeoutError: it never had.
        """
        conversation = self.conversation(target)

        def look() -> tuple[Turn, ...] | None:
            turns = self.claude_home.turns(conversation)
            return turns if Turn("assistant", text) in turns else None

        slug = re.sub(r"[^A-Za-z0-9]", "-", str(self.project))
        return wait_for_file(self.claude_home.config_directory / "projects" / slug, look)

    def until(
        self,
        target: str,
        wanted: Callable[[dict[str, object]], bool],
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, object]:
        """The session's line as soon as the product says what is `wanted`; before each new question do `meanwhile`.

        Raises:
            TimeoutError: it never said so; the message has what it said last.
        """
        deadline = time.monotonic() + DEADLINE_S
        while not wanted(shown := self.shown(target)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{shown}\n{self.log()}")
            meanwhile()
        return shown

    def until_doing(
        self, target: str, state: str, *, meanwhile: Callable[[], None] = lambda: None
    ) -> dict[str, object]:
        """The activity of a session as soon as its state is the named one. Raises TimeoutError."""
        shown = self.until(target, lambda now: field(now, "activity", "state") == state, meanwhile=meanwhile)
        activity = shown["activity"]
        assert isinstance(activity, dict)
        return activity
