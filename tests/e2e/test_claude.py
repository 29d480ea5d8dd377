"""The real Claude Code as people meet it through claudectl: prompts, states, leaving, and coming back."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from claudectl_protocol.sessions import ConversationId, Size
from claudectld.claude import registry
from tests.e2e.claude_world import MANUAL, ClaudeWorld, field
from tests.e2e.world import Fifo, World
from tests.support.claude_code import API_KEY, Turn
from tests.support.display import Display
from tests.support.files import wait_for_file
from tests.support.messages_api import MessagesApi
from tests.support.terminal import Terminal

UNREPORTED = {"state": "unknown", "kind": "", "text": "no report since start", "source": "none"}


def _without_time(activity: object) -> dict[str, object]:
    assert isinstance(activity, dict)
    return {name: value for name, value in activity.items() if name != "since"}


# -- a conversation ----------------------------------------------------------------------------------------------


@pytest.mark.claude
def test_a_reply_is_on_the_screen_in_the_record_and_in_the_transcript(claude_world: ClaudeWorld) -> None:
    session = claude_world.claude_session("talk", prompt="say hi")

    with claude_world.attach("talk") as terminal:
        terminal.wait_for("● You said: say hi")

    recorded = Display(Size(cols=100, rows=30))
    recorded.feed(claude_world.record(session))
    assert "● You said: say hi" in recorded.text
    turns = claude_world.until_said("talk", "You said: say hi")
    assert turns == (Turn("user", "say hi"), Turn("assistant", "You said: say hi"))


@pytest.mark.claude
def test_stop_lets_claude_end_properly_and_restart_goes_on_with_the_conversation(
    claude_world: ClaudeWorld, api: MessagesApi
) -> None:
    hooks = claude_world.claude_home.hooks("SessionEnd")
    begun = claude_world.claude_session("talk", prompt="say hi")
    with claude_world.attach("talk") as terminal:
        terminal.wait_for("● You said: say hi")

    claude_world.ctl("stop", "talk")

    ended = json.loads(hooks["SessionEnd"].wait())
    assert ended["session_id"] == begun["conversation"]
    stopped = claude_world.shown("talk")
    assert (stopped["lifecycle"], stopped["wanted"]) == ("stopped", "stopped")
    assert (field(stopped, "exit", "code"), field(stopped, "exit", "by")) == (143, "claudectl")

    claude_world.ctl("restart", "talk")

    with claude_world.attach("talk") as terminal:
        terminal.wait_for("● You said: say hi")
        claude_world.until_doing("talk", "idle")
        claude_world.say("talk", "and now")
        terminal.wait_for("● You said: and now")
    request = api.wait_for_prompt("and now")
    assert request.session == begun["conversation"]
    said = [block.text for message in request.messages for block in message.blocks]
    assert any("say hi" in text for text in said)
    assert [turn.prompt for turn in api.turns()] == ["say hi", "and now"]


@pytest.mark.claude
def test_restart_of_a_live_session_goes_on_with_the_conversation(
    claude_world: ClaudeWorld, api: MessagesApi
) -> None:
    begun = claude_world.claude_session("talk", prompt="say hi")
    api.wait_for_prompt("say hi")

    claude_world.ctl("restart", "talk")

    claude_world.until_doing("talk", "idle")
    again = claude_world.shown("talk")
    assert (again["id"], again["conversation"]) == (begun["id"], begun["conversation"])
    assert again["pid"] != begun["pid"]
    assert len(api.turns()) == 1


@pytest.mark.claude
def test_clear_is_followed_to_the_new_conversation(claude_world: ClaudeWorld, api: MessagesApi) -> None:
    claude_world.configure("[daemon]\nsync_s = 0.1\n")
    hooks = claude_world.claude_home.hooks("SessionStart")
    begun = claude_world.claude_session("talk", prompt="say hi")
    assert json.loads(hooks["SessionStart"].wait())["session_id"] == begun["conversation"]
    with claude_world.attach("talk") as terminal:
        terminal.wait_for("● You said: say hi")
    claude_world.until_doing("talk", "idle")

    claude_world.say("talk", "/clear")
    cleared = json.loads(hooks["SessionStart"].wait())["session_id"]

    claude_world.until("talk", lambda now: now["conversation"] == cleared)
    entries = claude_world.detail("talk")["conversations"]
    assert isinstance(entries, list)
    assert [(entry["id"], entry["reason"]) for entry in entries] == [
        (begun["conversation"], "created"),
        (cleared, "clear"),
    ]
    claude_world.ctl("restart", "talk")
    assert json.loads(hooks["SessionStart"].wait())["session_id"] == cleared
    claude_world.until_doing("talk", "idle")
    assert [turn.prompt for turn in api.turns()] == ["say hi"]


@pytest.mark.claude
def test_a_conversation_that_somebody_else_has_open_is_not_opened_twice(claude_world: ClaudeWorld) -> None:
    claude_world.claude_session("talk", prompt="say hi")
    with claude_world.attach("talk") as terminal:
        terminal.wait_for("● You said: say hi")
    conversation = ConversationId(claude_world.conversation("talk"))
    claude_world.ctl("stop", "talk")
    config = claude_world.claude_home.config_directory

    command = (str(claude_world.claude), "--resume", conversation)
    with Terminal(command, env=claude_world.env, cwd=claude_world.project, answer=True) as stranger:
        wait_for_file(config / "sessions", lambda: registry.holders(config, conversation) or None)
        refused = claude_world.ctl("restart", "talk", code=4)
        assert f"'talk' is already open in process {stranger.pid}" in refused.err
        assert claude_world.shown("talk")["pid"] is None

    claude_world.ctl("restart", "talk")
    assert claude_world.until_doing("talk", "idle")


# -- states ------------------------------------------------------------------------------------------------------


@pytest.mark.claude
def test_a_turn_is_shown_as_working_and_then_as_idle(claude_world: ClaudeWorld, api: MessagesApi) -> None:
    claude_world.claude_session("talk", prompt="[[hold:reply]][[text:done at last]]")
    api.wait_for_prompt("done at last")

    assert claude_world.until_doing("talk", "working")["source"] == "osc7501"
    listed = claude_world.ctl("ls", "--json").json()["sessions"]
    assert isinstance(listed, list)
    assert [field(session, "activity", "state") for session in listed] == ["working"]

    api.release("reply")
    assert _without_time(claude_world.until_doing("talk", "idle")) == {
        "state": "idle",
        "kind": "",
        "text": "",
        "source": "osc7501",
    }


@pytest.mark.claude
def test_a_permission_dialog_is_shown_with_its_question_until_it_is_answered(
    claude_world: ClaudeWorld,
) -> None:
    claude_world.claude_session("talk", prompt="[[bash:touch made]]")

    question = {
        "state": "needs_input",
        "kind": "permission",
        "text": "approve Bash: touch made",
        "source": "osc7501",
    }
    assert _without_time(claude_world.until_doing("talk", "needs_input")) == question
    claude_world.kill(claude_world.daemon_pid())
    assert _without_time(claude_world.shown("talk")["activity"]) == question
    assert "approve Bash: touch made" in claude_world.ctl("ls").out
    # A dialog is deaf for its first moments.
    claude_world.until_doing("talk", "idle", meanwhile=lambda: claude_world.press("talk", "<Esc>"))
    assert not (claude_world.project / "made").exists()


@pytest.mark.claude
def test_what_nobody_has_reported_is_unknown_and_not_idle(claude_world: ClaudeWorld) -> None:
    seed = claude_world.claude_home.path / ".claude.json"
    seed.write_text(
        json.dumps(json.loads(seed.read_text()) | {"customApiKeyResponses": {"approved": [], "rejected": []}})
    )
    claude_world.claude_session("talk")
    with claude_world.attach("talk") as terminal:
        # At this dialog Claude reports nothing at all.
        terminal.wait_for(API_KEY[-20:])
        terminal.wait_for("❯ No (recommended)")
        assert _without_time(claude_world.shown("talk")["activity"]) == UNREPORTED
        assert "no report since start" in claude_world.ctl("ls").out

        terminal.type("\x1b[A")
        terminal.wait_for("❯ Yes")
        terminal.type("\r")
        claude_world.until_doing("talk", "idle")


# -- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.claude
def test_who_leaves_claude_is_done_with_the_session(claude_world: ClaudeWorld) -> None:
    ways = {"exit": "/exit\r", "ctrl-d": "\x04\x04", "ctrl-c": "\x03\x03"}
    for name in ways:
        claude_world.claude_session(name)

    for name, keys in ways.items():
        claude_world.until_doing(name, "idle")
        with claude_world.attach(name) as terminal:
            terminal.wait_for("manual mode on")
            terminal.type(keys)
            assert terminal.wait_for_exit() == 0

        left = claude_world.shown(name)
        assert (left["lifecycle"], left["wanted"]) == ("stopped", "stopped"), name
        assert (field(left, "exit", "code"), field(left, "exit", "by")) == (0, ""), name


@pytest.mark.claude
def test_a_claude_that_something_else_ended_stays_wanted(claude_world: ClaudeWorld) -> None:
    ways: dict[signal.Signals, tuple[int | None, int | None]] = {
        signal.SIGTERM: (143, None),
        signal.SIGHUP: (129, None),
        signal.SIGKILL: (None, 9),
    }
    pids = {number: claude_world.claude_session(number.name)["pid"] for number in ways}

    for number, (code, by_signal) in ways.items():
        claude_world.until_doing(number.name, "idle")
        os.kill(int(str(pids[number])), number)

        ended = claude_world.until(number.name, lambda now: now["exit"] is not None)
        assert (ended["lifecycle"], ended["wanted"]) == ("interrupted", "running"), number
        assert (field(ended, "exit", "code"), field(ended, "exit", "signal")) == (code, by_signal), number
        assert ended["activity"] is None, number


DEAF = """#!{python}
import os, signal, sys
say = open({heard!r}, "w", buffering=1)
signal.signal(signal.SIGTERM, lambda *_: print("term", file=say))
print("ready", file=say)
with open({leave!r}) as leave:
    leave.readline()
sys.exit(5)
"""


def test_a_young_claude_is_asked_and_not_killed(world: World) -> None:
    heard, leave = Fifo(world.home / "heard"), Fifo(world.home / "leave")
    claude = world.home / ".local" / "bin" / "claude"
    claude.parent.mkdir(parents=True)
    claude.write_text(
        DEAF.format(python="/usr/bin/env python3", heard=str(heard.path), leave=str(leave.path))
    )
    claude.chmod(0o755)
    world.new("-n", "young")
    assert heard.line() == "ready"

    with subprocess.Popen(
        world.argv("stop", "young", "--grace", "0"), env=world.env, cwd=world.project
    ) as stop:
        assert heard.line() == "term"
        with leave.path.open("w") as go:
            go.write("go\n")
        assert stop.wait(30) == 0

    ended = world.shown("young")
    assert (field(ended, "exit", "code"), field(ended, "exit", "signal")) == (5, None)
    for fifo in (heard, leave):
        fifo.close()


# -- arguments ---------------------------------------------------------------------------------------------------


REFUSED = {
    ("-p",): "'-p' is not passed on to Claude Code: would make it answer once",
    ("--print",): "'--print' is not passed on",
    ("--resume", "x"): "'--resume' is not passed on to Claude Code: would choose the conversation",
    ("-c",): "'-c' is not passed on",
    ("--session-id=x",): "'--session-id' is not passed on",
    ("--bg",): "'--bg' is not passed on to Claude Code: would move the conversation",
    ("--model", "x", "doctor"): "'doctor' is not passed on to Claude Code: is a prompt or a command",
}


def test_arguments_that_take_the_conversation_away_are_refused(world: World) -> None:
    for arguments, sentence in REFUSED.items():
        refused = world.ctl("new", "hello", "--", *arguments, code=2)
        assert sentence in refused.err
        assert refused.out == ""

    assert world.ctl("ls", "-g", "-a", "--json").json()["sessions"] == []
    assert not (world.project / ".claudectl").exists()


@pytest.mark.claude
def test_settings_among_the_arguments_reach_claude_beside_the_person_s_own(
    claude_world: ClaudeWorld,
) -> None:
    hooks = claude_world.claude_home.hooks("Stop")
    given = '{"permissions": {"allow": ["Bash(touch *)"]}, "env": {"A_TOKEN": "secret"}}'

    session = claude_world.new("[[bash:touch made]]", *MANUAL, "--settings", given)

    # No dialog stood in the way, and the person's own hook ran.
    hooks["Stop"].wait()
    assert (claude_world.project / "made").exists()
    words = Path(f"/proc/{session['pid']}/cmdline").read_text().split("\0")
    file = Path(words[words.index("--settings") + 1])
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == json.loads(given)
    assert not any("secret" in word for word in words)
