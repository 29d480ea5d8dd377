"""What verbs print for people about sessions, projects and the daemon; scripts use documents.py."""

from collections.abc import Iterable, Sequence
from time import localtime, strftime

from claudectl.documents import ServiceDocument, UpgradeDocument
from claudectl_protocol.calls import UpgradeState
from claudectl_protocol.sessions import (
    ConversationEntry,
    DaemonStatus,
    Exit,
    ProjectInfo,
    RecordInfo,
    SessionDetail,
    SessionInfo,
)
from claudectl_protocol.text import ID_DIGITS, age, detail, look, plain, state_since


def session_line(session: SessionInfo) -> str:
    """A session's name and id, as after `new`."""
    return f"{plain(session.name)}  {session.id[:ID_DIGITS]}"


def session_report(shown: SessionDetail, now: float) -> str:
    """Everything about one session, in lines; `now` is seconds since the epoch."""
    session = shown.info
    rows = [
        ("name", session.name),
        ("id", session.id),
        ("project", session.project or "none (global)"),
        ("directory", session.cwd),
        ("state", _state(session, now)),
        ("wanted", session.wanted.value),
        ("command", _words((session.program, *shown.argv))),
        ("prompt", shown.prompt or ""),
        ("created", _when(session.created_at, now)),
        ("started", _when(session.started_at, now)),
        ("ended", _when(session.ended_at, now)),
        ("exit", "" if session.exit is None else exit_text(session.exit)),
        ("pid", "" if session.pid is None else str(session.pid)),
        ("size", f"{shown.size.cols}x{shown.size.rows}"),
        ("restore", "yes" if shown.restore else ""),
        ("environment", " ".join(shown.env_names)),
        *(("conversation", _conversation(one, now)) for one in shown.conversations),
        *(("run", run) for run in shown.runs),
        *(("record", _record(record)) for record in shown.records),
    ]
    return _aligned(rows)


def daemon_report(status: DaemonStatus, now: float) -> str:
    """How the daemon is, in lines."""
    keeper = status.keeper if status.keeper_pid is None else f"{status.keeper} (pid {status.keeper_pid})"
    rows = [
        ("daemon", f"{status.version} (pid {status.pid}), up {age(now - status.started_at)}"),
        ("keeper", keeper),
        ("sessions", f"{status.sessions}, {status.active} active"),
        ("projects", str(status.projects)),
        ("socket", status.socket),
        ("state", status.state_directory),
        *(("problem", problem) for problem in status.problems),
        *(("orphan", run) for run in status.orphans),
    ]
    return _aligned(rows)


def upgrade_report(done: UpgradeDocument) -> str:
    """What `daemon upgrade` has done, in lines."""
    keeper = f"the keeper (pid {done.daemon.keeper_pid})"
    match done.keeper.state:
        case UpgradeState.UPGRADED if done.keeper.why:
            about = f"upgraded {keeper}: {plain(done.keeper.why)}"
        case UpgradeState.UPGRADED:
            about = f"upgraded {keeper} in place"
        case UpgradeState.CURRENT:
            about = f"{keeper} is current"
        case UpgradeState.REFUSED:
            about = f"{keeper} goes on in older code: {plain(done.keeper.why)}"
    daemon = f"claudectld {done.daemon.version} serves (pid {done.daemon.pid})"
    return f"{daemon}\n{about}\nno session was touched\n"


def service_report(installed: ServiceDocument) -> str:
    """What `daemon install` has done, in lines."""
    assert installed.daemon is not None
    lines = [f"installed {plain(path)}" for path in installed.files]
    lines.append(f"claudectld runs (pid {installed.daemon.pid})")
    if not installed.keeper_in_service:
        keeper = f"the keeper (pid {installed.daemon.keeper_pid})"
        lines.append(f"{keeper} goes on as it was started; it comes into its service when it starts next")
    match installed.lingering:
        case True:
            lines.append("lingering is on: it starts at boot, and outlives your last logout")
        case False:
            lines.append(
                "lingering is off: it starts with your first login, and your last logout ends it and all sessions; "
                "'loginctl enable-linger' has it start at boot and outlive logouts"
            )
        case None:
            lines.append("it starts when you log in")
    return "".join(f"{line}\n" for line in lines)


def project_table(projects: Sequence[ProjectInfo]) -> str:
    """All projects, one line each under a heading; nothing for none."""
    if not projects:
        return ""
    rows = [("SESSIONS", "ACTIVE", "PATH"), *(_project_cells(one) for one in projects)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}\n" for row in rows)


def project_line(project: ProjectInfo) -> str:
    """A project's path and what is wrong with it."""
    return _project_cells(project)[2]


def exit_text(ending: Exit) -> str:
    """How a run ended, completing 'it …'."""
    by = f" by {plain(ending.by)}" if ending.by else ""
    if ending.signal is not None:
        return f"was ended by signal {ending.signal}{by}"
    if ending.code is not None:
        return f"exited with code {ending.code}{by}"
    return f"ended{by}; its exit status is not known"


def _state(session: SessionInfo, now: float) -> str:
    since = state_since(session)
    source = session.activity.source if session.activity is not None else ""
    facts = ", ".join(part for part in (source, age(now - since) if since else "") if part)
    said = detail(session)
    return f"{look(session).word}{f': {said}' if said else ''}{f' ({facts})' if facts else ''}"


def _record(record: RecordInfo) -> str:
    extent = f"bytes {record.start} to {record.end}"
    gaps = _counted(len(record.gaps), "gap")
    possible = _counted(len(record.possible_gaps), "possible gap")
    return f"{record.path} ({', '.join(part for part in (extent, gaps, possible) if part)})"


def _conversation(entry: ConversationEntry, now: float) -> str:
    return f"{entry.id} ({', '.join(part for part in (entry.reason, _when(entry.since, now)) if part)})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}" if number else ""


def _project_cells(project: ProjectInfo) -> tuple[str, str, str]:
    faults = [
        "" if project.available else "missing",
        "" if project.writable else "read-only",
        project.problem,
    ]
    said = ", ".join(plain(fault) for fault in faults if fault)
    return str(project.sessions), str(project.active), f"{plain(project.path)}{f' ({said})' if said else ''}"


def _words(argv: Iterable[str]) -> str:
    return " ".join(repr(word) if not word or any(map(str.isspace, word)) else word for word in argv)


def _when(at: float | None, now: float) -> str:
    return "" if not at else f"{strftime('%Y-%m-%d %H:%M:%S', localtime(at))}, {age(now - at)} ago"


def _aligned(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{label:<12}  {plain(text)}\n" for label, text in rows if text)
