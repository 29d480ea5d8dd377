import pytest

from tests.support.replies import Block, Failure, Hold, Message, Pause, Text, Tool, last_prompt, steps


def user(*blocks: Block) -> Message:
    return Message("user", blocks)


def text(value: str) -> Block:
    return Block("text", value)


def test_a_prompt_without_directives_is_repeated() -> None:
    assert steps("hi") == (Text("You said: hi"),)


def test_after_a_tool_there_is_plain_text() -> None:
    assert steps("") == (Text("The tool is done."),)


def test_directives_are_played_in_their_order() -> None:
    assert steps("do [[text:a]] then [[hold:x]][[bash:[ -f y ]]] [[error:529]][[hang]]") == (
        Text("a"),
        Hold("x"),
        Tool("Bash", b'{"command": "[ -f y ]", "description": "a scripted command"}'),
        Failure(529),
        Hold(""),
    )


def test_a_slow_reply_is_words_and_pauses() -> None:
    assert steps("[[slow:2:50]]") == (Text("word0 "), Pause(0.05), Text("word1 "), Pause(0.05))


def test_a_tool_s_arguments_may_nest() -> None:
    assert steps('[[tool:Write:{"a":[{"b":1}]}]]') == (Tool("Write", b'{"a":[{"b":1}]}'),)


def test_a_directive_that_makes_no_sense_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        steps("[[tool:Write:{]]")


def test_the_last_prompt_is_what_the_person_said_last() -> None:
    messages = (
        user(text("first")),
        Message("assistant", "answer"),
        user(text("<system-reminder>not me</system-reminder>"), text("second")),
        Message("system", "an environment"),
    )
    assert last_prompt(messages) == "second"
    assert last_prompt(messages[:2]) == ""
    assert last_prompt(()) == ""


def test_a_tool_s_result_is_no_prompt_but_what_follows_it_is() -> None:
    result = Block("tool_result")
    reminder = text("<system-reminder>x</system-reminder>")
    assert last_prompt((user(text("go")), Message("assistant", ""), user(result, reminder))) == ""
    assert last_prompt((user(result), user(text("next")))) == "next"
