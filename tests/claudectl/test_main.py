"""The script as a process: what it imports, and what a closed pipe or Ctrl-C does."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from claudectl.cli import VERBS
from claudectl_protocol.calls import List, Logs, LogsStarted, SessionList
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.person import Person
from tests.claudectl.samples import ACTIVE, API, RUN

HEAVY = ("asyncio", "anyio", "prompt_toolkit", "psutil", "subprocess", "claudectld", "claudectl.tui")
_IMPORTS = """
import sys
from claudectl.cli import run
code = run(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def environment(directory: Path) -> Mapping[str, str]:
    """A home of its own, where no daemon is started."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "CLAUDECTL_SOCKET": str(directory / "daemon.sock"),
        "CLAUDECTL_AUTOSTART": "0",
    }


def test_a_verb_imports_nothing_heavy_and_no_other_verb(
    daemon: Daemon, environment: Mapping[str, str], project: str
) -> None:
    daemon({List: SessionList(sessions=(ACTIVE,))})

    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS, "ls"],
        capture_output=True,
        text=True,
        env=dict(environment),
        cwd=project,
        check=True,
    )

    modules = set(done.stderr.split())
    assert not modules & set(HEAVY)
    verbs = {name.rpartition(".")[2] for name in modules if name.startswith("claudectl.commands.")}
    assert verbs & set(VERBS) == {"ls"}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_can_import_anything_heavy(verb: str, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS, verb, "--help"],
        capture_output=True,
        text=True,
        env=dict(environment),
        check=True,
    )

    assert f"claudectl.commands.{verb}" in done.stderr
    assert not set(done.stderr.split()) & set(HEAVY)


def test_a_reader_that_leaves_ends_the_command_quietly(
    daemon: Daemon, environment: Mapping[str, str]
) -> None:
    fake = daemon({Logs: LogsStarted(session=API, run=RUN, start=0, end=0)})

    with subprocess.Popen(
        [sys.executable, "-m", "claudectl", "logs", "-f", "api"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
    ) as process:
        stream = fake.stream()
        stream.data(4, b"one\n")
        assert process.stdout is not None
        assert process.stdout.readline() == b"one\n"
        process.stdout.close()
        stream.data(8, b"two\n")
        _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (141, b"")


def test_ctrl_c_ends_a_command_quietly(daemon: Daemon, environment: Mapping[str, str]) -> None:
    fake = daemon({Logs: LogsStarted(session=API, run=RUN, start=0, end=0)})

    with subprocess.Popen(
        [sys.executable, "-m", "claudectl", "logs", "-f", "api"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
    ) as process:
        fake.stream()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_terminal_without_symbols_gets_ascii(daemon: Daemon, environment: Mapping[str, str]) -> None:
    daemon({List: SessionList(sessions=(ACTIVE,), notices=("naïve",))})

    done = subprocess.run(
        [sys.executable, "-m", "claudectl", "ls"],
        capture_output=True,
        env={**environment, "PYTHONIOENCODING": "ascii"},
        check=True,
    )

    assert b"! needs input" in done.stdout
    assert done.stderr == b"claudectl: na\\xefve\n"


@pytest.mark.parametrize(
    ("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_terminal_gets_colour_unless_it_should_not(
    daemon: Daemon, environment: Mapping[str, str], more: Mapping[str, str], coloured: bool
) -> None:
    daemon({List: SessionList(sessions=(ACTIVE,))})

    with Person(["ls"], {**environment, "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}, cols=40) as person:
        assert person.wait() == 0

    assert (b"\x1b[33m" in person.seen) is coloured
    assert "…".encode() in person.seen


def test_the_version_is_told(claudectl: Claudectl) -> None:
    assert claudectl("--version") == (0, "claudectl 0.1.0\n", "")


def test_help_names_every_verb_and_the_exit_codes(claudectl: Claudectl) -> None:
    outcome = claudectl("--help")

    assert outcome.code == 0
    assert all(f"  {verb} " in outcome.out for verb in VERBS)
    assert "69 daemon unreachable" in outcome.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(claudectl: Claudectl, verb: str) -> None:
    outcome = claudectl(verb, "--help")

    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: claudectl {verb} ")


def test_an_unknown_verb_is_a_usage_error(claudectl: Claudectl) -> None:
    assert claudectl("frob") == (2, "", "claudectl: No such command 'frob'; see 'claudectl --help'\n")
