"""Whether there is a login, without its value."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from claudectld.claude.login import logins

SECRET = "sk-ant-secret"


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, ()),
        ({"ANTHROPIC_API_KEY": SECRET}, ("ANTHROPIC_API_KEY",)),
        ({"ANTHROPIC_API_KEY": ""}, ()),
        ({"CLAUDE_CODE_OAUTH_TOKEN": SECRET}, ("CLAUDE_CODE_OAUTH_TOKEN",)),
        ({"CLAUDE_CODE_USE_BEDROCK": "1"}, ("CLAUDE_CODE_USE_BEDROCK",)),
    ],
)
def test_variables_that_are_set_count(tmp_path: Path, env: Mapping[str, str], found: tuple[str, ...]) -> None:
    assert logins({"HOME": str(tmp_path), **env}, "/") == found


@pytest.mark.parametrize(
    ("name", "document", "key"),
    [
        (".claude/.credentials.json", {"claudeAiOauth": {"accessToken": SECRET}}, "claudeAiOauth"),
        (".claude.json", {"oauthAccount": {"emailAddress": SECRET}, "projects": {}}, "oauthAccount"),
        (".claude.json", {"primaryApiKey": SECRET}, "primaryApiKey"),
        (".claude/settings.json", {"apiKeyHelper": f"echo {SECRET}"}, "apiKeyHelper"),
    ],
)
def test_files_that_hold_one_count_by_name_only(
    tmp_path: Path, name: str, document: Mapping[str, object], key: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))

    assert logins({"HOME": str(tmp_path)}, "/") == (f"{key} in {path}",)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"claudeAiOauth": null}', b"[" * 100_000])
def test_files_without_one_count_for_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".credentials.json").write_bytes(content)

    assert logins({"HOME": str(tmp_path)}, "/") == ()


def test_another_configuration_directory_has_its_own(tmp_path: Path) -> None:
    (tmp_path / ".claude.json").write_text('{"primaryApiKey": "of the home"}')
    other = tmp_path / "other"
    other.mkdir()
    (other / ".claude.json").write_text('{"oauthAccount": {"a": 1}}')

    found = logins({"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": "other"}, str(tmp_path))

    assert found == (f"oauthAccount in {other / '.claude.json'}",)
