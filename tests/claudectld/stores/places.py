"""Where the stores' files are in a test, sessions to put there, and looking at the files directly."""

import json
import os
import sys
import uuid
from functools import partial
from pathlib import Path

import msgspec

from claudectl_protocol.sessions import ConversationEntry, ConversationId, Lifecycle, RunId, SessionId
from claudectld.core.session import ProcessIdentity, Run, Session
from claudectld.project import project_of
from claudectld.stores import stamp
from claudectld.stores.migration import Heritage
from claudectld.stores.private import FilePrivateStore
from claudectld.stores.sessions import FileSessionStore

NOW = 1795348800.0
"""2026-11-22 12:00:00 UTC."""


class Places:
    """The directories of one user: configuration, state and a project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config" / "claudectl"
        self.state = root / "state" / "claudectl"
        self.project = root / "project"
        self.data = self.config / "data.json"

    @property
    def files(self) -> Path:
        """The project's `.claudectl`."""
        return self.project / ".claudectl"

    @property
    def sessions(self) -> Path:
        """The project's `sessions.json`."""
        return self.files / "sessions.json"

    def store(self) -> FileSessionStore:
        """A store that has seen nothing yet, as after a restart of the daemon."""
        return FileSessionStore(
            str(self.config), stamp.owner(str(self.state)), lambda: NOW, heritage(self.root, self.state)
        )

    def saved(self, *sessions: Session) -> FileSessionStore:
        """A store whose project holds these sessions."""
        store = self.store()
        store.open_project(str(self.project))
        store.save_project(str(self.project), sessions)
        return store


def heritage(home: Path, state: Path) -> Heritage:
    """What sessions of an earlier version get here."""
    return Heritage(
        home=str(home),
        env={"PATH": "/bin", "LANG": "C"},
        private=FilePrivateStore(str(state)),
        project_of=partial(project_of, home=str(home)),
    )


def session(name: str, project: Path | str | None = None, **changes: object) -> Session:
    """A session with a value in every field; its id depends on the name only."""
    place = None if project is None else str(project)
    run = RunId(str(uuid.uuid5(uuid.NAMESPACE_OID, f"run {name}")))
    made = Session(
        id=session_id(name),
        name=name,
        project=place,
        cwd=place or "/",
        program="claude",
        args=("--model", "opus"),
        prompt="say 'hi'\n\u2713",
        env_names=("PATH",),
        lifecycle=Lifecycle.ACTIVE,
        since=NOW,
        created_at=NOW - 10.5,
        run=Run(
            id=run,
            boot_id="b",
            started_at=NOW,
            process=ProcessIdentity(boot_id="b", pid=7, start_ticks=99),
        ),
        runs=(run,),
        conversations=(ConversationEntry(id=ConversationId("c1"), since=NOW, reason="created"),),
    )
    return replaced(made, **changes)


def replaced(value: Session, **changes: object) -> Session:
    """The session with some fields changed."""
    return msgspec.structs.replace(value, **changes)


def session_id(name: str) -> SessionId:
    """The id of the session with this name."""
    return SessionId(str(uuid.uuid5(uuid.NAMESPACE_OID, name)))


def environment(**more: str) -> dict[str, str]:
    """The environment of a Python program that imports what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}


def document(path: Path) -> dict[str, object]:
    """A JSON file's object."""
    found = json.loads(path.read_bytes())
    assert isinstance(found, dict)
    return found


def rewrite(path: Path, **changes: object) -> None:
    """Edit a JSON file as a person would: the checksum stays what it was."""
    path.write_text(json.dumps({**document(path), **changes}, indent=4))
