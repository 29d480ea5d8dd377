"""The daemon's side of the doctor, on files of the test's own."""

import json
import os
import resource
from pathlib import Path

import pytest

from claudectl_protocol.diagnosis import ClaudeFacts, Diagnosis
from claudectl_protocol.settings import ClaudeSection, Config
from claudectld import config
from claudectld.diagnosis import diagnosis
from claudectld.keeper import copy
from claudectld.stores.envelope import seal


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".config" / "claudectl").mkdir(parents=True)
    return tmp_path


def diagnosed(home: Path, chosen: Config | None = None) -> Diagnosis:
    env = {"HOME": str(home), "PATH": str(home / "bin"), "ANTHROPIC_API_KEY": "sk-secret"}
    places = config.places(env, os.geteuid())
    return diagnosis(env, str(home), places, chosen or Config(), "the file is not used")


def claude(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho 2.1.330\n")
    path.chmod(0o755)


def known(home: Path, *projects: Path) -> None:
    entries = [{"path": str(project), "added_at": 1.0} for project in projects]
    data = seal(1, {"projects": entries, "sessions": []})
    (home / ".config" / "claudectl" / "data.json").write_bytes(data)


def project(home: Path, name: str, content: bytes) -> Path:
    path = home / name
    (path / ".claudectl").mkdir(parents=True)
    (path / ".claudectl" / "sessions.json").write_bytes(content)
    return path


def test_claude_is_found_as_a_session_of_the_caller_would(home: Path) -> None:
    claude(home / "bin" / "claude")

    found = diagnosed(home)

    assert found.claude == ClaudeFacts(
        path=str(home / "bin" / "claude"), version="2.1.330", logins=("ANTHROPIC_API_KEY",)
    )
    assert "sk-secret" not in repr(found)


def test_the_configured_program_is_the_one_that_is_asked(home: Path) -> None:
    claude(home / "bin" / "claude")
    claude(home / "own" / "claude")

    found = diagnosed(home, Config(claude=ClaudeSection(program=str(home / "own" / "claude"))))

    assert found.claude.path == str(home / "own" / "claude")


def test_without_claude_it_says_where_it_looked(home: Path) -> None:
    nowhere = str(home / "nowhere" / "claude")

    found = diagnosed(home, Config(claude=ClaudeSection(program=nowhere)))

    assert found.claude == ClaudeFacts(searched=(nowhere,), logins=("ANTHROPIC_API_KEY",))


def test_program_that_is_broken_is_found_with_the_reason(home: Path) -> None:
    claude(home / "bin" / "claude")
    (home / "bin" / "claude").write_text("#!/bin/sh\nexit 9\n")

    found = diagnosed(home)

    assert (found.claude.version, found.claude.path) == ("", str(home / "bin" / "claude"))
    assert "left with 9" in found.claude.problem


def test_code_limits_and_config_are_those_of_this_process(home: Path) -> None:
    found = diagnosed(home)

    assert found.keeper_code == os.path.basename(copy.install(str(home / "state")))
    assert found.files_soft == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert found.files_open is not None
    assert found.files_open > 2
    assert found.config_problem == "the file is not used"


def test_projects_that_can_be_read_are_only_listed(home: Path) -> None:
    good = project(home, "good", seal(1, {"sessions": []}))
    new = home / "new"
    new.mkdir()
    known(home, new, good)

    found = diagnosed(home)

    assert found.projects == (str(good), str(new))
    assert found.store_problems == ()


def test_project_that_was_closed_is_on_no_list(home: Path) -> None:
    closed = {"path": str(home / "gone"), "closed_at": 2.0}
    data = seal(1, {"projects": [closed, {"path": 3}, "odd"], "sessions": []})
    (home / ".config" / "claudectl" / "data.json").write_bytes(data)

    assert diagnosed(home).projects == ()
    assert diagnosed(home).store_problems == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (json.dumps({"schema": 99}).encode(), "was written by a newer claudectl (schema 99)"),
    ],
)
def test_files_that_cannot_be_used_are_named_and_left_alone(home: Path, content: bytes, why: str) -> None:
    bad = project(home, "bad", content)
    known(home, bad)

    (problem,) = diagnosed(home).store_problems

    path = bad / ".claudectl" / "sessions.json"
    assert problem == f"{path} {why}"
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["sessions.json"]


def test_damaged_list_and_missing_project_are_named(home: Path) -> None:
    known(home, home / "gone\x1b[2J")
    assert diagnosed(home).projects == (str(home / "gone"),)
    assert diagnosed(home).store_problems == (f"{home / 'gone'} is missing",)

    (home / ".config" / "claudectl" / "data.json").write_bytes(b"\x00")
    (problem,) = diagnosed(home).store_problems
    assert problem == f"{home}/.config/claudectl/data.json is not JSON"


def test_directory_of_another_kind_is_named(home: Path) -> None:
    path = home / "odd"
    path.mkdir()
    (path / ".claudectl").symlink_to(home)
    known(home, path)

    assert diagnosed(home).store_problems == (f"{path}/.claudectl/sessions.json cannot be read (ENOTDIR)",)
