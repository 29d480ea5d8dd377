"""Completion in real shells at a real terminal, with a real daemon behind it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.e2e.scripts import ECHO
from tests.e2e.world import World
from tests.support.shells import shell_or_skip
from tests.support.terminal import Terminal


class Setup(msgspec.Struct, frozen=True):
    """How a person has set a shell up: a file below their home, and the options to run it with."""

    file: str
    text: str
    options: tuple[str, ...] = ("-i",)


SETUPS = {
    "bash": Setup(".bashrc", 'eval "$(claudectl completion bash)"; PS1="ready> "'),
    "zsh": Setup(".zshrc", 'eval "$(claudectl completion zsh)"; PS1="ready> "', ("-d", "-i")),
    "fish": Setup(
        ".config/fish/config.fish",
        """
        claudectl completion fish | source
        function fish_prompt; echo -n "ready> "; end
        set fish_autosuggestion_enabled 0
        set fish_greeting
        """,
    ),
}
Open = Callable[[World], AbstractContextManager[Terminal]]


@pytest.fixture
def world(world: World) -> World:
    """A world with `claudectl` on PATH."""
    program = world.home / "bin" / "claudectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m claudectl "$@"\n')
    program.chmod(0o755)
    world.env["PATH"] = f"{program.parent}:/usr/bin:/bin"
    return world


@pytest.fixture(params=SETUPS)
def shell(request: pytest.FixtureRequest) -> Open:
    """Opens a shell that is set up, and waits for its prompt."""
    name = str(request.param)
    found = shell_or_skip(name)
    setup = SETUPS[name]

    @contextmanager
    def opened(world: World) -> Iterator[Terminal]:
        file = world.home / setup.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(setup.text)
        # fish would read all manuals in the background.
        env = {**world.env, **found.environment, "FISH_UNIT_TESTS_RUNNING": "1"}
        with Terminal([found.program, *setup.options], env=env, cwd=world.project, answer=True) as terminal:
            terminal.wait_for("ready>")
            yield terminal
            terminal.type(b"\x15exit\r")
            terminal.wait_for_exit()

    return opened


def test_verbs_options_and_names_are_completed(world: World, shell: Open) -> None:
    world.run(ECHO, name="api-server")
    with shell(world) as terminal:
        # The full stop shows the space that ends a whole word.
        terminal.type("claudectl att\t--read\tapi\t.")
        terminal.wait_for("claudectl attach --read-only api-server .")


def test_names_of_this_project_only_unless_all_are_asked_for(world: World, shell: Open) -> None:
    other = world.home / "other"
    other.mkdir()
    world.run(ECHO, name="here")
    world.run(ECHO, name="there", cwd=other)
    with shell(world) as terminal:
        terminal.type("claudectl stop -g th\t.")
        terminal.wait_for("stop -g there .")
        terminal.type(b"\x15")
        terminal.type("claudectl stop th\t.")
        terminal.wait_for("claudectl stop th.")
        terminal.type(b"\x15")
        terminal.type("claudectl stop \t.")
        terminal.wait_for("claudectl stop here .")


def test_a_name_that_a_shell_would_act_on_is_never_inserted(world: World, shell: Open) -> None:
    world.run(ECHO, name="$(touch ran)")
    with shell(world) as terminal:
        terminal.type("claudectl show \t")
        shown = terminal.wait_for(lambda text: str(world.shown("$(touch ran)")["id"])[:8] in text)
    assert "touch" not in shown
    assert not (world.project / "ran").exists()


def test_a_project_is_completed_by_path_and_a_directory_too(world: World, shell: Open) -> None:
    world.run(ECHO)
    with shell(world) as terminal:
        terminal.type(f"claudectl project show {world.home}/pro\t")
        terminal.wait_for(f"project show {world.project}")
        terminal.type(b"\x15")
        (world.project / "inner").mkdir()
        terminal.type("claudectl new -C in\t")
        terminal.wait_for("new -C inner/")


def test_without_a_daemon_nothing_is_started_and_nothing_is_said(world: World, shell: Open) -> None:
    with shell(world) as terminal:
        terminal.type("claudectl attach x\ty\t")
        terminal.wait_for("claudectl attach xy")
        terminal.type(b"\x15echo do''ne\r")
        shown = terminal.wait_for("done")
    assert "claudectl:" not in shown
    assert not world.state.exists()
    assert not Path(world.socket).exists()


def test_a_daemon_that_hangs_delays_nobody_for_long(world: World, shell: Open) -> None:
    world.run(ECHO, name="api-server")
    daemon = world.daemon_pid()
    os.kill(daemon, signal.SIGSTOP)
    try:
        with shell(world) as terminal:
            terminal.type("claudectl attach ap\tx")
            terminal.wait_for("claudectl attach apx")
    finally:
        os.kill(daemon, signal.SIGCONT)
