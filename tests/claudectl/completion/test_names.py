"""Names for a word that is being completed."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from claudectl.completion import names
from claudectl_protocol.calls import List, ProjectList, ProjectListing, SessionList
from claudectl_protocol.faults import Denied
from claudectl_protocol.sessions import ProjectInfo, SessionId
from tests.claudectl.conftest import Daemon
from tests.claudectl.samples import ACTIVE
from tests.fakes.daemon import FakeDaemon, Silence, Vanish

API = replace(ACTIVE, id=SessionId("aaaa1111-0000-4000-8000-000000000001"), name="api")
WEB = replace(ACTIVE, id=SessionId("bbbb2222-0000-4000-8000-000000000002"), name="web-ünï")
ODD = replace(ACTIVE, id=SessionId("cccc3333-0000-4000-8000-000000000003"), name="$(touch /tmp/x)")
SPACED = replace(ACTIVE, id=SessionId("dddd4444-0000-4000-8000-000000000004"), name="my app")
SESSIONS = SessionList(sessions=(API, WEB, ODD, SPACED))


@pytest.fixture
def environment(directory: Path, socket_path: str) -> Mapping[str, str]:
    """A home of its own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),
        "CLAUDECTL_SOCKET": socket_path,
    }


def listed(socket: str, *arguments: str) -> list[str]:
    return [*names.names([*arguments, "--socket", socket])]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["api", "cccc3333", "dddd4444", "web-ünï"]),
        ("a", ["aaaa1111", "api"]),
        ("ap", ["api"]),
        ("bbbb2", ["bbbb2222"]),
        ("$", []),
        ("my", []),
        ("c", ["cccc3333"]),
        ("zzz", []),
    ],
)
def test_names_are_offered_as_they_are_and_ids_for_those_that_would_need_quotes(
    daemon: Daemon, socket_path: str, project: str, prefix: str, expected: list[str]
) -> None:
    fake = daemon({List: SESSIONS})

    assert listed(socket_path, "sessions", prefix) == expected
    assert fake.calls == [List(cwd=project, all_projects=False, stopped=True)]


def test_names_of_all_projects_are_asked_for(daemon: Daemon, socket_path: str, project: str) -> None:
    fake = daemon({List: SESSIONS})

    listed(socket_path, "sessions", "", "-g")

    assert fake.calls == [List(cwd=project, all_projects=True, stopped=True)]


def test_projects_are_offered_by_path(daemon: Daemon, socket_path: str) -> None:
    paths = ("/srv/web", "/srv/my app", "/home/api")
    projects = tuple(ProjectInfo(path=path, sessions=0, active=0) for path in paths)
    daemon({ProjectListing: ProjectList(projects=projects)})

    assert listed(socket_path, "projects", "/") == ["/home/api", "/srv/web"]
    assert listed(socket_path, "projects", "/s") == ["/srv/web"]


def test_where_no_daemon_answers_there_are_no_names(daemon: Daemon, socket_path: str) -> None:
    assert listed(socket_path, "sessions", "") == []
    daemon({List: Denied(why="no")})
    assert listed(socket_path, "sessions", "") == []


def complete(env: Mapping[str, str], *arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "claudectl", names.VERB, *arguments],
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_verb_prints_names_and_loads_only_what_is_cheap(
    daemon: Daemon,
    environment: Mapping[str, str],
) -> None:
    daemon({List: SESSIONS})
    program = f"""
import sys
before = set(sys.modules)
from claudectl.__main__ import main
sys.argv = ["claudectl", "{names.VERB}", "sessions", "ap"]
try:
    main()
finally:
    print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(environment), capture_output=True, text=True, check=True
    )

    assert done.stdout == "api\n"
    assert set(done.stderr.split()) <= {
        "claudectl",
        "claudectl_protocol",
        "_socket",
        "_struct",
        "struct",
        "_sha2",
        "_sha256",
    }


@pytest.mark.parametrize("arguments", [(), ("sessions",), ("odd", ""), ("sessions", "", "--socket")])
def test_a_question_that_makes_no_sense_is_answered_by_nothing(
    environment: Mapping[str, str],
    arguments: tuple[str, ...],
) -> None:
    assert complete(environment, *arguments) == (0, "", "")


def test_a_daemon_that_hangs_or_breaks_off_is_not_waited_for(
    environment: Mapping[str, str],
) -> None:
    for answer in (Silence(), Vanish()):
        with FakeDaemon(environment["CLAUDECTL_SOCKET"], {List: answer}):
            assert complete(environment, "sessions", "") == (0, "", "")
    with FakeDaemon(environment["CLAUDECTL_SOCKET"], {}, mute=True):
        assert complete(environment, "sessions", "") == (0, "", "")


def test_in_a_directory_that_is_gone_there_are_no_names(
    daemon: Daemon,
    environment: Mapping[str, str],
    directory: Path,
) -> None:
    daemon({List: SESSIONS})
    gone = directory / "gone"
    gone.mkdir()
    script = f'rmdir "$PWD"; exec "{sys.executable}" -m claudectl {names.VERB} sessions ""'

    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env=dict(environment),
        cwd=gone,
        capture_output=True,
        check=False,
        timeout=20,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
