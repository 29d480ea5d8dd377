"""Asking a program for its version."""

import os
from pathlib import Path

import pytest

from claudectld.claude import version
from claudectld.claude.version import NoVersion, version_of
from tests.e2e.world import wait_gone


def program(tmp_path: Path, script: str) -> str:
    path = tmp_path / "claude"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("2.1.330 (Claude Code)", "2.1.330"),
        ("2.2.0-beta.1 (Claude Code)", "2.2.0-beta.1"),
        ("\n2.1.197", "2.1.197"),
    ],
)
def test_version_is_the_first_word(tmp_path: Path, said: str, found: str) -> None:
    assert version_of(program(tmp_path, f'[ "$*" = --version ] && echo "{said}"'), {}) == found


def test_nothing_of_an_outer_session_is_passed_on(tmp_path: Path) -> None:
    seen = tmp_path / "environment"
    asked = program(tmp_path, f"env > {seen}; echo 2.1.330")
    outer = {
        "PATH": os.environ["PATH"],
        "CLAUDE_CODE_CHILD_SESSION": "1",
        "TMUX": "x",
        "CLAUDECTL_RUN": "outer",
        "ODD": "kept",
    }

    version_of(asked, outer)

    lines = seen.read_text().splitlines()
    assert "ODD=kept" in lines
    assert "DISABLE_AUTOUPDATER=1" in lines
    assert not [
        line for line in lines if line.startswith(("CLAUDECTL_", "TMUX", "CLAUDE_CODE_CHILD_SESSION"))
    ]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo broken >&2; exit 3", "left with 3 and said 'broken'"),
        ("echo hello", "left with 0 and said 'hello'"),
        ("echo 2.1.330; exit 1", "left with 1"),
        ("exit 0", "left with 0 and said ''"),
        ("printf '\\033[2Jx' >&2; exit 1", "said 'x'"),
    ],
)
def test_program_that_says_no_version_is_told_of(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(NoVersion, match=why):
        version_of(program(tmp_path, script), {"PATH": os.environ["PATH"]})


def test_file_that_cannot_be_run_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "claude"
    path.write_bytes(b"\x00\x01")
    path.chmod(0o755)

    with pytest.raises(NoVersion, match="cannot be run"):
        version_of(str(path), {})


def test_program_that_says_nothing_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for a shell to start on a busy machine, which cannot be waited for here.
    monkeypatch.setattr(version, "TIMEOUT_S", 2.0)
    pids = tmp_path / "pids"
    asked = program(tmp_path, f"sleep 600 & echo $! $$ > {pids}; wait")

    with pytest.raises(NoVersion, match="said nothing"):
        version_of(asked, {"PATH": os.environ["PATH"]})

    wait_gone([int(pid) for pid in pids.read_text().split()])
