"""`new`: what is asked for, what a session inherits, and what is said when the connection breaks."""

import json
import os
import resource
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from claudectl_protocol import faults
from claudectl_protocol.calls import AnyCall, New, Show, Target
from claudectl_protocol.sessions import Lifecycle, SessionDetail
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.person import Person
from tests.claudectl.samples import ACTIVE, DETAIL
from tests.fakes.daemon import Answer, FakeDaemon, Vanish


def asked(fake: FakeDaemon) -> New:
    """The one call that was made."""
    (call,) = fake.calls
    assert isinstance(call, New)
    return call


def test_new_asks_for_claude_code_here_and_prints_name_and_id(
    daemon: Daemon, claudectl: Claudectl, project: str
) -> None:
    fake = daemon({New: ACTIVE})

    outcome = claudectl("new", "fix the tests", "-n", "api", "--", "--model", "x", "--", "--json")

    assert outcome == (0, "api  0f1e2d3c\n", "")
    call = asked(fake)
    assert (call.cwd, call.prompt, call.name) == (project, "fix the tests", "api")
    assert (call.program, call.args) == ("", ("--model", "x", "--", "--json"))
    assert (call.no_project, call.restore) == (False, False)


def test_words_after_the_dashes_are_never_the_prompt(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({New: ACTIVE})

    claudectl("new", "--", "hello")

    assert (asked(fake).prompt, asked(fake).args) == (None, ("hello",))


def test_new_with_a_command_splits_program_and_arguments(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({New: ACTIVE})

    claudectl("new", "--command", "--restore", "--global", "--", "top", "-b", "-n", "name")

    call = asked(fake)
    assert (call.program, call.args, call.name) == ("top", ("-b", "-n", "name"), None)
    assert (call.restore, call.no_project, call.prompt) == (True, True, None)


def test_the_session_inherits_everything_of_the_caller(
    daemon: Daemon, claudectl: Claudectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "grüß\nGott")
    fake = daemon({New: ACTIVE})
    before = os.umask(0o027)
    try:
        claudectl("new")
        after = os.umask(0o027)
    finally:
        os.umask(before)

    call = asked(fake)
    assert after == 0o027
    assert (call.umask, call.groups) == (0o027, tuple(os.getgroups()) or (os.getegid(),))
    assert call.env == dict(os.environ)
    assert call.rlimits[resource.RLIMIT_NOFILE] == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert set(call.rlimits) == {
        getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")
    }


@pytest.mark.parametrize(("given", "expected"), [("sub/..", ""), ("sub", "/sub"), ("/tmp/x", "/tmp/x")])
def test_a_directory_is_made_absolute_here(
    daemon: Daemon, claudectl: Claudectl, project: str, given: str, expected: str
) -> None:
    fake = daemon({New: ACTIVE})

    claudectl("new", "-C", given)

    assert asked(fake).cwd == (expected if given.startswith("/") else project + expected)


def test_each_session_has_its_own_key(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({New: ACTIVE})

    claudectl("new")
    claudectl("new")

    first, second = fake.calls
    assert isinstance(first, New)
    assert isinstance(second, New)
    assert first.key != second.key


def test_json_is_the_session(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({New: ACTIVE})

    document = json.loads(claudectl("new", "--json").out)

    assert (document["schema"], document["session"]["name"]) == (1, "api")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["p", "--command", "--", "x"], "PROMPT is for Claude Code and cannot go with --command"),
        (["--command"], "--command needs the program and its arguments after '--'"),
        (["--restore"], "--restore is for --command; Claude Code sessions are always restored"),
        (["--attach", "--json"], "--attach and --json exclude each other"),
        (["a", "b"], "Got unexpected extra argument (b)"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    daemon: Daemon, claudectl: Claudectl, arguments: list[str], sentence: str
) -> None:
    fake = daemon({New: ACTIVE})

    outcome = claudectl("new", *arguments)

    message = f"{sentence}; see 'claudectl new --help'"
    said = json.loads(outcome.err)["message"] if "--json" in arguments else outcome.err
    assert (outcome.code, outcome.out) == (2, "")
    assert said in (message, f"claudectl: {message}\n")
    assert fake.calls == []


def test_a_variable_that_is_no_utf8_is_carried_as_bytes(
    daemon: Daemon, claudectl: Claudectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "\udcff")
    fake = daemon({New: ACTIVE})

    assert claudectl("new").code == 0
    (call,) = fake.calls
    assert isinstance(call, New)
    assert call.raw_env == {b"ODD": b"\xff"}
    assert "ODD" not in call.env


# --- when the connection breaks -----------------------------------------------------------------------------


def _found(call: AnyCall) -> Answer:
    """Shows the session whose whole id was asked for."""
    assert isinstance(call, Show)
    return SessionDetail(
        info=ACTIVE,
        argv=(),
        prompt=None,
        env_names=(),
        restore=False,
        conversations=(),
        runs=(),
        size=DETAIL.size,
    )


@pytest.mark.parametrize("broken", [Vanish(), faults.ShuttingDown()], ids=["lost", "leaving"])
def test_a_session_that_was_started_before_the_break_is_reported(
    daemon: Daemon, claudectl: Claudectl, project: str, broken: Answer
) -> None:
    fake = daemon({New: broken, Show: _found})

    outcome = claudectl("new")

    new, show = fake.calls
    assert isinstance(new, New)
    assert show == Show(target=Target(text=new.key, cwd=project, all_projects=True))
    assert outcome == (0, "api  0f1e2d3c\n", "")


def test_a_start_that_goes_on_after_the_break_is_waited_for_under_the_same_key(
    daemon: Daemon, claudectl: Claudectl
) -> None:
    answers: list[Answer] = [Vanish(), ACTIVE]

    def starting(call: AnyCall) -> Answer:
        found = _found(call)
        assert isinstance(found, SessionDetail)
        return replace(found, info=replace(ACTIVE, lifecycle=Lifecycle.STARTING))

    fake = daemon({New: lambda _: answers.pop(0), Show: starting})

    outcome = claudectl("new")

    first, _, again = fake.calls
    assert again == first
    assert outcome == (0, "api  0f1e2d3c\n", "")


def test_after_a_break_it_is_said_that_nothing_was_started(daemon: Daemon, claudectl: Claudectl) -> None:
    def unknown(call: AnyCall) -> Answer:
        assert isinstance(call, Show)
        return faults.SessionNotFound(target=call.target.text, scope="all")

    daemon({New: Vanish(), Show: unknown})

    assert claudectl("new") == (
        69,
        "",
        "claudectl: the connection to the daemon was lost; nothing was started\n",
    )


def test_when_nobody_can_be_asked_it_is_not_said_that_nothing_was_started(
    claudectl: Claudectl, daemon: Daemon
) -> None:
    daemon({New: Vanish(), Show: Vanish()})

    outcome = claudectl("new")

    assert (outcome.code, outcome.out) == (69, "")
    assert "nothing" not in outcome.err
    assert "see 'claudectl ls' before trying again" in outcome.err


def test_a_refusal_is_final(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({New: faults.NameTaken(name="api", session=ACTIVE.id), Show: _found})

    assert claudectl("new", "-n", "api").code == 4
    assert asked(fake).name == "api"


MISSING = faults.ClaudeCodeNotFound(searched=("/usr/bin/claude",))
QUESTION = b"Run it through npx (downloads it now)? [y/N] "


def missing_unless_via_npx(call: AnyCall) -> Answer:
    """As a daemon on a machine without Claude Code."""
    assert isinstance(call, New)
    return ACTIVE if call.via_npx else MISSING


@pytest.fixture
def at_home(directory: Path, socket_path: str) -> dict[str, str]:
    """The environment of a person who has npx."""
    npx = directory / "bin" / "npx"
    npx.parent.mkdir()
    npx.write_text("#!/bin/sh\nexit 1\n")
    npx.chmod(0o755)
    return {
        "PATH": f"{npx.parent}:/usr/bin:/bin",
        "HOME": str(directory),
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),
        "CLAUDECTL_SOCKET": socket_path,
        "CLAUDECTL_AUTOSTART": "0",
        "TERM": "xterm",
    }


@pytest.mark.parametrize("answer", [b"y\r", b"YES\r"])
def test_npx_is_used_when_a_person_agrees(daemon: Daemon, at_home: dict[str, str], answer: bytes) -> None:
    fake = daemon({New: missing_unless_via_npx})

    with Person(["new", "hi"], at_home) as person:
        person.until(QUESTION)
        person.type(answer)
        code = person.wait()

    assert code == 0
    assert b"api  0f1e2d3c" in person.seen
    first, second = fake.calls
    assert isinstance(first, New)
    assert second == replace(first, via_npx=True)


@pytest.mark.parametrize("answer", [b"\r", b"n\r", b"yess\r", b"\x04"])
def test_npx_is_not_used_when_a_person_does_not_agree(
    daemon: Daemon, at_home: dict[str, str], answer: bytes
) -> None:
    fake = daemon({New: missing_unless_via_npx})

    with Person(["new", "hi"], at_home) as person:
        person.until(QUESTION)
        person.type(answer)
        code = person.wait()

    assert code == 7
    assert b"Claude Code was not found" in person.seen
    assert len(fake.calls) == 1


@pytest.mark.parametrize("words", [("new",), ("new", "--json")])
def test_nobody_is_asked_without_a_terminal(
    daemon: Daemon, claudectl: Claudectl, words: tuple[str, ...]
) -> None:
    fake = daemon({New: missing_unless_via_npx})

    outcome = claudectl(*words)

    assert outcome.code == 7
    assert "npx" not in outcome.err
    assert len(fake.calls) == 1


def test_nobody_is_asked_for_json_or_without_npx(daemon: Daemon, at_home: dict[str, str]) -> None:
    fake = daemon({New: missing_unless_via_npx})
    for words, env in (
        (["new", "--json"], at_home),
        (["new"], {**at_home, "PATH": at_home["HOME"]}),
    ):
        with Person(words, env) as person:
            assert person.wait() == 7
        assert QUESTION not in person.seen
    assert len(fake.calls) == 2
