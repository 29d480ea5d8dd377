"""What `--json` prints: one document with a schema number, every field present."""

from typing import TypeVar

import msgspec

from claudectl_protocol.calls import KeeperUpgrade, ProjectDetail, ScreenView, SessionList
from claudectl_protocol.faults import AnyFault
from claudectl_protocol.sessions import DaemonStatus, ProjectInfo, SessionDetail, SessionInfo

SCHEMA = 1
"""Grows when a field changes its meaning or goes; new fields do not count."""

T = TypeVar("T")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every document."""

    schema: int = SCHEMA


class SessionDocument(Document, frozen=True, kw_only=True):
    """One session, after new, restart and rename."""

    session: SessionInfo


class SessionsDocument(Document, frozen=True, kw_only=True):
    """Several sessions, after ls and stop, with what the reader should be told."""

    sessions: tuple[SessionInfo, ...]
    notices: tuple[str, ...] = ()


class DetailDocument(Document, frozen=True, kw_only=True):
    """Everything about one session; `detail` lacks nothing that `session` has."""

    session: SessionInfo
    detail: SessionDetail


class ScreenDocument(Document, frozen=True, kw_only=True):
    """What a session's terminal shows."""

    screen: ScreenView


class TargetsDocument(Document, frozen=True, kw_only=True):
    """The targets that something was done to, as they were given."""

    done: tuple[str, ...]


class DaemonDocument(Document, frozen=True, kw_only=True):
    """The daemon, or null when none runs."""

    daemon: DaemonStatus | None


class UpgradeDocument(Document, frozen=True, kw_only=True):
    """The daemon that serves after an upgrade, and what it has done about the keeper."""

    daemon: DaemonStatus
    keeper: KeeperUpgrade


class ServiceDocument(Document, frozen=True, kw_only=True):
    """The daemon's service: no files when it is not installed. `lingering` is null where there is no such choice."""

    files: tuple[str, ...] = ()
    daemon: DaemonStatus | None = None
    keeper_in_service: bool = False
    """False for a keeper that ran before; it comes into the service when it starts next."""
    lingering: bool | None = None


class LogText(msgspec.Struct, frozen=True, kw_only=True):
    """The last lines of one log."""

    path: str
    lines: tuple[str, ...]


class LogsDocument(Document, frozen=True, kw_only=True):
    """The daemon's own log, and the keeper's if that was asked for."""

    logs: tuple[LogText, ...]


class ProjectsDocument(Document, frozen=True, kw_only=True):
    """All known projects."""

    projects: tuple[ProjectInfo, ...]


class ProjectDocument(Document, frozen=True, kw_only=True):
    """One project; `sessions` is null where it was not asked for."""

    project: ProjectInfo
    sessions: tuple[SessionInfo, ...] | None = None


class SettingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as it holds; `origin` is file or default, `line` where in the file."""

    key: str
    value: str | int | float | bool
    default: str | int | float | bool
    origin: str
    line: int | None


class ConfigDocument(Document, frozen=True, kw_only=True):
    """Settings, after config show (all) and config set (the one)."""

    path: str
    settings: tuple[SettingInfo, ...]


class SettingProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong in the file; `line` and `column` count from 1, null where they cannot be told."""

    why: str
    line: int | None
    column: int | None


class ConfigCheckDocument(Document, frozen=True, kw_only=True):
    """What is wrong with the file; nothing of it is used unless this is empty."""

    path: str
    problems: tuple[SettingProblem, ...]


class ConfigPathDocument(Document, frozen=True, kw_only=True):
    """Where the file is or would be."""

    path: str
    exists: bool


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """An error that is no fault of the daemon's; `t` is usage, daemon_unreachable, protocol or service."""

    t: str
    why: str


class ErrorDocument(Document, frozen=True, kw_only=True):
    """Why a command did not do what it was asked, on stderr."""

    error: AnyFault | Trouble
    message: str


def listing(reply: SessionList) -> SessionsDocument:
    """The document of `ls`."""
    return SessionsDocument(sessions=reply.sessions, notices=reply.notices)


def project(detail: ProjectDetail) -> ProjectDocument:
    """The document of `project show`."""
    return ProjectDocument(project=detail.project, sessions=detail.sessions)


def json_text(document: Document) -> str:
    """The document on one line, without its newline.

    The wire leaves defaults out; a script should find every field, so that null means null.
    """
    return msgspec.json.encode(_complete(document)).decode()


def _complete(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field is not None else {}
        return {**tag, **{name: _complete(getattr(value, name)) for name in value.__struct_fields__}}
    if isinstance(value, tuple):
        return [_complete(item) for item in value]
    return value
