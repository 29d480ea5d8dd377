import pytest

from claudectl_protocol.faults import ForbiddenArgument, InvalidArgument, Rejected
from claudectl_protocol.sessions import ConversationId
from claudectld.claude.arguments import Arguments, build_argv, parse

CONVERSATION = ConversationId("6b8b4567-0000-4000-8000-000000000003")


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("-p", "-p"),
        ("--print", "--print"),
        ("--print=json", "--print"),
        ("--session-id", "--session-id"),
        ("--session-id=abc", "--session-id"),
        ("-r", "-r"),
        ("-rabc", "-r"),
        ("--resume", "--resume"),
        ("--resume=abc", "--resume"),
        ("-c", "-c"),
        ("-cp", "-c"),
        ("-vp", "-p"),
        ("--continue", "--continue"),
        ("--fork-session", "--fork-session"),
        ("--bg", "--bg"),
        ("--background", "--background"),
        ("--cloud", "--cloud"),
        ("--teleport", "--teleport"),
        ("--from-pr=12", "--from-pr"),
        ("--tmux=classic", "--tmux"),
    ],
)
def test_an_argument_that_takes_the_conversation_away_is_refused(argument: str, named: str) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(["--model", "opus", argument])
    fault = refusal.value.fault
    assert isinstance(fault, ForbiddenArgument)
    assert fault.argument == named
    assert fault.why


@pytest.mark.parametrize(
    "args",
    [
        ("--append-system-prompt", "-p"),
        ("--append-system-prompt", "--resume is not for you"),
        ("-n", "--bg"),
        ("--model", "opus", "--permission-mode", "plan"),
        ("--model=opus",),
        ("--add-dir", "a", "b", "--verbose"),
        ("--allowedTools", "Bash(git *)", "Edit", "--effort", "high"),
        ("-d", "hooks"),
        ("-dp",),
        ("-d2e",),
        ("-nresume",),
        ("--worktree",),
        ("-w", "feature"),
        ("--dangerously-skip-permissions",),
        ("--not-invented-yet", "value"),
        ("--not-invented-yet",),
    ],
)
def test_other_arguments_pass_unchanged(args: tuple[str, ...]) -> None:
    assert parse(args) == Arguments(options=args)


@pytest.mark.parametrize("args", [("--verbose", "--resume"), ("--add-dir", "a", "-c"), ("--unknown", "-p")])
def test_a_forbidden_argument_is_seen_behind_any_option_that_does_not_take_it(args: tuple[str, ...]) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(args)
    assert isinstance(refusal.value.fault, ForbiddenArgument)
    assert refusal.value.fault.argument == args[-1]


@pytest.mark.parametrize("args", [("doctor",), ("fix it",), ("--verbose", "attach"), ("--", "hi"), ("-",)])
def test_a_prompt_or_subcommand_among_the_arguments_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(args)
    assert isinstance(refusal.value.fault, ForbiddenArgument)


@pytest.mark.parametrize("option", ["--model", "-n", "--add-dir", "--settings"])
def test_an_option_without_its_value_cannot_swallow_ours(option: str) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(["--verbose", option])
    assert refusal.value.fault == InvalidArgument(what=option, why="needs a value")


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        (("--settings", "a.json"), "a.json"),
        (("--settings=a.json",), "a.json"),
        (("--settings", '{"a=b": 1}'), '{"a=b": 1}'),
        (("--settings", "a.json", "--settings={}"), "{}"),
        ((), None),
    ],
)
def test_the_last_settings_are_taken_out(args: tuple[str, ...], settings: str | None) -> None:
    assert parse(("--verbose", *args)) == Arguments(options=("--verbose",), settings=settings)


def test_a_conversation_without_transcript_is_begun_with_its_prompt() -> None:
    argv = build_argv(
        "/bin/claude",
        Arguments(options=("--model", "opus")),
        conversation=CONVERSATION,
        resume=False,
        prompt="-p is a flag",
        settings_path="/state/s.json",
    )
    assert argv == (
        "/bin/claude",
        "--model",
        "opus",
        "--settings",
        "/state/s.json",
        "--session-id",
        CONVERSATION,
        "--",
        "-p is a flag",
    )


def test_a_conversation_with_transcript_is_resumed_and_hears_no_prompt_again() -> None:
    argv = build_argv(
        "/bin/claude", Arguments(options=()), conversation=CONVERSATION, resume=True, prompt="fix it"
    )
    assert argv == ("/bin/claude", "--resume", CONVERSATION)


@pytest.mark.parametrize("prompt", [None, ""])
def test_without_a_prompt_there_is_no_positional(prompt: str | None) -> None:
    argv = build_argv(
        "/bin/claude", Arguments(options=()), conversation=CONVERSATION, resume=False, prompt=prompt
    )
    assert argv == ("/bin/claude", "--session-id", CONVERSATION)


def test_a_prompt_of_one_word_cannot_be_taken_for_a_subcommand() -> None:
    argv = build_argv(
        "/bin/claude", Arguments(options=()), conversation=CONVERSATION, resume=False, prompt="doctor"
    )
    assert argv[-2:] == ("--", "doctor ")
