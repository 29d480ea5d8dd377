"""The client's English for what went wrong: one sentence for each fault."""

from collections.abc import Iterable
from typing import assert_never

from claudectl_protocol import faults
from claudectl_protocol.framing import VersionMismatch
from claudectl_protocol.text import plain

RESTART = "'claudectl daemon restart' (sessions go on)"
_READ_ONLY = {
    "newer_schema": "it was written by a newer claudectl; upgrade this one",
    "copy": "it is a copy of another project; its sessions belong there",
    "read_only": "it is read-only; give yourself permission to write there",
    "not_trusted": "it would run commands and is not trusted yet",
}


def explain(fault: faults.AnyFault) -> str:
    """One sentence: what happened, to what, what to do. Free of control characters."""
    match fault:
        case faults.InvalidArgument(what=what, why=why):
            return f"{plain(what)} {plain(why)}"
        case faults.BadName(name=name, why=why):
            return f"{_quoted(name)} cannot be a session's name: it {plain(why)}"
        case faults.ForbiddenArgument(argument=argument, why=why):
            return f"{_quoted(argument)} is not passed on to Claude Code: {plain(why)}; leave it out"
        case faults.SessionNotFound(target=target, scope="all"):
            return f"no session {_quoted(target)} in any project; see 'claudectl ls -g -a'"
        case faults.SessionNotFound(target=target):
            return f"no session {_quoted(target)} in this project; see 'claudectl ls -g'"
        case faults.SessionAmbiguous(target=target, candidates=candidates):
            return f"{_quoted(target)} could be {_listed(candidates)}; give more of the id"
        case faults.ProjectNotFound(path=path):
            return f"no project at {_quoted(path)}; see 'claudectl project ls', or 'claudectl project add'"
        case faults.ProjectBusy(path=path, active=active):
            live = "a live session" if active == 1 else f"{active} live sessions"
            return f"project {_quoted(path)} has {live}; end them with 'claudectl stop' first"
        case faults.NameTaken(name=name, session=session):
            return f"session {_id(session)} is already called {_quoted(name)} here; choose another name"
        case faults.ProcessAlreadyRunning(session=session, name=name, pid=None):
            return f"session {_quoted(name)} runs; stop it first, with 'claudectl stop {_id(session)}'"
        case faults.ProcessAlreadyRunning(name=name, pid=pid):
            return f"session {_quoted(name)} is already open in process {pid}; end that process first"
        case faults.NotRunning(session=session, name=name):
            return f"session {_quoted(name)} is not running; start it with 'claudectl restart {_id(session)}'"
        case faults.ClaudeCodeNotFound(searched=searched):
            return (
                f"Claude Code was not found in {_places(searched)}; "
                "install it with 'npm install -g @anthropic-ai/claude-code', or put 'claude' on PATH"
            )
        case faults.ProgramNotFound(program=program, executable=False):
            return f"{_quoted(program)} may not be executed; make it executable, or name another program"
        case faults.ProgramNotFound(program=program, searched=searched):
            return (
                f"program {_quoted(program)} was not found in {_places(searched)}; give its path after '--'"
            )
        case faults.SpawnError(stage=stage, error=error, path=path, detail=detail):
            concerned = f" {_quoted(path)}" if path else ""
            return (
                f"the session could not be started: {plain(stage)}{concerned} failed with {plain(error)}"
                f"{_bracketed(detail)}"
            )
        case faults.ProjectUnwritable(path=path, error=error):
            return (
                f"{_quoted(path)} cannot hold .claudectl ({plain(error)}); "
                "use another directory with -C, or --global for a session of no project"
            )
        case faults.StoreReadOnly(path=path, why=why, detail=detail):
            return (
                f"{_quoted(path)} may not be changed: {_READ_ONLY.get(why) or plain(why)}{_bracketed(detail)}"
            )
        case faults.StoreFailed(path=path, error=error):
            return f"{_quoted(path)} could not be written ({plain(error)}); nothing was changed"
        case faults.KeeperUnavailable(why=why):
            return f"the keeper does not answer ({plain(why)}); sessions live on, see 'claudectl status'"
        case faults.OldRunAlive(session=session, pids=pids):
            processes = f"{'process' if len(pids) == 1 else 'processes'} {', '.join(map(str, pids))}"
            return (
                f"session {_id(session)} was not started again: {processes} of its earlier run "
                "could not be ended; end them and try again"
            )
        case faults.Unsupported(call=call):
            return f"the daemon is too old to know {_quoted(call)}; replace it with {RESTART}"
        case faults.BadRequest(why=why):
            return f"the daemon did not understand the request ({plain(why)}); replace it with {RESTART}"
        case faults.Denied(why=why):
            return f"that is not allowed: {plain(why)}"
        case faults.TimedOut(what=what, timeout_s=timeout_s):
            return f"{plain(what)} took longer than {timeout_s:g} s and may still happen; see 'claudectl ls'"
        case faults.ShuttingDown():
            return "the daemon is just leaving; sessions go on, try again in a moment"
        case faults.Internal(ticket=ticket):
            return f"the daemon has a defect; its log has more under {_quoted(ticket)}"
        case _:
            assert_never(fault)


def explain_mismatch(mismatch: VersionMismatch) -> str:
    """One sentence: which side is older, and what to run."""
    versions = f"the client speaks protocol {_version(mismatch.ours)}, the daemon {_version(mismatch.theirs)}"
    if mismatch.peer_is_older:
        return f"the daemon is older than this claudectl ({versions}); replace it with {RESTART}"
    return (
        f"this claudectl is older than the daemon ({versions}); run the newer claudectl, or upgrade this one"
    )


def _version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _quoted(text: str) -> str:
    return f"'{plain(text)}'"


def _id(session: str) -> str:
    return plain(session)[:8]


def _bracketed(text: str) -> str:
    return f" ({plain(text)})" if text else ""


def _places(searched: tuple[str, ...]) -> str:
    return ", ".join(map(plain, searched)) or "any known place"


def _listed(candidates: Iterable[faults.Candidate]) -> str:
    return ", ".join(f"{_id(one.id)} ({_place(one)})" for one in candidates)


def _place(candidate: faults.Candidate) -> str:
    name = plain(candidate.name)
    return name if candidate.project is None else f"{name} in {plain(candidate.project)}"
