import json
import os
import subprocess
from pathlib import Path

import pytest

from claudectl_protocol.sessions import Activity, ActivityState, ConversationId
from claudectld.claude import registry
from claudectld.claude.registry import Entry
from claudectld.machine import start_ticks

CONVERSATION = ConversationId("6b8b4567-0000-4000-8000-000000000003")
ME = os.getpid()


def put(config: Path, pid: int, /, **changes: object) -> Path:
    ticks = start_ticks(pid)
    content: dict[str, object] = {
        "pid": pid,
        "sessionId": CONVERSATION,
        "procStart": str(ticks),
        "cwd": "/work",
        "kind": "interactive",
        "status": "idle",
        "statusUpdatedAt": 1795368177704,
        "peerFeatures": ["something new"],
    }
    path = config / "sessions" / f"{pid}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content | changes))
    return path


def test_a_live_process_says_its_conversation(tmp_path: Path) -> None:
    put(tmp_path, ME, status="waiting", waitingFor="permission prompt")
    assert registry.read(tmp_path, ME) == Entry(
        pid=ME,
        conversation=CONVERSATION,
        cwd="/work",
        status="waiting",
        waiting_for="permission prompt",
        at=1795368177.704,
    )


def test_a_process_that_has_said_nothing_has_no_entry(tmp_path: Path) -> None:
    assert registry.read(tmp_path, ME) is None


def test_a_file_left_by_an_earlier_process_with_the_same_pid_is_not_believed(tmp_path: Path) -> None:
    put(tmp_path, ME, procStart="1")
    assert registry.read(tmp_path, ME) is None
    assert registry.holders(tmp_path, CONVERSATION) == ()


def test_a_file_left_by_a_process_that_has_ended_is_not_believed(tmp_path: Path) -> None:
    with subprocess.Popen(("cat",), stdin=subprocess.PIPE) as child:
        put(tmp_path, child.pid)
        assert registry.read(tmp_path, child.pid) is not None
    assert registry.read(tmp_path, child.pid) is None


def test_a_process_that_has_ended_and_was_not_reaped_is_not_believed(tmp_path: Path) -> None:
    with subprocess.Popen(("cat",), stdin=subprocess.PIPE) as child:
        put(tmp_path, child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert registry.read(tmp_path, child.pid) is None


def test_a_file_that_names_another_pid_is_not_believed(tmp_path: Path) -> None:
    put(tmp_path, ME, pid=1)
    assert registry.read(tmp_path, ME) is None


def test_what_is_no_conversation_id_is_not_believed(tmp_path: Path) -> None:
    put(tmp_path, ME, sessionId="../../etc")
    assert registry.read(tmp_path, ME) is None


def test_a_half_written_or_foreign_file_says_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, ME)
    whole = path.read_bytes()
    for content in (whole[:-1], b"", b"[]", b'{"pid": "x"}', b"[" * 50000, b"\xff\xfe"):
        path.write_bytes(content)
        assert registry.read(tmp_path, ME) is None
        assert registry.holders(tmp_path, CONVERSATION) == ()


def test_everybody_who_has_the_conversation_open_is_named(tmp_path: Path) -> None:
    other = ConversationId("6b8b4567-0000-4000-8000-000000000009")
    with subprocess.Popen(("cat",), stdin=subprocess.PIPE) as child:
        put(tmp_path, ME)
        put(tmp_path, child.pid)
        (tmp_path / "sessions" / "notes.json").write_text("{}")
        assert [entry.pid for entry in registry.holders(tmp_path, CONVERSATION)] == sorted([ME, child.pid])
        assert registry.holders(tmp_path, other) == ()


@pytest.mark.parametrize(
    ("status", "waiting_for", "state", "kind"),
    [
        ("idle", "", ActivityState.IDLE, ""),
        ("busy", "", ActivityState.WORKING, ""),
        ("shell", "", ActivityState.WORKING, ""),
        ("waiting", "permission prompt", ActivityState.NEEDS_INPUT, "permission"),
        ("waiting", "input needed", ActivityState.NEEDS_INPUT, "question"),
        ("waiting", "dialog open", ActivityState.NEEDS_INPUT, "dialog"),
        ("waiting", "", ActivityState.NEEDS_INPUT, "dialog"),
    ],
)
def test_a_status_is_an_activity(status: str, waiting_for: str, state: ActivityState, kind: str) -> None:
    entry = Entry(pid=1, conversation=CONVERSATION, status=status, waiting_for=waiting_for, at=5.0)
    assert registry.activity(entry) == Activity(
        state=state, kind=kind, text=waiting_for, source="registry", since=5.0
    )


@pytest.mark.parametrize("status", ["", "dreaming"])
def test_an_unknown_status_is_no_activity(status: str) -> None:
    assert registry.activity(Entry(pid=1, conversation=CONVERSATION, status=status)) is None


def test_words_from_the_file_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    put(tmp_path, ME, status="waiting", waitingFor="a\x1b[31mb\nc")
    entry = registry.read(tmp_path, ME)
    assert entry is not None
    assert entry.waiting_for.isprintable()
