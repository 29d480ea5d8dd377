import json
import threading
import urllib.error
import urllib.request

import pytest

from tests.support.messages_api import MessagesApi


def post(api: MessagesApi, prompt: str, *, path: str = "/v1/messages?beta=true", **body: object) -> str:
    content = {"messages": [{"role": "user", "content": prompt}], "model": "m", **body}
    request = urllib.request.Request(
        api.url + path,
        json.dumps(content).encode(),
        {"x-claude-code-session-id": "conversation", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        text: str = reply.read().decode()
        return text


TOOLS = [{"name": "Bash"}]


def test_a_turn_is_streamed_as_the_script_says() -> None:
    with MessagesApi() as api:
        streamed = post(api, "[[text:one]][[bash:ls]]", tools=TOOLS, stream=True)
    events = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in events] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_stop") * 2,
        "message_delta",
        "message_stop",
    ]
    assert events[2]["delta"]["text"] == "one"
    assert json.loads(events[5]["delta"]["partial_json"])["command"] == "ls"
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_turn_in_one_piece_has_the_same_content() -> None:
    with MessagesApi() as api:
        message = json.loads(post(api, "[[text:one]]", tools=TOOLS))
    assert message["content"] == [{"type": "text", "text": "one"}]
    assert message["stop_reason"] == "end_turn"


def test_a_side_call_is_answered_and_is_no_turn() -> None:
    with MessagesApi() as api:
        message = json.loads(post(api, "[[error:529]] title?", max_tokens=32))
        assert message["content"][0]["text"] == "A scripted title"
        assert api.turns() == ()
        assert [request.prompt for request in api.requests] == ["[[error:529]] title?"]


def test_tokens_are_counted() -> None:
    with MessagesApi() as api:
        assert json.loads(post(api, "x", path="/v1/messages/count_tokens")) == {"input_tokens": 10}


def test_an_error_is_an_error() -> None:
    with MessagesApi() as api:
        with pytest.raises(urllib.error.HTTPError) as failure:
            post(api, "[[error:529]]", tools=TOOLS)
        with failure.value as reply:
            assert reply.code == 529
            assert json.loads(reply.read())["error"]["type"] == "overloaded_error"


def test_requests_are_waited_for_and_remembered() -> None:
    with MessagesApi() as api:
        asking = threading.Thread(target=post, args=(api, "name me"), kwargs={"tools": TOOLS})
        asking.start()
        request = api.wait_for_prompt("name me")
        asking.join()
        assert (request.session, request.tools, request.is_turn) == ("conversation", ("Bash",), True)
        with pytest.raises(TimeoutError, match="name me"):
            api.wait_for_prompt("name me", count=2, deadline_s=0.01)


def test_a_held_reply_goes_on_when_it_is_released() -> None:
    with MessagesApi() as api:
        replies: list[str] = []
        asking = threading.Thread(
            target=lambda: replies.append(post(api, "[[hold:a]][[text:held]]", tools=TOOLS))
        )
        asking.start()
        api.wait_for_prompt("held")
        assert replies == []
        api.release("a")
        asking.join()
        assert "held" in replies[0]


def test_closing_ends_what_hangs() -> None:
    with MessagesApi() as api:
        asking = threading.Thread(target=post, args=(api, "[[hang]]"), kwargs={"tools": TOOLS})
        asking.start()
        api.wait_for_prompt("hang")
    asking.join(timeout=20)
    assert not asking.is_alive()
