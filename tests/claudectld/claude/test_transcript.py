import os
import pwd
from pathlib import Path

from claudectl_protocol.sessions import ConversationId
from claudectld.claude import transcript

CONVERSATION = ConversationId("6b8b4567-0000-4000-8000-000000000003")


def test_claude_keeps_its_files_below_the_session_s_own_home() -> None:
    assert transcript.config_directory({"HOME": "/home/me"}, "/") == Path("/home/me/.claude")


def test_a_config_directory_of_the_session_s_own_wins() -> None:
    env = {"HOME": "/home/me", "CLAUDE_CONFIG_DIR": "/work"}
    assert transcript.config_directory(env, "/") == Path("/work")
    assert transcript.config_directory({"CLAUDE_CONFIG_DIR": "rel"}, "/cwd") == Path("/cwd/rel")


def test_without_home_the_user_database_knows_it() -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert transcript.config_directory({}, "/") == Path(home) / ".claude"


def test_a_transcript_is_found_whatever_directory_it_was_begun_in(tmp_path: Path) -> None:
    for slug in ("-home-me-a", "-home-me-b"):
        (tmp_path / "projects" / slug).mkdir(parents=True)
    path = tmp_path / "projects" / "-home-me-b" / f"{CONVERSATION}.jsonl"
    path.write_text("{}\n")
    assert transcript.find(CONVERSATION, tmp_path) == path
    assert transcript.exists(CONVERSATION, tmp_path)


def test_a_conversation_without_transcript_has_none(tmp_path: Path) -> None:
    assert not transcript.exists(CONVERSATION, tmp_path)
    (tmp_path / "projects" / "slug").mkdir(parents=True)
    (tmp_path / "projects" / "slug" / "other.jsonl").write_text("{}\n")
    assert not transcript.exists(CONVERSATION, tmp_path)


def test_an_odd_id_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "projects" / "slug").mkdir(parents=True)
    (tmp_path / "projects" / "slug" / "other.jsonl").write_text("{}\n")
    assert not transcript.exists(ConversationId("*"), tmp_path)
