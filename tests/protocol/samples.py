"""One value of every struct that crosses the wire, every field set to something but its default."""

from claudectl_protocol import calls, faults
from claudectl_protocol.calls import AnyCall, Target
from claudectl_protocol.diagnosis import ClaudeFacts, Diagnosis
from claudectl_protocol.faults import AnyFault, Candidate
from claudectl_protocol.sessions import (
    Activity,
    ActivityState,
    ConversationEntry,
    ConversationId,
    DaemonStatus,
    Exit,
    Lifecycle,
    ProjectInfo,
    RecordInfo,
    RunId,
    SessionDetail,
    SessionId,
    SessionInfo,
    Size,
    Value,
    Wanted,
)
from claudectl_protocol.stream import End, EndReason

SESSION = SessionId("0b5ce5a1-7f3c-4a52-9d8e-3f1c2b4a5d6e")
OTHER = SessionId("1c6df6b2-804d-4b63-8e9f-4a2d3c5b6e7f")
RUN = RunId("5e9a1c3d-2b4f-4c6d-8e7f-9a0b1c2d3e4f")
CONVERSATION = ConversationId("9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a")
PROJECT = "/home/ada/api"
SIZE = Size(cols=120, rows=40, xpixel=1440, ypixel=900)
TARGET = Target(text="api", cwd=PROJECT, all_projects=True)

EXIT = Exit(code=143, signal=15, at=1700000300.5, reason="signalled", by="user", text="terminated")
ACTIVITY = Activity(
    state=ActivityState.NEEDS_INPUT,
    kind="permission",
    text="Bash: make test",
    source="osc7501",
    since=1700000200.25,
)
INFO = SessionInfo(
    id=SESSION,
    name="api",
    project=PROJECT,
    cwd="/home/ada/api/src",
    program="claude",
    lifecycle=Lifecycle.ACTIVE,
    wanted=Wanted.RUNNING,
    created_at=1700000000.0,
    activity=ACTIVITY,
    since=1700000100.0,
    pid=4242,
    run=RUN,
    started_at=1700000099.5,
    ended_at=1700000098.0,
    exit=EXIT,
    conversation=CONVERSATION,
    problem="the project file is read-only",
)
PROJECT_INFO = ProjectInfo(
    path=PROJECT, sessions=2, active=1, available=False, writable=False, problem="a copy of /home/ada/old"
)

CALLS: tuple[AnyCall, ...] = (
    calls.New(
        key=SESSION,
        cwd=PROJECT,
        prompt="make the tests pass",
        name="api",
        program="/usr/bin/top",
        args=("-d", "1"),
        no_project=True,
        restore=True,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        raw_env={b"ODD\xff": b"\xfe"},
        umask=0o022,
        rlimits={7: (1024, 4096), 4: (0, -1)},
        groups=(100, 1000),
        size=SIZE,
        via_npx=True,
    ),
    calls.List(cwd=PROJECT, all_projects=True, stopped=True),
    calls.Table(cwd=PROJECT, all_projects=True, stopped=True, ids=True, width=80, colour=True),
    calls.Show(target=TARGET),
    calls.Stop(target=TARGET, force=True, grace_s=2.5),
    calls.Restart(target=TARGET, force=True, grace_s=2.5),
    calls.Rename(target=TARGET, name="backend"),
    calls.Remove(target=TARGET, force=True),
    calls.SendKeys(target=TARGET, data=b"yes\r\x00\xff", key="3a1f"),
    calls.Status(),
    calls.ProjectAdd(path=PROJECT),
    calls.ProjectRemove(path=PROJECT),
    calls.ProjectListing(),
    calls.ProjectShow(path=PROJECT),
    calls.Diagnose(cwd=PROJECT, env={"PATH": "/usr/bin:/bin"}),
    calls.Shutdown(sessions=True),
    calls.UpgradeKeeper(),
    calls.View(target=TARGET, run=RUN, styled=True),
    calls.Attach(target=TARGET, size=SIZE, read_only=True, run=RUN, offset=5_000_000_000, history=1000),
    calls.Logs(target=TARGET, run=RUN, offset=5_000_000_000, tail_bytes=4096, follow=True, rendered=True),
)

REPLIES: tuple[Value, ...] = (
    calls.Done(),
    calls.KeeperUpgrade(state=calls.UpgradeState.REFUSED, why="the keeper was told to leave"),
    INFO,
    calls.SessionList(sessions=(INFO,), notices=("sessions.json was damaged; its backup was loaded",)),
    calls.TableText(text="○ idle  api\n", notices=("sessions.json was damaged; its backup was loaded",)),
    SessionDetail(
        info=INFO,
        argv=("/usr/bin/claude", "--resume", CONVERSATION),
        prompt="make the tests pass",
        env_names=("PATH", "LANG"),
        restore=True,
        conversations=(ConversationEntry(id=CONVERSATION, since=1700000100.0, reason="created"),),
        runs=(RUN,),
        size=SIZE,
        records=(
            RecordInfo(
                run=RUN,
                path="/home/ada/.local/state/claudectl/records/s/r",
                start=4194304,
                end=5_000_000_000,
                gaps=((4200000, 512),),
                possible_gaps=((4300000, 65536),),
            ),
        ),
        boot_id="c0ffee00-0000-4000-8000-000000000001",
        start_ticks=123456,
    ),
    DaemonStatus(
        version="0.1.0",
        pid=4200,
        started_at=1700000000.0,
        socket="/run/user/1000/claudectl/2e56aa36/daemon.sock",
        state_directory="/home/ada/.local/state/claudectl",
        keeper="ok",
        keeper_pid=4100,
        sessions=2,
        active=1,
        projects=1,
        problems=("a disk is full",),
        orphans=(RUN,),
    ),
    Diagnosis(
        claude=ClaudeFacts(
            path="/home/ada/.local/bin/claude",
            searched=("/usr/bin/claude",),
            version="2.1.330",
            problem="left with 1",
            logins=("ANTHROPIC_API_KEY",),
        ),
        config_problem="/home/ada/.config/claudectl/claudectld.toml is not used: invalid",
        keeper_code="0123456789abcdef",
        files_open=17,
        files_soft=1024,
        projects=(PROJECT,),
        store_problems=("/home/ada/old is missing",),
    ),
    PROJECT_INFO,
    calls.ProjectList(projects=(PROJECT_INFO,)),
    calls.ProjectDetail(project=PROJECT_INFO, sessions=(INFO,)),
    calls.Attached(
        session=SESSION,
        name="api",
        run=RUN,
        offset=5_000_000_000,
        size=SIZE,
        resumed=True,
        suspend_key=False,
    ),
    calls.ScreenView(
        session=SESSION, run=RUN, size=SIZE, rows=("$ make test", "", "ok"), offset=5_000_000_000, live=True
    ),
    calls.LogsStarted(session=SESSION, run=RUN, start=4194304, end=5_000_000_000, rendered=True),
)

FAULTS: tuple[AnyFault, ...] = (
    faults.InvalidArgument(what="--size", why="has no rows"),
    faults.BadName(name="a/b", why="holds '/'"),
    faults.ForbiddenArgument(argument="--resume", why="claudectl resumes by itself"),
    faults.SessionNotFound(target="api", scope=PROJECT),
    faults.SessionAmbiguous(
        target="a",
        candidates=(
            Candidate(id=SESSION, name="api", project=PROJECT),
            Candidate(id=OTHER, name="auth", project=None),
        ),
    ),
    faults.ProjectNotFound(path=PROJECT),
    faults.ProjectBusy(path=PROJECT, active=3),
    faults.NameTaken(name="api", session=OTHER),
    faults.ProcessAlreadyRunning(session=SESSION, name="api", pid=4242),
    faults.NotRunning(session=SESSION, name="api"),
    faults.ClaudeCodeNotFound(searched=("/usr/bin", "/home/ada/.local/bin")),
    faults.ProgramNotFound(program="topp", searched=("/usr/bin",), executable=False),
    faults.SpawnError(stage="exec", error="ENOEXEC", path="/home/ada/x", detail="no shebang"),
    faults.ProjectUnwritable(path="/srv/read-only", error="EROFS"),
    faults.StoreReadOnly(path=PROJECT, why="newer_schema", detail="schema 9"),
    faults.StoreFailed(path=PROJECT, error="ENOSPC"),
    faults.KeeperUnavailable(why="does not answer"),
    faults.OldRunAlive(session=SESSION, pids=(4242, 4243)),
    faults.Unsupported(call="hibernate"),
    faults.BadRequest(why="Object missing required field `cwd`"),
    faults.Denied(why="the caller runs inside a session"),
    faults.TimedOut(what="stop", timeout_s=5.0),
    faults.ShuttingDown(),
    faults.Internal(ticket="7f3a9c"),
)

END = End(reason=EndReason.EXITED, exit=EXIT)
