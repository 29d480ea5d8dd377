"""A short private directory for sockets, and the command line as a function."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from claudectl.cli import run
from claudectl_protocol.calls import AnyCall
from tests.fakes.daemon import Answer, FakeDaemon, Script


class Outcome(NamedTuple):
    """What a command did: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


Answers = Mapping[type[AnyCall], Answer | Script]
Daemon = Callable[[Answers], FakeDaemon]
Claudectl = Callable[..., Outcome]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory of ours alone with a path that leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def socket_path(directory: Path) -> str:
    """Where the fake daemon listens."""
    return str(directory / "daemon.sock")


@pytest.fixture
def daemon(socket_path: str) -> Iterator[Daemon]:
    """Starts the fake daemon with a table of answers; it ends with the test."""
    with ExitStack() as stack:
        yield lambda answers: stack.enter_context(FakeDaemon(socket_path, answers))


@pytest.fixture
def project(directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The working directory of the commands."""
    path = directory / "project"
    path.mkdir()
    monkeypatch.chdir(path)
    return str(path)


@pytest.fixture
def claudectl(
    socket_path: str,
    directory: Path,
    project: str,  # noqa: ARG001 - commands look at their working directory
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Claudectl:
    """Runs a command line in this process, against the socket of this test, never starting a daemon."""
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    monkeypatch.delenv("NO_COLOR", raising=False)

    def command(*arguments: str) -> Outcome:
        code = run(["--socket", socket_path, "--no-start", *arguments])
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return command
