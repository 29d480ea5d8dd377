"""README's own commands, taken from README itself: what it tells people to paste does what it says."""

import os
import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from claudectl_protocol.sessions import Size
from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.world import World
from tests.support import claude_code
from tests.support.installation import ROOT, Installation, Wheels
from tests.support.messages_api import MessagesApi
from tests.support.terminal import Terminal

README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()
GROUPS = frozenset(("completion", "config", "daemon", "project"))
"""Verbs whose next word is a verb, too."""
CTRL_C, CTRL_L, CTRL_Q = "\x03", "\x0c", "\x11"


def blocks(heading: str) -> list[str]:
    """The lines of the shell block below a heading."""
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert section is not None, f"README has no '{heading}'"
    block = re.search(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert block is not None, f"'{heading}' has no commands"
    return block[1].splitlines()


def file_rows() -> list[tuple[str, list[str]]]:
    """The table of files: what, and where as README writes it."""
    section = README.partition("\n## Files\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in section.splitlines()
        if "| " in line
    ]
    found = [(row[0], re.findall(r"`([^`]+)`", row[1])) for row in rows if len(row) == 2]
    return [(what, where) for what, where in found if where]


def commands() -> list[str]:
    """Every `claudectl` command that README mentions, in blocks and in sentences."""
    pasted = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    said = re.findall(r"`((?:\.venv/bin/)?claudectl [^`]+)`", README)
    parts = [part.strip() for line in (*pasted, *said) for part in line.split("&&")]
    return sorted({part for part in parts if re.match(r"(\.venv/bin/)?claudectl ", part)})


class Shell:
    """A person's interactive shell, with the commands' exit codes in its prompt."""

    def __init__(self, world: World, path: Path) -> None:
        env = {**world.env, "PATH": f"{path}:{world.env['PATH']}", "PS1": "<$?:\\#> "}
        self._terminal = Terminal(
            ["/bin/bash", "--norc", "--noprofile", "-i"],
            env=env,
            cwd=world.project,
            size=Size(cols=120, rows=40),
            answer=True,
        )
        self._number = 1

    def __enter__(self) -> "Shell":
        self._terminal.__enter__()
        self._prompt(0)
        return self

    def __exit__(self, *error: object) -> None:
        self._terminal.__exit__(None, None, None)

    def run(self, line: str) -> tuple[int, str]:
        """Paste a line and wait for its end: the exit code, and everything printed."""
        since = self.paste(line)
        return self._prompt(since)

    def enter(self, line: str, wanted: str, key: str) -> tuple[int, str]:
        """Paste a line whose command goes on, wait until it shows what is `wanted`, and press a key that ends it."""
        self._terminal.type(CTRL_L)
        self._terminal.wait_for(lambda text: wanted not in text)
        since = self.paste(line)
        self._terminal.wait_for(wanted)
        self._terminal.type(key)
        return self._prompt(since)

    def paste(self, line: str) -> int:
        """Type a line; returns how much was printed before."""
        since = len(self._terminal.output)
        self._terminal.type(f"{line}\r")
        self._number += 1
        return since

    def _prompt(self, since: int) -> tuple[int, str]:
        prompt = re.compile(rb"<(\d+):%d> " % self._number)
        self._terminal.wait_for(
            lambda _: prompt.search(self._terminal.output, since) is not None, deadline_s=60
        )
        found = prompt.search(self._terminal.output, since)
        assert found is not None
        return int(found[1]), self._terminal.output[since : found.start()].decode(errors="replace")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The present source, installed."""
    wheel = Wheels(tmp_path_factory.mktemp("wheels")).of_present("0.2.0.dev1")
    return Installation(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture
def world() -> Iterator[ClaudeWorld]:
    """A fresh home in which the real Claude Code is installed, as README asks for."""
    program = claude_code.installed_or_skip()
    with MessagesApi() as api, claude_code.home() as home, ClaudeWorld(program, home, api) as made:
        yield made
        made.end()


@pytest.mark.claude
def test_the_ten_lines_work_when_pasted_and_leave_what_the_table_says(
    world: ClaudeWorld, installation: Installation
) -> None:
    lines = blocks("Ten lines")
    assert len(lines) == 10
    with Shell(world, installation.claudectl.parent) as shell:
        for line in lines:
            words = shlex.split(line, comments=True)
            if words[1] == "attach" or "--attach" in words:
                assert shell.enter(line, "You said: ", CTRL_Q)[0] == 0, line
            elif words[1] == "logs" and "-f" in words:
                assert shell.enter(line, "You said: ", CTRL_C)[0] in (0, 130), line
            else:
                code, said = shell.run(line)
                assert code == 0, f"{line}\n{said}"

    for what, where in file_rows():
        if "settings" in what:
            # People write it, so it is enough that this is where it is looked for.
            assert world.ctl("config", "path").out.strip() == str(places(world, where[0])[0])
        elif "/run/user" in where[0]:
            assert any(found(world, path) for path in where), what
        else:
            assert all(found(world, path) for path in where), what


def places(world: World, written: str) -> list[Path]:
    """The paths that README means: `~`, PROJECT, UID and {a,b} filled in."""
    text = written.replace("~", str(world.home)).replace("PROJECT", str(world.project))
    pieces = [piece.split(",") for piece in re.split(r"[{}]", text.replace("UID", str(os.geteuid())))]
    return [Path("".join(chosen)) for chosen in product(*pieces)]


def found(world: World, written: str) -> bool:
    """Whether all of that is there; `…` is anything."""
    return all(
        any(path.parent.glob("*/*.sock")) if path.name == "…" else path.exists()
        for path in places(world, written)
    )


@pytest.mark.claude
def test_the_first_command_ends_in_a_conversation(world: ClaudeWorld, installation: Installation) -> None:
    (line,) = blocks("Start")
    *preparation, first = (part.strip() for part in line.split("&&"))
    assert [shlex.split(part)[1:] for part in preparation] == [["-m", "venv", ".venv"], ["install", "."]]

    (world.project / ".venv").symlink_to(installation.directory)
    with Shell(world, installation.claudectl.parent) as shell:
        assert shell.enter(first, "You said: say hi", CTRL_Q)[0] == 0
        assert shell.enter(".venv/bin/claudectl attach claude", "You said: say hi", CTRL_Q)[0] == 0


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    (line,) = blocks("Test")
    pattern = re.search(r'test_line=\$\(grep -m1 "(.*)" README\.md\)', CI)
    assert pattern is not None
    matching = [each for each in README.splitlines() if re.search(pattern[1], each)]
    assert matching[0] == line
    assert 'bash -euo pipefail -c "$test_line"' in CI


@pytest.mark.parametrize("command", commands())
def test_every_command_that_is_mentioned_exists_with_its_options(command: str) -> None:
    words = shlex.split(command.split("…")[0], comments=True)[1:]
    own = words[: words.index("--")] if "--" in words else words
    verb = own[:2] if own[0] in GROUPS else own[:1]
    with World() as world:
        shown = world.ctl(*verb, "--help").out

    options = [word for word in own if re.fullmatch(r"-\w|--[\w-]+", word)]
    assert [option for option in options if not re.search(rf"(?<![\w-]){option}\b", shown)] == []


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 10
    assert len(file_rows()) >= 4
