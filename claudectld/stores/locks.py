"""One conversation has one writer: a lock file per conversation, stale only when its holder is proven gone."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from claudectl_protocol.faults import ProcessAlreadyRunning, Rejected, StoreFailed
from claudectl_protocol.sessions import ConversationId, RunId, SessionId, Value
from claudectld.core.session import ProcessIdentity, Session
from claudectld.stores.files import Directory, error_name, is_safe_name, make_directories

LOCKS = "locks"


class Holder(Value):
    """Who has a conversation. `process` is unknown until the run has started."""

    session: SessionId
    run: RunId
    process: ProcessIdentity | None = None


class ConversationLocks:
    """The locks of a state directory. Safe to call from several threads, not from several daemons: those are kept
    apart by the state directory's own lock.

    Args:
        state_directory: `$XDG_STATE_HOME/claudectl`; the locks are in `locks/` of it.
        is_alive: False only for a process that is proven gone.
        is_live: True while a run may have a child; asked where the lock names no process.

    Every method raises Rejected(StoreFailed) where the files cannot be used.
    """

    def __init__(
        self,
        state_directory: str,
        is_alive: Callable[[ProcessIdentity], bool],
        is_live: Callable[[SessionId, RunId], bool],
    ) -> None:
        self._state = state_directory
        self._is_alive = is_alive
        self._is_live = is_live
        self._lock = threading.Lock()

    def acquire(self, session: Session, run: RunId) -> None:
        """Take the present conversation of a Claude session for a run; nothing for other programs.

        A session may take again what it has.

        Raises:
            Rejected: ProcessAlreadyRunning while another session has it and is not proven gone, or while the lock
                cannot be read.
        """
        conversation = session.conversation
        if not session.is_claude or conversation is None:
            return
        content = msgspec.json.encode(Holder(session=session.id, run=run))
        with self._lock, self._opened() as directory:
            try:
                directory.create_exclusively(_safe(conversation), content)
            except FileExistsError:
                holder = _holder(directory, conversation)
                if holder is not None and holder.session == session.id and holder.run == run:
                    return
                if holder is None or self._keeps(holder, session.id):
                    raise Rejected(_running(session, holder)) from None
                directory.replace(conversation, content)

    def confirm(self, session: Session, run: RunId, process: ProcessIdentity) -> None:
        """Say who the run's process is; from then on its end, and nothing else, makes the lock stale.

        Raises:
            Rejected: ProcessAlreadyRunning if the session has not taken its conversation for this run.
        """
        conversation = session.conversation
        if not session.is_claude or conversation is None:
            return
        with self._lock, self._opened() as directory:
            holder = _holder(directory, _safe(conversation))
            if holder is None or (holder.session, holder.run) != (session.id, run):
                raise Rejected(_running(session, holder))
            confirmed = Holder(session=session.id, run=run, process=process)
            directory.replace(conversation, msgspec.json.encode(confirmed))

    def release(self, session: Session, run: RunId) -> None:
        """Give up every conversation that a run of the session has; nothing happens to those of its next run."""
        with self._lock, self._opened() as directory:
            for entry in session.conversations:
                holder = _holder(directory, _safe(entry.id))
                if holder is not None and (holder.session, holder.run) == (session.id, run):
                    directory.remove(entry.id)

    def holder(self, conversation: ConversationId) -> Holder | None:
        """Who has a conversation; None if nobody or if the lock cannot be read."""
        with self._lock, self._opened() as directory:
            return _holder(directory, _safe(conversation))

    def _keeps(self, holder: Holder, session: SessionId) -> bool:
        if holder.session == session:
            return False
        if holder.process is not None:
            return self._is_alive(holder.process)
        return self._is_live(holder.session, holder.run)

    @contextmanager
    def _opened(self) -> Iterator[Directory]:
        path = os.path.join(self._state, LOCKS)
        try:
            make_directories(self._state)
            with Directory.create(path) as directory:
                yield directory
        except OSError as error:
            raise Rejected(StoreFailed(path=path, error=error_name(error))) from error


def _holder(directory: Directory, conversation: ConversationId) -> Holder | None:
    try:
        return msgspec.json.decode(directory.read(conversation), type=Holder)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _running(session: Session, holder: Holder | None) -> ProcessAlreadyRunning:
    pid = holder.process.pid if holder is not None and holder.process is not None else None
    return ProcessAlreadyRunning(session=session.id, name=session.name, pid=pid)


def _safe(conversation: ConversationId) -> ConversationId:
    if not is_safe_name(conversation):
        raise ValueError(f"not an id: {conversation!r}")
    return conversation
