"""Claude Code that is not installed, run through an npx that has it: a session like any other."""

import os
from pathlib import Path

import pytest

from tests.e2e.claude_world import ClaudeWorld, field
from tests.support.terminal import Terminal

pytestmark = pytest.mark.claude

QUESTION = "Run it through npx (downloads it now)?"


@pytest.fixture
def without_claude(claude_world: ClaudeWorld) -> ClaudeWorld:
    """A world in which only npx can find Claude Code."""
    real = os.path.realpath(claude_world.claude)
    claude_world.claude.unlink()
    npx = claude_world.home / "bin" / "npx"
    npx.parent.mkdir()
    npx.write_text(f'#!/bin/sh\n[ "$1" = -y ] && echo "{real}"\n')
    npx.chmod(0o755)
    claude_world.env["PATH"] = f"{npx.parent}:/usr/bin:/bin"
    if any(Path(directory, "claude").exists() for directory in ("/usr/local/bin", "/usr/bin")):
        pytest.skip("Claude Code is installed where it is always looked for")
    return claude_world


def test_a_session_through_npx_is_a_claude_session_in_every_respect(
    without_claude: ClaudeWorld,
) -> None:
    world = without_claude
    refused = world.ctl("new", "-n", "talk", "--", "--permission-mode", "manual", code=7)
    assert "not found" in refused.err

    words = world.argv("new", "say [[text:one]]", "-n", "talk", "--", "--permission-mode", "manual")
    with Terminal(words, env=world.env, cwd=world.project) as terminal:
        terminal.wait_for(QUESTION)
        terminal.type("y\r")
        assert terminal.wait_for_exit() == 0

    world.until_doing("talk", "idle")
    shown = world.shown("talk")
    assert shown["program"] == "claude"
    # What runs under the session's pid is Claude itself: that is how its registry and its end are known.
    assert os.path.basename(os.readlink(f"/proc/{shown['pid']}/exe")).startswith("claude")
    before = world.conversation("talk")

    world.ctl("restart", "talk")

    world.until_doing("talk", "idle")
    assert world.conversation("talk") == before
    assert field(world.shown("talk"), "lifecycle") == "active"
