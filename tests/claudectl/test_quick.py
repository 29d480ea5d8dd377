"""`ls` in the time of a bare interpreter: what it asks and prints, what it loads, and when it leaves all alone."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from claudectl.exit_codes import ExitCode
from claudectl_protocol.calls import List, SessionList, Table, TableText
from claudectl_protocol.faults import Internal, Unsupported
from tests.claudectl.conftest import Daemon
from tests.claudectl.person import Person
from tests.claudectl.samples import ACTIVE
from tests.fakes.daemon import Answer, Vanish

TEXT = "STATE   NAME\n○ idle  漢字\n"
FINISHED = TableText(text=TEXT)
_LOADED = """
import sys
before = set(sys.modules)
sys.argv = ["claudectl", "ls", "-g"]
from claudectl.__main__ import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}), file=sys.stderr)
"""


@pytest.fixture
def environment(directory: Path) -> dict[str, str]:
    """A home of its own, where no daemon is started."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "CLAUDECTL_SOCKET": str(directory / "daemon.sock"),
        "CLAUDECTL_AUTOSTART": "0",
    }


def run(
    environment: Mapping[str, str], project: str, *words: str, before: Sequence[str] = ("-m", "claudectl")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *before, *words],
        capture_output=True,
        env=dict(environment),
        cwd=project,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), {}),
        (("-g",), {"all_projects": True}),
        (("--all-projects", "-a"), {"all_projects": True, "stopped": True}),
        (("-q", "--all", "-q"), {"ids": True, "stopped": True}),
        (("--quiet", "-g", "-a"), {"ids": True, "stopped": True, "all_projects": True}),
    ],
)
def test_daemon_is_asked_for_the_text_and_nothing_else(
    daemon: Daemon, environment: Mapping[str, str], project: str, words: Sequence[str], asked: dict[str, bool]
) -> None:
    fake = daemon({Table: TableText(text=TEXT, notices=("a backup was loaded", "so it was"))})

    done = run(environment, project, "ls", *words)

    assert fake.calls == [Table(cwd=project, **asked)]
    assert (done.returncode, done.stdout) == (0, TEXT)
    assert done.stderr == "claudectl: a backup was loaded\nclaudectl: so it was\n"


def test_only_what_is_cheap_is_loaded(daemon: Daemon, environment: Mapping[str, str], project: str) -> None:
    daemon({Table: FINISHED})

    done = run(environment, project, before=("-c", _LOADED))

    assert done.stdout == TEXT
    assert set(done.stderr.split()) <= {
        "claudectl",
        "claudectl_protocol",
        "_socket",
        "_struct",
        "struct",
        "_sha2",
        "_sha256",
    }


@pytest.mark.parametrize("answer", [Unsupported(call="table"), Internal(ticket="x"), Vanish()])
def test_whole_command_line_asks_again_when_the_answer_is_another(
    daemon: Daemon, environment: Mapping[str, str], project: str, answer: Answer
) -> None:
    fake = daemon({Table: answer, List: SessionList(sessions=(ACTIVE,))})

    done = run(environment, project, "ls")

    assert [type(call) for call in fake.calls] == [Table, List]
    assert done.returncode == 0
    assert ACTIVE.id[:8] in done.stdout


@pytest.mark.parametrize(
    "words", [("ls", "--json"), ("ls", "-gq"), ("ls", "api"), ("ls", "-h"), ("--no-start", "ls")]
)
def test_any_other_words_are_left_to_the_whole_command_line(
    daemon: Daemon, environment: Mapping[str, str], project: str, words: Sequence[str]
) -> None:
    fake = daemon({Table: FINISHED, List: SessionList(sessions=())})

    run(environment, project, *words)

    assert Table not in map(type, fake.calls)


def test_without_a_daemon_the_whole_command_line_says_so(
    environment: Mapping[str, str], project: str
) -> None:
    done = run(environment, project, "ls")

    assert done.returncode == ExitCode.UNREACHABLE
    assert done.stderr.startswith("claudectl: no daemon answers at ")


def test_whose_output_is_not_utf8_gets_ascii_from_the_whole_command_line(
    daemon: Daemon, environment: Mapping[str, str], project: str
) -> None:
    fake = daemon({Table: FINISHED, List: SessionList(sessions=(ACTIVE,))})

    done = run({**environment, "PYTHONIOENCODING": "latin-1"}, project, "ls")

    assert [type(call) for call in fake.calls] == [List]
    assert done.returncode == 0


def test_socket_in_a_directory_that_others_may_enter_is_not_talked_to(
    daemon: Daemon, environment: Mapping[str, str], project: str, directory: Path
) -> None:
    fake = daemon({Table: FINISHED})
    directory.chmod(0o755)

    done = run(environment, project, "ls")

    assert fake.calls == []
    assert done.returncode == ExitCode.UNREACHABLE
    assert "cannot be trusted" in done.stderr


@pytest.mark.parametrize(
    ("extra", "width", "colour"),
    [
        ({}, 90, True),
        ({"COLUMNS": "70"}, 70, True),
        ({"COLUMNS": "none", "NO_COLOR": "1"}, 90, False),
        ({"TERM": "dumb"}, 90, False),
    ],
)
def test_in_a_terminal_its_width_and_colours_are_asked_for(
    daemon: Daemon,
    environment: Mapping[str, str],
    project: str,
    extra: Mapping[str, str],
    width: int,
    colour: bool,
) -> None:
    fake = daemon({Table: FINISHED})

    with Person(["ls"], {**environment, **extra}, cols=90) as person:
        assert person.wait() == 0

    assert fake.calls == [Table(cwd=project, width=width, colour=colour)]
    assert person.seen.decode() == TEXT.replace("\n", "\r\n")


def test_reader_that_leaves_ends_it_quietly(
    daemon: Daemon, environment: Mapping[str, str], project: str
) -> None:
    daemon({Table: FINISHED})
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "claudectl", "ls"],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=project,
            check=False,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (ExitCode.PIPE_CLOSED, b"")
