"""`daemon install, uninstall, restart, logs`: what is asked and said where there is no service manager; with one they
are tried in tests/e2e/test_service.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from claudectl.documents import ServiceDocument
from claudectl.reports import service_report
from claudectl_protocol.calls import Done, Shutdown, Status
from claudectl_protocol.sessions import RunId
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.samples import STATUS
from tests.fakes.daemon import Last


@pytest.fixture
def logs(directory: Path) -> Path:
    """Where the logs are."""
    path = directory / "state" / "claudectl" / "logs"
    path.mkdir(parents=True)
    return path


@pytest.fixture(autouse=True)
def _without_manager(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No service manager, and no service of the person who runs the tests."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory / "nowhere"))
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def test_an_install_without_a_service_manager_says_what_to_do_and_changes_nothing(
    daemon: Daemon, claudectl: Claudectl, directory: Path
) -> None:
    fake = daemon({})
    code, out, err = claudectl("daemon", "install")

    assert (code, out) == (1, "")
    assert err.startswith("claudectl: no service manager of yours answers (")
    assert err.endswith(
        "); claudectl works without its service, and 'claudectl doctor' says what is weaker then\n"
    )
    assert not (directory / ".config").exists()
    assert fake.calls == []


def test_it_says_so_as_a_document_too(claudectl: Claudectl) -> None:
    code, out, err = claudectl("daemon", "install", "--json")
    assert (code, out) == (1, "")
    assert json.loads(err)["error"]["t"] == "service"


@pytest.mark.parametrize(
    ("lingering", "in_service", "words"),
    [
        (True, True, ["lingering is on: "]),
        (False, True, ["lingering is off: ", "'loginctl enable-linger'"]),
        (None, True, ["it starts when you log in"]),
        (False, False, ["the keeper (pid 11) goes on as it was started", "'loginctl enable-linger'"]),
    ],
)
def test_an_install_says_when_the_service_starts_and_ends(
    lingering: bool | None, in_service: bool, words: list[str]
) -> None:
    installed = ServiceDocument(
        files=("/units/claudectld.service",),
        daemon=replace(STATUS, keeper_pid=11),
        keeper_in_service=in_service,
        lingering=lingering,
    )
    report = service_report(installed)
    assert report.startswith(f"installed /units/claudectld.service\nclaudectld runs (pid {STATUS.pid})\n")
    assert [word for word in words if word not in report] == []
    assert ("keeper" in report) is not in_service
    assert ("loginctl" in report) is (lingering is False)


@pytest.mark.parametrize(("active", "words"), [(1, "a session runs"), (3, "3 sessions run")])
def test_an_uninstall_is_refused_while_sessions_run(
    daemon: Daemon, claudectl: Claudectl, active: int, words: str
) -> None:
    fake = daemon({Status: replace(STATUS, active=active, orphans=())})

    assert claudectl("daemon", "uninstall") == (
        4,
        "",
        f"claudectl: {words}; stop them first, or have them stopped with --sessions\n",
    )
    assert fake.calls == [Status()]


@pytest.mark.parametrize("arguments", [[], ["--sessions"]])
def test_an_uninstall_is_refused_while_the_keeper_keeps_what_no_session_knows(
    daemon: Daemon, claudectl: Claudectl, arguments: list[str]
) -> None:
    fake = daemon({Status: replace(STATUS, active=0, orphans=(RunId("r"),))})

    code, _, err = claudectl("daemon", "uninstall", *arguments)

    assert code == 4
    assert "keeps runs that no session knows" in err
    assert fake.calls == [Status()]


@pytest.mark.parametrize(("arguments", "active"), [([], 0), (["--sessions"], 2)])
def test_an_uninstall_ends_the_daemon_and_waits_for_the_keeper(
    daemon: Daemon, claudectl: Claudectl, arguments: list[str], active: int
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as keeper:
        assert keeper.stdin is not None
        status = replace(STATUS, active=active, orphans=(), keeper_pid=keeper.pid)
        fake = daemon({Status: status, Shutdown: Last(Done(), keeper.stdin.close)})

        assert claudectl("daemon", "uninstall", *arguments) == (
            0,
            "no service was installed; no daemon and no keeper runs\n",
            "",
        )
        assert fake.calls == [Status(), Shutdown(sessions=bool(arguments))]
        assert keeper.wait(20) == 1


def test_a_keeper_that_stays_is_told(
    daemon: Daemon, claudectl: Claudectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claudectl.ending.KEEPER_S", 0.0)
    status = replace(STATUS, active=0, orphans=(), keeper_pid=os.getpid())
    daemon({Status: status, Shutdown: Last(Done())})

    code, _, err = claudectl("daemon", "uninstall")

    assert code == 1
    assert err.startswith(f"claudectl: the keeper (pid {os.getpid()}) does not leave; ")


@pytest.mark.parametrize(
    "keeper",
    [
        None,
        {"pid": 2**22 + 1, "boot_id": "b"},
        {"pid": os.getpid(), "boot_id": "another boot"},
        [],
        {"pid": 1},
    ],
)
def test_an_uninstall_of_nothing_is_done(claudectl: Claudectl, directory: Path, keeper: object) -> None:
    if keeper is not None:
        state = directory / "state" / "claudectl"
        state.mkdir(parents=True)
        (state / "keeper.json").write_text(json.dumps(keeper))

    assert claudectl("daemon", "uninstall").code == 0
    assert json.loads(claudectl("daemon", "uninstall", "--json").out)["files"] == []


def test_logs_are_the_last_lines_without_control_characters(claudectl: Claudectl, logs: Path) -> None:
    (logs / "claudectld.log").write_text("one\ntwo\x1b[1m\nthree\n")
    assert claudectl("daemon", "logs", "-n", "2") == (0, "two\nthree\n", "")
    assert claudectl("daemon", "logs", "-n", "0") == (0, "", "")


def test_logs_go_back_into_the_file_that_was_set_aside(claudectl: Claudectl, logs: Path) -> None:
    (logs / "claudectld.log.1").write_text("one\ntwo\n")
    (logs / "claudectld.log").write_text("three\n")
    assert claudectl("daemon", "logs", "-n", "2").out == "two\nthree\n"
    assert claudectl("daemon", "logs", "-n", "1").out == "three\n"


def test_logs_of_the_keeper_come_after_the_daemons(claudectl: Claudectl, logs: Path) -> None:
    (logs / "claudectld.log").write_text("daemon\n")
    (logs / "keeper.log").write_text("keeper\n")
    assert claudectl("daemon", "logs", "--keeper").out == (
        f"==> {logs}/claudectld.log <==\ndaemon\n==> {logs}/keeper.log <==\nkeeper\n"
    )
    assert json.loads(claudectl("daemon", "logs", "--keeper", "--json").out)["logs"] == [
        {"path": f"{logs}/claudectld.log", "lines": ["daemon"]},
        {"path": f"{logs}/keeper.log", "lines": ["keeper"]},
    ]


def test_logs_of_a_daemon_that_never_was_are_empty(claudectl: Claudectl) -> None:
    assert claudectl("daemon", "logs") == (0, "", "")


def test_a_log_that_cannot_be_read_is_a_sentence(claudectl: Claudectl, logs: Path) -> None:
    (logs / "claudectld.log").mkdir()
    code, _, err = claudectl("daemon", "logs")
    assert (code, err) == (1, f"claudectl: {logs}/claudectld.log cannot be read: Is a directory\n")


def test_a_followed_log_goes_on_where_its_last_lines_end_and_past_a_new_file(
    directory: Path, logs: Path
) -> None:
    log = logs / "claudectld.log"
    log.write_text("one\ntwo\n")
    command = [sys.executable, "-m", "claudectl", "daemon", "logs", "-f", "-n", "1"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "XDG_STATE_HOME": str(directory / "state"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "two\n"
        with log.open("a") as file:
            file.write("three\n")
        assert process.stdout.readline() == "three\n"
        log.rename(logs / "claudectld.log.1")
        log.write_text("four\n")
        assert process.stdout.readline() == "four\n"
        process.kill()


def test_a_followed_log_is_no_document(claudectl: Claudectl) -> None:
    code, _, err = claudectl("daemon", "logs", "-f", "--json")
    assert code == 2
    assert "leave out --json or -f" in err
