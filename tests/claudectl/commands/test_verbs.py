"""The verbs of one call: what is asked, what is printed, and the exit code."""

import json
import os
import sys
from time import strftime

import pytest
from msgspec import structs

from claudectl_protocol import faults
from claudectl_protocol.calls import (
    AnyCall,
    Done,
    List,
    ProjectAdd,
    ProjectDetail,
    ProjectList,
    ProjectListing,
    ProjectRemove,
    ProjectShow,
    Remove,
    Rename,
    Restart,
    ScreenView,
    SendKeys,
    SessionList,
    Show,
    Shutdown,
    Status,
    Stop,
    Target,
    View,
)
from claudectl_protocol.sessions import SessionDetail, Size
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.samples import (
    ACTIVE,
    API,
    DETAIL,
    FAULTS,
    LOST_PROJECT,
    PROJECT,
    RUN,
    STATUS,
    STOPPED,
    WEB,
    FaultSample,
)
from tests.fakes.daemon import Answer, Last, Vanish

NOT_FOUND = faults.SessionNotFound(target="nope", scope="/")
NOT_FOUND_LINE = "claudectl: no session 'nope' in this project; see 'claudectl ls -g'\n"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is 2060 s after the epoch, in Greenwich."""
    monkeypatch.setenv("TZ", "UTC")
    for verb in ("ls", "show", "status", "project", "daemon"):
        monkeypatch.setattr(f"claudectl.commands.{verb}.time", lambda: 2060.0)


# --- ls -----------------------------------------------------------------------------------------------------


def test_ls_prints_the_sessions_of_this_project(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({List: SessionList(sessions=(ACTIVE,), notices=("2 sessions were \x1b[1mmoved",))})

    outcome = claudectl("ls")

    assert fake.calls == [List(cwd=project)]
    assert outcome.code == 0
    assert [line.split() for line in outcome.out.splitlines()] == [
        ["STATE", "NAME", "ID", "AGE", "DETAIL"],
        ["◐", "needs", "input", "api", "0f1e2d3c", "-", "permission:", "Run", "make?"],
    ]
    assert outcome.err == "claudectl: 2 sessions were moved\n"


def test_ls_of_all_projects_says_which(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({List: SessionList(sessions=(ACTIVE, STOPPED))})

    outcome = claudectl("ls", "-g", "-a")

    assert fake.calls == [List(cwd=project, all_projects=True, stopped=True)]
    assert "PROJECT" in outcome.out
    assert "/proj/shop" in outcome.out


def test_ls_of_nothing_prints_nothing(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({List: SessionList(sessions=())})

    assert claudectl("ls") == (0, "", "")


def test_ls_quiet_prints_whole_ids_only(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({List: SessionList(sessions=(ACTIVE, STOPPED))})

    assert claudectl("ls", "-q") == (0, f"{API}\n{WEB}\n", "")


def test_ls_json_is_one_document_with_every_field(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({List: SessionList(sessions=(STOPPED,), notices=("n",))})

    outcome = claudectl("ls", "--json")

    document = json.loads(outcome.out)
    assert (document["schema"], document["notices"]) == (1, ["n"])
    assert document["sessions"][0]["exit"] == {
        "code": 3,
        "signal": None,
        "at": None,
        "reason": "exited",
        "by": "",
        "text": "",
    }
    assert document["sessions"][0]["pid"] is None
    assert outcome.err == ""


def test_ls_quiet_and_json_exclude_each_other(claudectl: Claudectl) -> None:
    outcome = claudectl("ls", "-q", "--json")

    assert (outcome.code, outcome.out) == (2, "")
    assert json.loads(outcome.err)["error"]["t"] == "usage"


def test_without_a_verb_sessions_are_listed_with_a_hint(
    daemon: Daemon, claudectl: Claudectl, project: str
) -> None:
    fake = daemon({List: SessionList(sessions=(ACTIVE,))})

    outcome = claudectl()

    assert fake.calls == [List(cwd=project)]
    assert outcome.code == 0
    assert "0f1e2d3c" in outcome.out
    assert outcome.err == (
        "claudectl: start a session with 'claudectl new', see all verbs with 'claudectl --help'\n"
    )


# --- one session --------------------------------------------------------------------------------------------


def test_restart_asks_and_names_the_session(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({Restart: ACTIVE})

    outcome = claudectl("restart", "api", "--force", "--grace", "0.5")

    assert fake.calls == [Restart(target=Target(text="api", cwd=project), force=True, grace_s=0.5)]
    assert outcome == (0, "restarted api  0f1e2d3c\n", "")


def test_rename_asks_and_names_the_session(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({Rename: ACTIVE})

    outcome = claudectl("rename", "-g", "0f1e", "api")

    target = Target(text="0f1e", cwd=project, all_projects=True)
    assert fake.calls == [Rename(target=target, name="api")]
    assert outcome == (0, "renamed api  0f1e2d3c\n", "")


@pytest.mark.parametrize(
    ("call", "arguments"), [(Restart, ["restart", "api"]), (Rename, ["rename", "api", "x"])]
)
def test_json_of_one_session_is_the_session(
    daemon: Daemon, claudectl: Claudectl, call: type[AnyCall], arguments: list[str]
) -> None:
    daemon({call: ACTIVE})

    document = json.loads(claudectl(*arguments, "--json").out)

    assert document["schema"] == 1
    assert document["session"]["id"] == API
    assert document["session"]["activity"]["state"] == "needs_input"


def test_show_prints_what_is_known(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({Show: DETAIL})

    outcome = claudectl("show", "api")

    created = strftime("%Y-%m-%d %H:%M:%S", (1970, 1, 1, 0, 16, 40, 0, 0, 0))
    assert fake.calls == [Show(target=Target(text="api", cwd=project))]
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "name          api",
        f"id            {API}",
        "project       /proj/shop",
        "directory     /proj/shop",
        "state         needs input: permission: Run make? (osc7501)",
        "wanted        running",
        "command       claude --model 'a b'",
        "prompt        do it",
        f"created       {created}, 17m ago",
        f"started       {created}, 17m ago",
        "pid           42",
        "size          80x24",
        "environment   HOME PATH",
        "conversation  c-1 (created)",
        "run           11111111-0000-4000-8000-000000000003",
        "record        /r (bytes 5 to 9, 1 gap)",
    ]


VIEW = ScreenView(
    session=API,
    run=RUN,
    size=Size(cols=80, rows=24),
    rows=("$ ls", "", "\x1b[31mred\x1b[0m"),
    offset=9,
    live=True,
)


def test_show_screen_prints_the_visible_rows(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({View: structs.replace(VIEW, rows=("$ ls", "", "a\x07b"))})

    outcome = claudectl("show", "api", "--screen")

    assert fake.calls == [View(target=Target(text="api", cwd=project))]
    assert outcome == (0, "$ ls\n\nab\n", "")


def test_show_screen_in_its_colours(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({View: VIEW})

    outcome = claudectl("show", "api", "--screen", "--ansi")

    assert fake.calls == [View(target=Target(text="api", cwd=project), styled=True)]
    assert outcome == (0, "$ ls\n\n\x1b[31mred\x1b[0m\n", "")


def test_show_screen_as_json_says_of_which_run_and_how_large(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({View: VIEW})

    document = json.loads(claudectl("show", "api", "--screen", "--json").out)

    assert document["screen"]["rows"] == list(VIEW.rows)
    assert (document["screen"]["size"]["cols"], document["screen"]["live"]) == (80, True)


def test_colours_without_a_screen_are_refused(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({})

    assert claudectl("show", "api", "--ansi").code == 2


def test_show_cleans_what_a_session_says_of_itself(daemon: Daemon, claudectl: Claudectl) -> None:
    shown = SessionDetail(
        info=STOPPED,
        argv=("\x1b]0;x",),
        prompt=None,
        env_names=(),
        restore=True,
        conversations=(),
        runs=(),
        size=DETAIL.size,
    )
    daemon({Show: shown})

    outcome = claudectl("show", "web")

    assert "\x1b" not in outcome.out
    assert "exit          exited with code 3\n" in outcome.out
    assert "project       none (global)\n" in outcome.out
    assert "restore       yes\n" in outcome.out


def test_show_json_has_the_session_where_other_verbs_have_it(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Show: DETAIL})

    document = json.loads(claudectl("show", "api", "--json").out)

    assert document["session"]["id"] == API
    assert document["detail"]["records"] == [
        {
            "run": "11111111-0000-4000-8000-000000000003",
            "path": "/r",
            "start": 5,
            "end": 9,
            "gaps": [[6, 1]],
            "possible_gaps": [],
        }
    ]


# --- several sessions ---------------------------------------------------------------------------------------


def _stop(call: AnyCall) -> Answer:
    assert isinstance(call, Stop)
    return STOPPED if call.target.text == "web" else NOT_FOUND


def test_stop_stops_each(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({Stop: STOPPED})

    outcome = claudectl("stop", "web", "a1b2", "--grace", "2", "--force")

    assert fake.calls == [
        Stop(target=Target(text=text, cwd=project), force=True, grace_s=2.0) for text in ("web", "a1b2")
    ]
    assert outcome == (0, "stopped web  a1b2c3d4\n" * 2, "")


def test_stop_tries_all_and_exits_with_the_first_failure(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Stop: _stop})

    assert claudectl("stop", "nope", "web") == (3, "stopped web  a1b2c3d4\n", NOT_FOUND_LINE)


def test_stop_takes_more_sessions_than_one_connection_may_ask_for_at_once(
    daemon: Daemon, claudectl: Claudectl
) -> None:
    fake = daemon({Stop: STOPPED})

    outcome = claudectl("stop", *(f"s{number}" for number in range(300)))

    assert outcome.code == 0
    assert len(fake.calls) == 300


def test_stop_json_lists_what_was_stopped_and_tells_each_failure(
    daemon: Daemon, claudectl: Claudectl
) -> None:
    daemon({Stop: _stop})

    outcome = claudectl("stop", "nope", "web", "--json")

    assert [session["name"] for session in json.loads(outcome.out)["sessions"]] == ["web"]
    assert json.loads(outcome.err) == {
        "schema": 1,
        "error": {"t": "session_not_found", "target": "nope", "scope": "/"},
        "message": "no session 'nope' in this project; see 'claudectl ls -g'",
    }


def test_stop_with_a_negative_grace_is_a_usage_error(claudectl: Claudectl) -> None:
    outcome = claudectl("stop", "web", "--grace", "-1")

    assert outcome.code == 2
    assert "see 'claudectl stop --help'" in outcome.err


def test_rm_removes_each(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    fake = daemon({Remove: lambda call: NOT_FOUND if "nope" in str(call) else Done()})

    outcome = claudectl("rm", "web", "nope", "api", "--force")

    assert fake.calls == [
        Remove(target=Target(text=text, cwd=project), force=True) for text in ("web", "nope", "api")
    ]
    assert outcome == (3, "removed web\nremoved api\n", NOT_FOUND_LINE)


def test_rm_json_lists_what_was_removed(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Remove: Done()})

    assert json.loads(claudectl("rm", "web", "--json").out) == {"schema": 1, "done": ["web"]}


# --- send ---------------------------------------------------------------------------------------------------


def test_send_types_keys_as_one_batch_under_a_fresh_key(
    daemon: Daemon, claudectl: Claudectl, project: str
) -> None:
    fake = daemon({SendKeys: Done()})

    assert claudectl("send", "api", "--keys", r"1\t<Up><Enter>") == (0, "", "")
    assert claudectl("send", "api", "--keys", "x") == (0, "", "")

    first, second = fake.calls
    assert isinstance(first, SendKeys)
    assert isinstance(second, SendKeys)
    target = Target(text="api", cwd=project)
    assert first == SendKeys(target=target, data=b"1\t\x1b[A\r", key=first.key)
    assert first.key != second.key


def test_send_without_keys_says_that_text_comes_later(claudectl: Claudectl) -> None:
    for arguments in (["send", "api", "hello"], ["send", "api"], ["send", "api", "x", "--keys", "y"]):
        outcome = claudectl(*arguments)

        assert outcome.code == 2
        assert outcome.err == (
            "claudectl: plain text cannot be sent yet, only keys: use --keys 'TEXT<Enter>'; "
            "see 'claudectl send --help'\n"
        )


def test_send_of_an_unknown_key_asks_nothing(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({SendKeys: Done()})

    outcome = claudectl("send", "api", "--keys", "<Entr>")

    assert outcome == (2, "", "claudectl: '<Entr>' in --keys is no known key; write '\\<' for a '<'\n")
    assert fake.calls == []


# --- daemon and projects ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["status"], ["daemon", "status"]])
def test_status_prints_how_the_daemon_is(daemon: Daemon, claudectl: Claudectl, verb: list[str]) -> None:
    fake = daemon({Status: STATUS})

    outcome = claudectl(*verb)

    assert fake.calls == [Status()]
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "daemon        0.1.0 (pid 10), up 17m",
        "keeper        ok (pid 9)",
        "sessions      2, 1 active",
        "projects      1",
        "socket        /run/d.sock",
        "state         /state",
        "problem       disk full",
        "orphan        r-1",
    ]


@pytest.mark.parametrize("verb", [["status"], ["daemon", "status"], ["daemon", "start"]])
def test_status_json_is_the_status(daemon: Daemon, claudectl: Claudectl, verb: list[str]) -> None:
    daemon({Status: STATUS})

    document = json.loads(claudectl(*verb, "--json").out)

    assert (document["schema"], document["daemon"]["keeper_pid"]) == (1, 9)


def test_daemon_start_of_a_running_one_says_so(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Status: STATUS})

    assert claudectl("daemon", "start") == (0, "claudectld runs (pid 10)\n", "")


@pytest.mark.parametrize(
    ("arguments", "call", "said"),
    [
        ([], Shutdown(), "stopped claudectld; sessions go on\n"),
        (["--sessions"], Shutdown(sessions=True), "stopped claudectld and all sessions\n"),
    ],
)
def test_daemon_stop_says_what_became_of_the_sessions(
    daemon: Daemon, claudectl: Claudectl, arguments: list[str], call: Shutdown, said: str
) -> None:
    fake = daemon({Shutdown: Last(Done())})

    assert claudectl("daemon", "stop", *arguments) == (0, said, "")
    assert fake.calls == [call]


def test_daemon_run_becomes_the_daemon(
    claudectl: Claudectl, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Became(Exception):
        """Takes the place of not returning."""

    def execve(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        raise Became(path, arguments, environment["CLAUDECTL_SOCKET"])

    monkeypatch.setattr("os.execve", execve)

    with pytest.raises(Became) as caught:
        claudectl("daemon", "run")

    assert caught.value.args == (
        sys.executable,
        [sys.executable, "-m", "claudectld", "run"],
        socket_path,
    )


def test_daemon_stop_of_none_is_done(claudectl: Claudectl) -> None:
    assert claudectl("daemon", "stop") == (0, "claudectld was not running\n", "")


@pytest.mark.parametrize("path", ["", "sub/../sub", "/else/where"])
def test_project_paths_are_made_absolute_here(
    daemon: Daemon, claudectl: Claudectl, project: str, path: str
) -> None:
    fake = daemon({ProjectAdd: PROJECT, ProjectRemove: Done(), ProjectShow: NOT_FOUND})
    arguments = [path] if path else []
    absolute = {"": project, "sub/../sub": os.path.join(project, "sub")}.get(path, path)

    assert claudectl("project", "add", *arguments) == (0, "added /proj/shop\n", "")
    assert claudectl("project", "rm", *arguments) == (0, f"removed {absolute}\n", "")
    claudectl("project", "show", *arguments)

    assert fake.calls == [
        ProjectAdd(path=absolute),
        ProjectRemove(path=absolute),
        ProjectShow(path=absolute),
    ]


def test_project_ls_lists_projects_and_what_is_wrong_with_them(daemon: Daemon, claudectl: Claudectl) -> None:
    fake = daemon({ProjectListing: ProjectList(projects=(PROJECT, LOST_PROJECT))})

    outcome = claudectl("project", "ls")

    assert fake.calls == [ProjectListing()]
    assert outcome == (
        0,
        "SESSIONS  ACTIVE  PATH\n"
        "2         1       /proj/shop\n"
        "10        0       /gone (missing, not mounted)\n",
        "",
    )


def test_project_show_prints_the_project_and_its_sessions(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({ProjectShow: ProjectDetail(project=PROJECT, sessions=(ACTIVE,))})

    outcome = claudectl("project", "show")

    assert outcome.out.splitlines()[0] == "/proj/shop"
    assert "0f1e2d3c" in outcome.out


def test_project_documents(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    daemon(
        {
            ProjectListing: ProjectList(projects=(PROJECT,)),
            ProjectShow: ProjectDetail(project=PROJECT, sessions=(ACTIVE,)),
            ProjectAdd: PROJECT,
            ProjectRemove: Done(),
        }
    )
    shown = {
        "path": "/proj/shop",
        "sessions": 2,
        "active": 1,
        "available": True,
        "writable": True,
        "problem": "",
    }

    assert json.loads(claudectl("project", "ls", "--json").out) == {"schema": 1, "projects": [shown]}
    assert json.loads(claudectl("project", "add", "--json").out) == {
        "schema": 1,
        "project": shown,
        "sessions": None,
    }
    assert json.loads(claudectl("project", "show", "--json").out)["sessions"][0]["id"] == API
    assert json.loads(claudectl("project", "rm", "--json").out) == {"schema": 1, "done": [project]}


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", FAULTS, ids=lambda sample: type(sample.fault).__name__)
def test_a_refusal_ends_with_its_sentence_and_code(
    daemon: Daemon, claudectl: Claudectl, sample: FaultSample
) -> None:
    daemon({Status: sample.fault})

    assert claudectl("status") == (sample.code, "", f"claudectl: {sample.sentence}\n")


@pytest.mark.parametrize("sample", FAULTS, ids=lambda sample: type(sample.fault).__name__)
def test_a_refusal_is_a_document_with_json(daemon: Daemon, claudectl: Claudectl, sample: FaultSample) -> None:
    daemon({Status: sample.fault})

    outcome = claudectl("status", "--json")

    document = json.loads(outcome.err)
    assert (outcome.code, outcome.out) == (sample.code, "")
    assert document["error"]["t"] == sample.fault.__struct_config__.tag
    assert document["message"] == sample.sentence


@pytest.mark.parametrize(
    "verb", ["ls", "status", "show x", "stop x", "logs x", "project ls", "daemon status"]
)
def test_without_a_daemon_the_socket_is_named(claudectl: Claudectl, socket_path: str, verb: str) -> None:
    sentence = f"no daemon answers at {socket_path}; start one with 'claudectl daemon start'"

    assert claudectl(*verb.split()) == (69, "", f"claudectl: {sentence}\n")


def test_a_connection_that_breaks_is_told(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Status: Vanish()})

    assert claudectl("status") == (69, "", "claudectl: the connection to the daemon was lost\n")


def test_a_deleted_working_directory_is_told(daemon: Daemon, claudectl: Claudectl, project: str) -> None:
    daemon({})
    os.rmdir(project)

    assert claudectl("ls") == (
        2,
        "",
        "claudectl: the current directory does not exist any more; cd to another one\n",
    )


def test_an_argument_that_is_no_utf8_is_refused(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Show: DETAIL})

    outcome = claudectl("show", "\udcff")

    assert outcome.code == 2
    assert outcome.err.startswith("claudectl: an argument cannot be sent: ")
