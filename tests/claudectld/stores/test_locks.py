"""One conversation has one writer."""

import os
import stat
from pathlib import Path

import pytest

from claudectl_protocol.faults import ProcessAlreadyRunning, Rejected
from claudectl_protocol.sessions import ConversationEntry, ConversationId, RunId, SessionId
from claudectld.core.session import ProcessIdentity, Session
from claudectld.stores.locks import ConversationLocks, Holder
from tests.claudectld.stores.places import session

CONVERSATION = ConversationId("c0000000-0000-4000-8000-000000000001")
OLDER = ConversationId("c0000000-0000-4000-8000-000000000002")
R1, R2 = RunId("run-1"), RunId("run-2")
PROCESS = ProcessIdentity(boot_id="b", pid=4242, start_ticks=7)


class World:
    """What is alive, by decree."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.processes: set[ProcessIdentity] = set()
        self.runs: set[tuple[SessionId, RunId]] = set()

    def locks(self) -> ConversationLocks:
        return ConversationLocks(
            str(self.state), lambda process: process in self.processes, lambda *run: run in self.runs
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def _session(name: str, *conversations: ConversationId) -> Session:
    entries = tuple(ConversationEntry(id=one, since=0.0, reason="created") for one in conversations)
    return session(name, conversations=entries)


ALICE, BOB = _session("alice", CONVERSATION), _session("bob", CONVERSATION)


def _refused(locks: ConversationLocks, who: Session, run: RunId) -> ProcessAlreadyRunning:
    with pytest.raises(Rejected) as refused:
        locks.acquire(who, run)
    assert isinstance(refused.value.fault, ProcessAlreadyRunning)
    return refused.value.fault


def test_a_free_conversation_is_taken(world: World) -> None:
    world.locks().acquire(ALICE, R1)

    assert world.locks().holder(CONVERSATION) == Holder(session=ALICE.id, run=R1)
    lock = world.state / "locks" / CONVERSATION
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700


def test_a_live_process_keeps_its_conversation(world: World) -> None:
    locks = world.locks()
    locks.acquire(ALICE, R1)
    locks.confirm(ALICE, R1, PROCESS)
    world.processes.add(PROCESS)

    refusal = _refused(world.locks(), BOB, R2)

    assert refusal == ProcessAlreadyRunning(session=BOB.id, name="bob", pid=4242)
    assert locks.holder(CONVERSATION) == Holder(session=ALICE.id, run=R1, process=PROCESS)


def test_a_process_that_is_proven_gone_does_not_keep_it(world: World) -> None:
    locks = world.locks()
    locks.acquire(ALICE, R1)
    locks.confirm(ALICE, R1, PROCESS)
    world.runs.add((ALICE.id, R1))

    world.locks().acquire(BOB, R2)

    assert locks.holder(CONVERSATION) == Holder(session=BOB.id, run=R2)


def test_a_lock_without_a_process_is_kept_by_a_live_run_only(world: World) -> None:
    world.locks().acquire(ALICE, R1)
    world.runs.add((ALICE.id, R1))

    assert _refused(world.locks(), BOB, R2).pid is None

    world.runs.clear()
    world.locks().acquire(BOB, R2)
    assert world.locks().holder(CONVERSATION) == Holder(session=BOB.id, run=R2)


def test_a_session_takes_again_what_it_has(world: World) -> None:
    locks = world.locks()
    locks.acquire(ALICE, R1)
    locks.confirm(ALICE, R1, PROCESS)
    world.processes.add(PROCESS)

    locks.acquire(ALICE, R1)
    assert locks.holder(CONVERSATION) == Holder(session=ALICE.id, run=R1, process=PROCESS)

    locks.acquire(ALICE, R2)
    assert locks.holder(CONVERSATION) == Holder(session=ALICE.id, run=R2)


def test_a_run_that_does_not_hold_the_lock_confirms_nothing(world: World) -> None:
    locks = world.locks()
    locks.acquire(ALICE, R1)

    for who, run in ((BOB, R1), (ALICE, R2)):
        with pytest.raises(Rejected):
            locks.confirm(who, run, PROCESS)
    with pytest.raises(Rejected):
        locks.confirm(_session("carol", OLDER), R1, PROCESS)

    assert locks.holder(CONVERSATION) == Holder(session=ALICE.id, run=R1)


def test_only_the_holder_releases(world: World) -> None:
    locks = world.locks()
    locks.acquire(ALICE, R1)

    locks.release(BOB, R1)
    assert locks.holder(CONVERSATION) is not None

    locks.release(ALICE, R1)
    locks.release(ALICE, R1)
    assert os.listdir(world.state / "locks") == []


def test_releasing_gives_up_the_conversations_before_a_clear(world: World) -> None:
    locks = world.locks()
    locks.acquire(_session("alice", OLDER), R1)
    cleared = _session("alice", OLDER, CONVERSATION)
    locks.acquire(cleared, R1)

    locks.release(cleared, R1)

    assert os.listdir(world.state / "locks") == []


def test_the_late_release_of_a_run_leaves_its_successor_what_it_has_taken(world: World) -> None:
    locks = world.locks()
    locks.acquire(ALICE, R1)
    locks.acquire(ALICE, R2)

    locks.release(ALICE, R1)

    assert locks.holder(CONVERSATION) == Holder(session=ALICE.id, run=R2)


@pytest.mark.parametrize("content", [b"", b"{", b'{"session": 1}', b"\xff"])
def test_a_lock_that_cannot_be_read_is_not_proven_stale(world: World, content: bytes) -> None:
    world.locks().acquire(ALICE, R1)
    (world.state / "locks" / CONVERSATION).write_bytes(content)

    _refused(world.locks(), BOB, R2)
    world.locks().release(BOB, R1)

    assert (world.state / "locks" / CONVERSATION).read_bytes() == content


def test_other_programs_and_sessions_without_a_conversation_need_no_lock(world: World) -> None:
    locks = world.locks()
    for who in (session("shell", program="/bin/sh"), session("new", conversations=())):
        locks.acquire(who, R1)
        locks.confirm(who, R1, PROCESS)
        locks.release(who, R1)

    assert not (world.state / "locks").exists() or os.listdir(world.state / "locks") == []


def test_a_conversation_that_is_a_path_is_an_error_of_the_caller(world: World) -> None:
    with pytest.raises(ValueError, match="not an id"):
        world.locks().acquire(_session("x", ConversationId("../../x")), R1)
