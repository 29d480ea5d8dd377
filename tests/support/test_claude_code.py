import json
import os
from pathlib import Path

import pytest

from tests.support import claude_code


def fake_npm(directory: Path, script: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "npm").chmod(0o755)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLAUDECTL_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path / "cache"


INSTALL = """
echo "$@" >> "$3/calls"
mkdir -p "$3/node_modules/.bin"
touch "$3/node_modules/.bin/claude"
"""


def test_the_pinned_version_is_fetched_once(cache: Path, tmp_path: Path) -> None:
    fake_npm(tmp_path / "bin", INSTALL)
    assert claude_code.installed() == cache / "node_modules" / ".bin" / "claude"
    claude_code.installed()
    calls = (cache / "calls").read_text().splitlines()
    assert len(calls) == 1
    assert calls[0].startswith(f"install --prefix {cache}")
    assert calls[0].endswith("@anthropic-ai/claude-code@2.1.330")


def test_an_unfinished_fetch_is_not_believed(cache: Path, tmp_path: Path) -> None:
    fake_npm(tmp_path / "bin", INSTALL + "\necho no network >&2; exit 1")
    with pytest.raises(claude_code.Unavailable, match="no network"):
        claude_code.installed()
    fake_npm(tmp_path / "bin", INSTALL)
    claude_code.installed()
    assert len((cache / "calls").read_text().splitlines()) == 2


@pytest.mark.usefixtures("cache")
def test_without_npm_tests_are_skipped_but_fail_where_nothing_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="npm is not installed"):
        claude_code.installed_or_skip()
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="npm is not installed"):
        claude_code.installed_or_skip()


def test_a_home_is_seeded_and_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_TESTER", "1")
    with claude_code.home() as home:
        seed = json.loads((home.path / ".claude.json").read_text())
        assert seed["customApiKeyResponses"]["approved"] == [claude_code.API_KEY[-20:]]
        assert seed["projects"] == {str(home.project): {"hasTrustDialogAccepted": True}}
        env = home.environment("http://127.0.0.1:1", {"EXTRA": "x"})
        assert env["HOME"] == str(home.path)
        assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1"
        assert env["EXTRA"] == "x"
        assert "A_SECRET_OF_THE_TESTER" not in env
    assert not home.path.exists()


def test_a_hook_s_input_is_waited_for() -> None:
    with claude_code.home() as home:
        pipe = home.hooks("Stop")["Stop"]
        for number in (1, 2):
            assert os.system(f"printf '{{\"n\":{number}}}' | {{ {pipe.command}; }}") == 0
            assert json.loads(pipe.wait()) == {"n": number}
        with pytest.raises(TimeoutError):
            pipe.wait(deadline_s=0.01)


def test_a_transcript_is_read_as_what_was_said() -> None:
    lines = (
        {"type": "mode", "mode": "x"},
        {"type": "user", "message": {"content": "hi"}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "hello"}]}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "content": "x"}]}},
    )
    with claude_code.home() as home:
        assert home.turns("c") == ()
        path = home.config_directory / "projects" / "slug" / "c.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert home.turns("c") == (
            claude_code.Turn("user", "hi"),
            claude_code.Turn("assistant", "hello"),
        )
