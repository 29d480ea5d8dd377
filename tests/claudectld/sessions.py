"""Sessions for tests of what reasons about them."""

import uuid

from claudectl_protocol.sessions import ConversationEntry, ConversationId, RunId, SessionId
from claudectld.core.session import CLAUDE, Run, Session
from tests.fakes.keeper import BOOT_ID

PROJECT = "/proj/api"


def new_run(boot_id: str = BOOT_ID) -> Run:
    """A run that has been asked for in a boot."""
    return Run(id=RunId(str(uuid.uuid4())), boot_id=boot_id, started_at=10.0)


def new_session(
    name: str = "api",
    *,
    program: str = CLAUDE,
    project: str | None = PROJECT,
    restore: bool = False,
    boot_id: str = BOOT_ID,
) -> Session:
    """A session that is starting its first run; only Claude has conversations."""
    run = new_run(boot_id)
    conversation = ConversationId(str(uuid.uuid4()))
    entries = (ConversationEntry(id=conversation, since=10.0, reason="created"),) if program == CLAUDE else ()
    return Session(
        id=SessionId(str(uuid.uuid4())),
        name=name,
        project=project,
        cwd=PROJECT,
        program=program,
        restore=restore,
        created_at=10.0,
        run=run,
        runs=(run.id,),
        conversations=entries,
    )


def run_of(session: Session) -> RunId:
    """The session's present run."""
    assert session.run is not None
    return session.run.id
