"""One of each fault with its exit code and its sentence, and the sessions that the tests show."""

from typing import NamedTuple

from claudectl.exit_codes import ExitCode
from claudectl_protocol import faults
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
    Wanted,
)

API = SessionId("0f1e2d3c-0000-4000-8000-000000000001")
WEB = SessionId("a1b2c3d4-0000-4000-8000-000000000002")
RUN = RunId("11111111-0000-4000-8000-000000000003")


class FaultSample(NamedTuple):
    """A fault, and how a command that was refused with it ends."""

    fault: AnyFault
    code: ExitCode
    sentence: str


RESTART = "'claudectl daemon restart' (sessions go on)"

FAULTS = [
    FaultSample(
        faults.InvalidArgument(what="--grace", why="is negative"), ExitCode.USAGE, "--grace is negative"
    ),
    FaultSample(
        faults.BadName(name="a/b", why="holds '/'"),
        ExitCode.USAGE,
        "'a/b' cannot be a session's name: it holds '/'",
    ),
    FaultSample(
        faults.ForbiddenArgument(argument="--resume", why="claudectl resumes by itself"),
        ExitCode.USAGE,
        "'--resume' is not passed on to Claude Code: claudectl resumes by itself; leave it out",
    ),
    FaultSample(
        faults.SessionNotFound(target="api", scope="/work"),
        ExitCode.NOT_FOUND,
        "no session 'api' in this project; see 'claudectl ls -g'",
    ),
    FaultSample(
        faults.SessionNotFound(target="api", scope="all"),
        ExitCode.NOT_FOUND,
        "no session 'api' in any project; see 'claudectl ls -g -a'",
    ),
    FaultSample(
        faults.SessionAmbiguous(
            target="a",
            candidates=(
                Candidate(id=API, name="api", project="/work"),
                Candidate(id=WEB, name="art", project=None),
            ),
        ),
        ExitCode.NOT_FOUND,
        "'a' could be 0f1e2d3c (api in /work), a1b2c3d4 (art); give more of the id",
    ),
    FaultSample(
        faults.ProjectNotFound(path="/x"),
        ExitCode.NOT_FOUND,
        "no project at '/x'; see 'claudectl project ls', or 'claudectl project add'",
    ),
    FaultSample(
        faults.ProjectBusy(path="/x", active=1),
        ExitCode.REFUSED,
        "project '/x' has a live session; end them with 'claudectl stop' first",
    ),
    FaultSample(
        faults.ProjectBusy(path="/x", active=3),
        ExitCode.REFUSED,
        "project '/x' has 3 live sessions; end them with 'claudectl stop' first",
    ),
    FaultSample(
        faults.NameTaken(name="api", session=API),
        ExitCode.REFUSED,
        "session 0f1e2d3c is already called 'api' here; choose another name",
    ),
    FaultSample(
        faults.ProcessAlreadyRunning(session=API, name="api"),
        ExitCode.REFUSED,
        "session 'api' runs; stop it first, with 'claudectl stop 0f1e2d3c'",
    ),
    FaultSample(
        faults.ProcessAlreadyRunning(session=API, name="api", pid=7),
        ExitCode.REFUSED,
        "session 'api' is already open in process 7; end that process first",
    ),
    FaultSample(
        faults.NotRunning(session=API, name="api"),
        ExitCode.REFUSED,
        "session 'api' is not running; start it with 'claudectl restart 0f1e2d3c'",
    ),
    FaultSample(
        faults.ClaudeCodeNotFound(searched=("/usr/bin", "~/.local/bin")),
        ExitCode.PROGRAM_NOT_FOUND,
        "Claude Code was not found in /usr/bin, ~/.local/bin; "
        "install it with 'npm install -g @anthropic-ai/claude-code', or put 'claude' on PATH",
    ),
    FaultSample(
        faults.ProgramNotFound(program="fo", searched=()),
        ExitCode.PROGRAM_NOT_FOUND,
        "program 'fo' was not found in any known place; give its path after '--'",
    ),
    FaultSample(
        faults.ProgramNotFound(program="./fo", searched=(), executable=False),
        ExitCode.PROGRAM_NOT_FOUND,
        "'./fo' may not be executed; make it executable, or name another program",
    ),
    FaultSample(
        faults.SpawnError(stage="chdir", error="ENOENT", path="/gone", detail="no such directory"),
        ExitCode.SPAWN_FAILED,
        "the session could not be started: chdir '/gone' failed with ENOENT (no such directory)",
    ),
    FaultSample(
        faults.SpawnError(stage="fork", error="EAGAIN"),
        ExitCode.SPAWN_FAILED,
        "the session could not be started: fork failed with EAGAIN",
    ),
    FaultSample(
        faults.ProjectUnwritable(path="/usr", error="EACCES"),
        ExitCode.REFUSED,
        "'/usr' cannot hold .claudectl (EACCES); "
        "use another directory with -C, or --global for a session of no project",
    ),
    FaultSample(
        faults.StoreReadOnly(path="/p", why="newer_schema", detail="schema 3"),
        ExitCode.REFUSED,
        "'/p' may not be changed: it was written by a newer claudectl; upgrade this one (schema 3)",
    ),
    FaultSample(
        faults.StoreReadOnly(path="/p", why="moonlight"),
        ExitCode.REFUSED,
        "'/p' may not be changed: moonlight",
    ),
    FaultSample(
        faults.StoreFailed(path="/p", error="ENOSPC"),
        ExitCode.FAILED,
        "'/p' could not be written (ENOSPC); nothing was changed",
    ),
    FaultSample(
        faults.KeeperUnavailable(why="stalled"),
        ExitCode.FAILED,
        "the keeper does not answer (stalled); sessions live on, see 'claudectl status'",
    ),
    FaultSample(
        faults.OldRunAlive(session=API, pids=(4, 5)),
        ExitCode.REFUSED,
        "session 0f1e2d3c was not started again: processes 4, 5 of its earlier run could not be ended; "
        "end them and try again",
    ),
    FaultSample(
        faults.Unsupported(call="wait"),
        ExitCode.INTERNAL,
        f"the daemon is too old to know 'wait'; replace it with {RESTART}",
    ),
    FaultSample(
        faults.BadRequest(why="too large"),
        ExitCode.INTERNAL,
        f"the daemon did not understand the request (too large); replace it with {RESTART}",
    ),
    FaultSample(
        faults.Denied(why="a session may not stop others"),
        ExitCode.REFUSED,
        "that is not allowed: a session may not stop others",
    ),
    FaultSample(
        faults.TimedOut(what="stopping 'api'", timeout_s=30.0),
        ExitCode.TIMED_OUT,
        "stopping 'api' took longer than 30 s and may still happen; see 'claudectl ls'",
    ),
    FaultSample(
        faults.ShuttingDown(),
        ExitCode.UNREACHABLE,
        "the daemon is just leaving; sessions go on, try again in a moment",
    ),
    FaultSample(
        faults.Internal(ticket="4711"),
        ExitCode.INTERNAL,
        "the daemon has a defect; its log has more under '4711'",
    ),
]

ACTIVE = SessionInfo(
    id=API,
    name="api",
    project="/proj/shop",
    cwd="/proj/shop",
    program="claude",
    lifecycle=Lifecycle.ACTIVE,
    wanted=Wanted.RUNNING,
    created_at=1000.0,
    activity=Activity(state=ActivityState.NEEDS_INPUT, kind="permission", text="Run make?", source="osc7501"),
    pid=42,
    run=RUN,
    started_at=1000.0,
)
STOPPED = SessionInfo(
    id=WEB,
    name="web",
    project=None,
    cwd="/",
    program="top",
    lifecycle=Lifecycle.STOPPED,
    wanted=Wanted.STOPPED,
    created_at=1000.0,
    ended_at=2000.0,
    exit=Exit(code=3),
)
DETAIL = SessionDetail(
    info=ACTIVE,
    argv=("--model", "a b"),
    prompt="do it",
    env_names=("HOME", "PATH"),
    restore=False,
    conversations=(ConversationEntry(id=ConversationId("c-1"), since=0.0, reason="created"),),
    runs=(RUN,),
    size=Size(cols=80, rows=24),
    records=(RecordInfo(run=RUN, path="/r", start=5, end=9, gaps=((6, 1),)),),
)
STATUS = DaemonStatus(
    version="0.1.0",
    pid=10,
    started_at=1000.0,
    socket="/run/d.sock",
    state_directory="/state",
    keeper="ok",
    keeper_pid=9,
    sessions=2,
    active=1,
    projects=1,
    problems=("disk full",),
    orphans=("r-1",),
)
PROJECT = ProjectInfo(path="/proj/shop", sessions=2, active=1)
LOST_PROJECT = ProjectInfo(path="/gone", sessions=10, active=0, available=False, problem="not mounted")
