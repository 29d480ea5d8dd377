"""From a session to what is executed, with programs that are plain files."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from claudectl_protocol.faults import ClaudeCodeNotFound, ForbiddenArgument, InvalidArgument, Rejected
from claudectl_protocol.sessions import ConversationEntry, ConversationId, RunId, SessionId
from claudectld.core.session import LaunchContext, Run, Session
from claudectld.launching import LocalLauncher

ID = SessionId("11111111-0000-4000-8000-000000000001")
CONVERSATION = ConversationId("22222222-0000-4000-8000-000000000002")
SECRET = '{"env": {"TOKEN": "hidden"}}'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.touch(mode=0o755)
    return tmp_path


@pytest.fixture
def launcher(home: Path) -> LocalLauncher:
    return LocalLauncher(str(home / "state"), program="", limit_bytes=1 << 26)


def context(home: Path) -> LaunchContext:
    return LaunchContext(env={"HOME": str(home), "PATH": str(home / "bin"), "TMUX": "outer"})


def session(home: Path, *args: str, prompt: str | None = None) -> Session:
    run = Run(id=RunId("33333333-0000-4000-8000-000000000003"), boot_id="b", started_at=1.0)
    return Session(
        id=ID,
        name="api",
        project=None,
        cwd=str(home),
        program="claude",
        args=args,
        prompt=prompt,
        run=run,
        runs=(run.id,),
        conversations=(ConversationEntry(id=CONVERSATION, since=1.0, reason="created"),),
    )


def transcript(home: Path) -> None:
    path = home / ".claude" / "projects" / "-somewhere" / f"{CONVERSATION}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")


def test_the_first_start_begins_the_conversation_with_the_prompt(home: Path, launcher: LocalLauncher) -> None:
    spec = launcher.prepare(session(home, "--model", "opus", prompt="say hi"), context(home))

    assert spec.argv == (
        str(home / "bin" / "claude"),
        *("--model", "opus", "--session-id", CONVERSATION, "--", "say hi"),
    )
    assert spec.context.env["CLAUDECTL_RUN"] == spec.run
    assert "TMUX" not in spec.context.env


def test_with_a_transcript_the_conversation_is_resumed_without_the_prompt(
    home: Path, launcher: LocalLauncher
) -> None:
    transcript(home)

    spec = launcher.prepare(session(home, "--model", "opus", prompt="say hi"), context(home))

    assert spec.argv[1:] == ("--model", "opus", "--resume", CONVERSATION)


def test_the_prompt_is_not_said_again_in_the_conversation_after_a_clear(
    home: Path, launcher: LocalLauncher
) -> None:
    transcript(home)
    begun = session(home, prompt="say hi")
    cleared = ConversationEntry(
        id=ConversationId("22222222-0000-4000-8000-000000000003"), since=2.0, reason="clear"
    )

    spec = launcher.prepare(replace(begun, conversations=(*begun.conversations, cleared)), context(home))

    assert spec.argv[1:] == ("--session-id", cleared.id)


def test_settings_given_as_text_leave_the_arguments_and_travel_in_a_private_file(
    home: Path, launcher: LocalLauncher
) -> None:
    asked = session(home, "--settings", SECRET, "--model", "opus")

    admitted, private = launcher.admit(asked, context(home))
    spec = launcher.prepare(admitted, private)

    assert admitted.args == ("--model", "opus")
    assert private.settings == SECRET
    path = Path(spec.argv[spec.argv.index("--settings") + 1])
    assert json.loads(path.read_text()) == json.loads(SECRET)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any("hidden" in word for word in spec.argv)


def test_settings_given_as_a_file_stay_where_they_are(home: Path, launcher: LocalLauncher) -> None:
    (home / "mine.json").write_text("{}")
    asked = session(home, "--settings", "mine.json")

    admitted, private = launcher.admit(asked, context(home))

    assert admitted == asked
    assert private == context(home)


@pytest.mark.parametrize(
    ("args", "fault"),
    [(("--resume", "x"), ForbiddenArgument), (("--settings", "{"), InvalidArgument)],
)
def test_what_cannot_be_launched_is_refused_before_anything_is_written(
    home: Path,
    launcher: LocalLauncher,
    args: tuple[str, ...],
    fault: type[ForbiddenArgument | InvalidArgument],
) -> None:
    with pytest.raises(Rejected) as refused:
        launcher.admit(session(home, *args), context(home))

    assert isinstance(refused.value.fault, fault)
    assert not (home / "state").exists()


def test_a_program_that_went_away_is_looked_for_anew_and_missed(home: Path, launcher: LocalLauncher) -> None:
    (home / "bin" / "claude").unlink()
    nowhere = replace(context(home), env={"PATH": str(home / "bin"), "HOME": str(home)})

    with pytest.raises(Rejected) as refused:
        launcher.prepare(session(home), nowhere)

    assert isinstance(refused.value.fault, ClaudeCodeNotFound)
    assert str(home / "bin" / "claude") in refused.value.fault.searched


def test_what_may_run_through_npx_is_a_claude_session_in_every_other_respect(
    home: Path,
) -> None:
    (home / "bin" / "claude").rename(home / "bin" / "npx")
    agreed = replace(session(home, "--model", "opus", prompt="say hi"), via_npx=True)
    isolated = LocalLauncher(str(home / "state"), program=str(home / "none"), limit_bytes=1 << 26)

    admitted, _ = isolated.admit(agreed, context(home))
    spec = isolated.prepare(admitted, context(home))

    assert spec.argv[:2] == ("/bin/sh", "-c")
    assert spec.argv[3:] == (
        str(home / "bin" / "npx"),
        *("--model", "opus", "--session-id", CONVERSATION, "--", "say hi"),
    )
    assert spec.context.env["CLAUDE_CODE_DISABLE_AGENT_VIEW"] == "1"
    with pytest.raises(Rejected):
        isolated.admit(replace(agreed, via_npx=False), context(home))
