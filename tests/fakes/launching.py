"""A launcher that finds every program, and conversations that are taken in memory."""

from claudectl_protocol.faults import AnyFault, ProcessAlreadyRunning, Rejected
from claudectl_protocol.sessions import ConversationId, RunId, SessionId
from claudectld.core.session import LaunchContext, ProcessIdentity, Session
from claudectld.ports import SpawnSpec


class FakeLauncher:
    """The Launcher port; `refusal`, while set, is what both `admit` and `prepare` raise."""

    def __init__(self) -> None:
        self.refusal: AnyFault | None = None
        self.present: dict[SessionId, ConversationId] = {}

    def admit(self, session: Session, context: LaunchContext) -> tuple[Session, LaunchContext]:
        if self.refusal is not None:
            raise Rejected(self.refusal)
        return session, context

    def prepare(self, session: Session, context: LaunchContext) -> SpawnSpec:
        self.admit(session, context)
        assert session.run is not None
        return SpawnSpec(
            run=session.run.id,
            session=session.id,
            argv=(f"/bin/{session.program}", *session.args),
            cwd=session.cwd,
            context=context,
            size=session.size,
            segment_bytes=4096,
            limit_bytes=65536,
        )

    def conversation(self, session: Session, context: LaunchContext) -> ConversationId | None:
        return self.present.get(session.id)


class FakeConversations:
    """The Conversations port over a dictionary."""

    def __init__(self) -> None:
        self.holders: dict[ConversationId, tuple[SessionId, RunId]] = {}

    def acquire(self, session: Session, run: RunId) -> None:
        conversation = session.conversation
        if conversation is None:
            return
        holder = self.holders.get(conversation)
        if holder is not None and holder[0] != session.id:
            raise Rejected(ProcessAlreadyRunning(session=session.id, name=session.name))
        self.holders[conversation] = (session.id, run)

    def confirm(self, session: Session, run: RunId, process: ProcessIdentity) -> None:
        conversation = session.conversation
        if conversation is not None and self.holders.get(conversation) != (session.id, run):
            raise Rejected(ProcessAlreadyRunning(session=session.id, name=session.name))

    def release(self, session: Session, run: RunId) -> None:
        for entry in session.conversations:
            if self.holders.get(entry.id) == (session.id, run):
                del self.holders[entry.id]
