"""What this package believes about Claude Code, held against the real CLI."""

import json
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from claudectl_protocol.sessions import Activity, ActivityState, ConversationId, Exit, RunId, SessionId
from claudectld.claude import arguments, program, registry, settings, status, transcript
from claudectld.claude.environment import environment
from claudectld.claude.registry import Entry
from claudectld.core.endings import Ending, ending_of
from claudectld.machine import start_ticks
from tests.support.claude_code import VERSION, Home
from tests.support.files import wait_for_file
from tests.support.messages_api import MessagesApi
from tests.support.terminal import Terminal

pytestmark = pytest.mark.claude

SESSION = SessionId("6b8b4567-0000-4000-8000-000000000001")
RUN = RunId("6b8b4567-0000-4000-8000-000000000002")


class Launch:
    """Starts the CLI as the daemon would, from a person's environment."""

    def __init__(self, claude: str, home: Home, api: MessagesApi) -> None:
        self.client = home.environment(api.url, {"TMUX": "/tmp/outer,1,0", "CLAUDE_CODE_CHILD_SESSION": "1"})
        self.home = home
        self.conversation = ConversationId(str(uuid.uuid4()))
        self.claude = claude

    @property
    def config(self) -> Path:
        return transcript.config_directory(self.client, str(self.home.project))

    def argv(
        self, *args: str, prompt: str | None = None, settings_path: str | None = None
    ) -> tuple[str, ...]:
        return arguments.build_argv(
            program.find_claude(self.client, self.claude),
            arguments.parse(("--permission-mode", "manual", *args)),
            conversation=self.conversation,
            resume=transcript.exists(self.conversation, self.config),
            prompt=prompt,
            settings_path=settings_path,
        )

    def start(self, *args: str, prompt: str | None = None, settings_path: str | None = None) -> Terminal:
        return Terminal(
            self.argv(*args, prompt=prompt, settings_path=settings_path),
            env=environment(self.client, session=SESSION, run=RUN, claude=True),
            cwd=self.home.project,
            answer=True,
        )


@pytest.fixture
def launch(claude: str, home: Home, api: MessagesApi) -> Launch:
    return Launch(claude, home, api)


def say(terminal: Terminal, text: str) -> None:
    terminal.type(f"\x1b[200~{text}\x1b[201~\r")


def entry_of(launch: Launch, terminal: Terminal, wanted: Callable[[Entry], bool]) -> Entry:
    """What the process says about itself in the registry, as soon as that is `wanted`."""

    def look() -> Entry | None:
        entry = registry.read(launch.config, terminal.pid)
        return entry if entry is not None and wanted(entry) else None

    return wait_for_file(launch.config / "sessions", look)


def activities(terminal: Terminal) -> list[Activity | None]:
    return [status.parse(body) for body in terminal.reports]


def test_the_pinned_version_is_what_runs(launch: Launch) -> None:
    argv = (launch.claude, "--version")
    with Terminal(argv, env=launch.client, cwd=launch.home.project) as terminal:
        assert terminal.wait_for_exit() == 0
        assert VERSION in terminal.text


def test_it_starts_to_the_prompt_and_reports_idle(launch: Launch) -> None:
    with launch.start() as terminal:
        terminal.wait_for("manual mode on")
        terminal.wait_for_report("state=")
        assert activities(terminal) == [Activity(state=ActivityState.IDLE, source="osc7501")]
        assert terminal.mode(2004)


def test_a_turn_is_reported_as_working_and_then_idle(launch: Launch, api: MessagesApi) -> None:
    with launch.start() as terminal:
        terminal.wait_for_report("state=idle")
        say(terminal, "[[hold:reply]][[text:a scripted answer]]")
        request = api.wait_for_prompt("scripted answer")
        assert request.session == launch.conversation
        terminal.wait_for_report("state=working")
        api.release("reply")
        terminal.wait_for_report("state=done")
        states = [activity.state for activity in activities(terminal) if activity is not None]
        assert states == [ActivityState.IDLE, ActivityState.WORKING, ActivityState.IDLE]
        terminal.wait_for("● a scripted answer")


def test_a_first_prompt_is_answered_and_kept_in_the_transcript(launch: Launch, api: MessagesApi) -> None:
    assert not transcript.exists(launch.conversation, launch.config)
    with launch.start(prompt="hello [[text:kept for later]]") as terminal:
        terminal.wait_for("● kept for later")
        terminal.signal(signal.SIGTERM)
        terminal.wait_for_exit()
    assert [turn.text for turn in launch.home.turns(launch.conversation)] == [
        "hello [[text:kept for later]]",
        "kept for later",
    ]
    assert transcript.exists(launch.conversation, launch.config)
    assert len(api.turns()) == 1


def test_a_prompt_that_is_a_subcommand_s_name_is_still_a_prompt(launch: Launch, api: MessagesApi) -> None:
    with launch.start(prompt="doctor") as terminal:
        terminal.wait_for("● You said: doctor")
    assert [request.prompt for request in api.turns()] == ["doctor"]


def test_a_permission_dialog_is_reported_and_answered(launch: Launch, api: MessagesApi) -> None:
    with launch.start() as terminal:
        terminal.wait_for_report("state=idle")
        say(terminal, "[[bash:touch made]]")
        body = terminal.wait_for_report("state=blocked")
        assert status.parse(body) == Activity(
            state=ActivityState.NEEDS_INPUT,
            kind="permission",
            text="approve Bash: touch made",
            source="osc7501",
        )
        entry = entry_of(launch, terminal, lambda entry: entry.status == "waiting")
        activity = registry.activity(entry)
        assert activity is not None
        assert (activity.state, activity.kind) == (ActivityState.NEEDS_INPUT, "permission")
        terminal.wait_for("Do you want to proceed?")
        terminal.insist("1", "state=done")
        assert (launch.home.project / "made").exists()
        assert len(api.turns()) == 2


def test_an_untrusted_directory_is_reported_as_a_question_of_trust(launch: Launch) -> None:
    seed = launch.home.path / ".claude.json"
    seed.write_text(json.dumps(json.loads(seed.read_text()) | {"projects": {}}))
    with launch.start() as terminal:
        activity = status.parse(terminal.wait_for_report("state=blocked"))
        assert activity is not None
        assert (activity.state, activity.kind) == (ActivityState.NEEDS_INPUT, "trust")


def test_an_api_error_is_reported_in_its_own_words(launch: Launch) -> None:
    with launch.start() as terminal:
        terminal.wait_for_report("state=idle")
        say(terminal, "[[error:400]]")
        activity = status.parse(terminal.wait_for_report("state=error"))
        assert activity == Activity(
            state=ActivityState.ERROR, text="API Error: 400 scripted failure 400", source="osc7501"
        )


def test_the_registry_names_the_conversation_and_its_holder(launch: Launch) -> None:
    with launch.start() as terminal:
        terminal.wait_for_report("state=idle")
        entry = entry_of(launch, terminal, lambda entry: entry.status == "idle")
        assert entry.conversation == launch.conversation
        assert registry.activity(entry) == Activity(
            state=ActivityState.IDLE, source="registry", since=entry.at
        )
        assert registry.holders(launch.config, launch.conversation) == (entry,)
        path = launch.config / "sessions" / f"{terminal.pid}.json"
        assert json.loads(path.read_text())["procStart"] == str(start_ticks(terminal.pid))
    assert registry.holders(launch.config, launch.conversation) == ()


def test_clear_is_followed_to_the_new_conversation(launch: Launch) -> None:
    hooks = launch.home.hooks("SessionStart")
    with launch.start() as terminal:
        terminal.wait_for_report("state=idle")
        hooks["SessionStart"].wait()
        say(terminal, "/clear")
        started = json.loads(hooks["SessionStart"].wait())
        assert started["session_id"] != launch.conversation
        entry_of(launch, terminal, lambda entry: entry.conversation == started["session_id"])


def test_sigterm_ends_it_with_143_after_its_session_end_hook(launch: Launch) -> None:
    hooks = launch.home.hooks("SessionEnd")
    with launch.start() as terminal:
        terminal.wait_for_report("state=idle")
        terminal.signal(signal.SIGTERM)
        code = terminal.wait_for_exit()
        assert json.loads(hooks["SessionEnd"].wait())["session_id"] == launch.conversation
        assert code == 143
        assert ending_of(Exit(code=code), claude=True) is Ending.INTERRUPTED
        assert activities(terminal)[-1] == Activity(state=ActivityState.UNKNOWN, source="osc7501")


def test_exit_is_leaving(launch: Launch) -> None:
    with launch.start() as terminal:
        terminal.wait_for_report("state=idle")
        say(terminal, "/exit")
        code = terminal.wait_for_exit()
        assert code == 0
        assert ending_of(Exit(code=code), claude=True) is Ending.LEFT


def test_a_killed_conversation_comes_back_and_hears_no_prompt_again(launch: Launch, api: MessagesApi) -> None:
    prompt = "remember this [[text:remembered]]"
    with launch.start(prompt=prompt) as terminal:
        terminal.wait_for("● remembered")
        terminal.signal(signal.SIGTERM)
        terminal.wait_for_exit()
    with launch.start(prompt=prompt) as terminal:
        terminal.wait_for("● remembered")
        terminal.wait_for_report("state=idle")
        entry = entry_of(launch, terminal, lambda entry: bool(entry.status))
        assert entry.conversation == launch.conversation
        assert len(api.turns()) == 1
        say(terminal, "and now [[text:going on]]")
        terminal.wait_for("● going on")
    request = api.wait_for_prompt("and now")
    assert request.session == launch.conversation
    assert any(prompt in block.text for message in request.messages for block in message.blocks)


def test_merged_settings_are_in_force(launch: Launch, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    os.mkfifo(marker)
    reader = os.open(marker, os.O_RDWR)
    try:
        hook: settings.Json = [{"hooks": [{"type": "command", "command": f"echo ours > '{marker}'"}]}]
        path = settings.write(
            tmp_path / "state",
            SESSION,
            '{"env": {"THEIRS": "1"}, "permissions": {"allow": ["Bash(touch *)"]}}',
            str(launch.home.project),
            {"hooks": {"SessionStart": hook}},
        )
        with launch.start(settings_path=str(path)) as terminal:
            assert os.read(reader, 100) == b"ours\n"
            terminal.wait_for_report("state=idle")
            say(terminal, "[[bash:touch allowed]]")
            terminal.wait_for_report("state=done")
            assert (launch.home.project / "allowed").exists()
            assert not any("blocked" in body for body in terminal.reports)
    finally:
        os.close(reader)


def test_the_rules_of_a_settings_file_count_from_its_own_directory(launch: Launch, tmp_path: Path) -> None:
    directory = launch.home.project / "conf"
    directory.mkdir()
    (directory / "rules.json").write_text('{"permissions": {"allow": ["Edit(/sub/**)"]}}')
    path = settings.write(tmp_path, SESSION, "conf/rules.json", str(launch.home.project))
    with launch.start(settings_path=str(path)) as terminal:
        terminal.wait_for_report("state=idle")
        call = json.dumps({"file_path": str(directory / "sub" / "new"), "content": "written"})
        say(terminal, f"[[tool:Write:{call}]]")
        terminal.wait_for_report(lambda body: "state=done" in body or "state=blocked" in body)
        assert not any("blocked" in body for body in terminal.reports)
        assert (directory / "sub" / "new").read_text() == "written"


def test_the_terminal_is_ours_and_not_the_client_s(launch: Launch) -> None:
    with launch.start("--allowedTools", "Bash") as terminal:
        terminal.wait_for_report("state=idle")
        say(terminal, "[[bash:env -0 > seen]]")
        terminal.wait_for_report("state=done")
        seen = dict(
            line.split("=", 1) for line in (launch.home.project / "seen").read_text().split("\0") if line
        )
        assert seen["CLAUDECTL_SESSION"] == SESSION
        assert seen["CLAUDECTL_RUN"] == RUN
        assert "TMUX" not in seen
    # Claude says that it is done before it has written the transcript, but never leaves without it.
    assert launch.home.turns(launch.conversation)
