"""Records Claude Code at work: `python -m tests.recordings.make [NAME…]`. It replaces the committed recordings.

Each has replies that stream and scroll, two permission dialogs, a new file's text, wide characters, and changes of
the window's size. Nothing of the machine is in them: the home is /tmp/p, and a script answers in the service's place.
"""

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from claudectl_protocol.sessions import Size
from tests.recordings import Recording, save
from tests.support.claude_code import Home, cache_directory
from tests.support.messages_api import MessagesApi
from tests.support.terminal import Terminal

HOME = Path("/tmp/p")
VERSIONS = ("2.1.330", "2.1.197")
RENDERERS: Mapping[str, Mapping[str, str]] = {
    "alternate": {"CLAUDE_CODE_NO_FLICKER": "1"},
    "classic": {"CLAUDE_CODE_DISABLE_ALTERNATE_SCREEN": "1"},
}
START = Size(cols=100, rows=30)
SIZES = (Size(cols=72, rows=20), Size(cols=72, rows=28), Size(cols=120, rows=36))
_COLORS = {"COLORTERM": "truecolor", "FORCE_COLOR": "3", "USER": "user", "TZ": "UTC"}
_INSTALL_S = 600.0
_MARKDOWN = (
    "# Heading\n\nSome **bold**, *italic*, ~~old~~ and `code`.\n\n1. one\n2. two\n\n"
    "```python\ndef answer() -> int:\n    return 42\n```\n\n| a | b |\n|---|---|\n| 1 | 日本 |\n\n"
)
_WIDE = "日本語のテキスト 🎉 👩‍👩‍👧 ❤️ 🇩🇪 e\u0301 안녕하세요 │─┐ 中文 " * 3
_LONG = "\n\n".join(f"Paragraph {number} of a long reply. " + "Words, words. " * 14 for number in range(24))
_FILE = json.dumps(
    {"file_path": str(HOME / "project" / "answer.py"), "content": "def answer():\n    return 42\n"}
)


class _Scene:
    """A conversation that is recorded."""

    def __init__(self, terminal: Terminal, api: MessagesApi) -> None:
        self._terminal = terminal
        self._api = api
        self._sizes = [(0, START)]
        self._prompts = 0

    def ask(self, script: str) -> str:
        """Type a prompt that makes the service say `script`, and last a word; returns the word."""
        self._prompts += 1
        name = f"prompt{self._prompts}"
        # The prompt itself is on the screen, too, but with the asterisks.
        prompt = f"{name} {script}[[text:\n\n**done**-{self._prompts}]]"
        self._terminal.type(b"\x1b[200~" + prompt.encode() + b"\x1b[201~")
        # 2.1.197 loses a return that comes together with the paste.
        self._terminal.wait_for(lambda text: name in text or "Pasted text" in text.split("done-")[-1])
        for _ in range(20):
            self._terminal.type("\r")
            try:
                self._api.wait_for_prompt(name, deadline_s=1.5)
            except TimeoutError:
                continue
            break
        return f"done-{self._prompts}"

    def see(self, text: str) -> None:
        """Wait until it is on the screen."""
        self._terminal.wait_for(text, deadline_s=60.0)

    def allow(self) -> None:
        """Say yes to a permission dialog, which is deaf at first, and wait until the tool's result is sent."""
        self.see("Do you want to")
        turns = len(self._api.turns())
        for _ in range(20):
            self._terminal.type("1")
            try:
                self._terminal.wait_for(lambda text: "Do you want to" not in text, deadline_s=0.5)
            except TimeoutError:
                continue
            break
        self._api.wait_for(lambda request: request.is_turn, count=turns + 1)

    def refuse(self) -> None:
        """Say no to a permission dialog, which ends the turn."""
        self.see("Do you want to")
        for _ in range(20):
            self._terminal.type("\x1b")
            try:
                self._terminal.wait_for(lambda text: "Do you want to" not in text, deadline_s=0.5)
            except TimeoutError:
                continue
            break

    def resize(self, size: Size) -> None:
        """Change the window's size, and wait for what is printed then."""
        before = len(self._terminal.output)
        self._sizes.append((before, size))
        self._terminal.resize(size)
        self._terminal.wait_for(lambda _: len(self._terminal.output) > before + 500)

    def recording(self) -> Recording:
        """All of it."""
        return Recording(self._terminal.output, tuple(self._sizes))


def record(version: str, renderer: str) -> Recording:
    """One conversation."""
    program = _installed(version)
    with _home() as home, MessagesApi() as api:
        env = home.environment(api.url, {**_COLORS, **RENDERERS[renderer]})
        argv = [str(program), "--permission-mode", "default"]
        with Terminal(argv, env=env, cwd=home.project, size=START, answer=True) as terminal:
            scene = _Scene(terminal, api)
            terminal.wait_for_output(b"\x1b[?2004h")
            scene.see("❯")
            scene.see(scene.ask("[[slow:40:15]]"))
            scene.see(scene.ask(f"[[text:{_MARKDOWN}]]"))
            scene.ask("[[bash:touch made-here]]")
            scene.allow()
            scene.see("The tool is done")
            scene.resize(SIZES[0])
            scene.see(scene.ask(f"[[text:{_WIDE}]]"))
            done = scene.ask(f"[[slow:20:15]][[text:\n\n{_LONG}]]")
            scene.resize(SIZES[1])
            scene.see(done)
            scene.resize(SIZES[2])
            scene.see(scene.ask("[[slow:60:10]]"))
            scene.ask(f"[[tool:Write:{_FILE}]]")
            scene.refuse()
            terminal.type("/exit\r")
            terminal.wait_for_exit()
            return scene.recording()


def _installed(version: str) -> Path:
    """The program of one version, fetched first if need be, each in a place of its own."""
    place = cache_directory() / f"claude-code-{version}"
    place.mkdir(parents=True, exist_ok=True)
    program = place / "node_modules" / ".bin" / "claude"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            package = f"@anthropic-ai/claude-code@{version}"
            command = ("npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", package)
            subprocess.run(command, check=True, timeout=_INSTALL_S)
    return program.resolve()


@contextmanager
def _home() -> Iterator[Home]:
    HOME.mkdir()
    home = Home(HOME)
    try:
        yield home
    finally:
        home.close()
        shutil.rmtree(HOME, ignore_errors=True)


if __name__ == "__main__":
    for version in VERSIONS:
        for renderer in RENDERERS:
            name = f"claude-{version}-{renderer}"
            if name in sys.argv[1:] or not sys.argv[1:]:
                save(name, record(version, renderer))
                print(name)
