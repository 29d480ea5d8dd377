"""The server at a real socket with a service made of values: who is let in, for how long, and what breaks whose
connection."""

import math
import resource
import shutil
import socket
import struct
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest

from claudectl_protocol.calls import (
    AnyCall,
    Attach,
    Attached,
    Done,
    List,
    Logs,
    LogsStarted,
    ProjectRemove,
    SessionList,
    Target,
)
from claudectl_protocol.connection import ClientConnection, ClientEvent, Dismissed, Refused, Replied, Welcomed
from claudectl_protocol.faults import BadRequest, Denied, Internal, InvalidArgument, Rejected, Unsupported
from claudectl_protocol.framing import CONTROL, MAX_FRAME_BYTES, frame
from claudectl_protocol.sessions import RunId, SessionId, Size, Value
from claudectld.attachment import Attachment, Wire
from claudectld.connection import Limits, Patience
from claudectld.listener import SocketFile
from claudectld.server import Server

T = TypeVar("T")
WAIT_S = 20.0
ASK = ProjectRemove(path="/x")
LOGS = Logs(target=Target(text="x", cwd="/"))


class Table:
    """Answers by a table from the call's type: a value, or an exception to raise."""

    def __init__(self, table: dict[type[AnyCall], Value | Exception] | None = None) -> None:
        self._table = table or {}

    async def answer(self, call: AnyCall) -> Value:
        found = self._table.get(type(call), Done())
        if isinstance(found, Exception):
            raise found
        return found

    async def attach(self, call: Attach, wire: Wire) -> tuple[Attached, Attachment]:
        raise RuntimeError(f"{call} to {wire} must not get so far")

    async def serve(self, attachment: Attachment) -> None:
        raise RuntimeError(f"{attachment} was never made")

    async def logs(self, call: Logs, wire: Wire) -> tuple[LogsStarted, Callable[[], Awaitable[None]]]:
        async def flow() -> None:
            await wire.data(1, b"x")
            raise OSError(f"the disk of {call.target.text} is broken")

        return LogsStarted(session=SessionId("s"), run=RunId("r"), start=0, end=1), flow


@pytest.fixture
def path() -> Iterator[str]:
    """Where the server listens."""
    made = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp")).resolve()
    yield str(made / "daemon.sock")
    shutil.rmtree(made)


def served(
    path: str, act: Callable[[], T], *, answers: Table | None = None, limits: Limits | None = None
) -> T:
    """What `act` finds, in a thread, while the server serves; afterwards the server still has to answer."""

    async def main() -> T:
        async with anyio.create_task_group() as tasks:
            server = Server(answers or Table(), tasks, limits or Limits())
            tasks.start_soon(server.serve, SocketFile(path).bind())
            found = await anyio.to_thread.run_sync(act)
            await anyio.to_thread.run_sync(lambda: Raw(path).ask_and_leave())
            with anyio.fail_after(WAIT_S):
                await server.drained()
            tasks.cancel_scope.cancel()
        return found

    return anyio.run(main)


class Raw:
    """A connection on which a test says what it likes."""

    def __init__(self, path: str) -> None:
        self.client = ClientConnection("0", 1)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.settimeout(WAIT_S)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, data: bytes) -> None:
        """Send."""
        self._socket.sendall(data)

    def hear(self) -> list[ClientEvent]:
        """What comes next; nothing at the end of the connection."""
        try:
            data = self._socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        return self.client.receive_data(data) if data else []

    def hear_all(self) -> list[ClientEvent]:
        """Everything until the end of the connection."""
        events = self.hear()
        while more := self.hear():
            events += more
        return events

    def greet(self) -> None:
        """Say hello and wait for the welcome."""
        self.say(self.client.start())
        events: list[ClientEvent] = []
        while not events:
            # The daemon's preamble alone is no event.
            events = self.client.receive_data(self._socket.recv(1 << 20))
        assert isinstance(events[0], Welcomed)

    def ask(self, call: AnyCall) -> ClientEvent:
        """The answer to a call."""
        self.say(self.client.send(call)[1])
        (answer,) = self.hear()
        return answer

    def ask_and_leave(self) -> None:
        """Be a client like any other."""
        with self:
            self.greet()
            assert isinstance(self.ask(ASK), Replied)


def why_dismissed(events: list[ClientEvent]) -> object:
    """The fault that a connection was ended with."""
    (last,) = events[-1:]
    assert isinstance(last, Dismissed), events
    return last.fault


# --- time -------------------------------------------------------------------------------------------------------


def test_who_says_nothing_is_told_and_given_up(path: str) -> None:
    def act() -> object:
        with Raw(path) as raw:
            raw.client.start()
            return why_dismissed(raw.hear_all())

    assert served(path, act, limits=Limits(hello_s=0.01)) == BadRequest(why="it came too slowly")


def test_a_frame_that_trickles_byte_by_byte_is_given_up(path: str) -> None:
    def act() -> object:
        with Raw(path) as raw:
            raw.greet()
            for byte in struct.pack(">IB", 100, CONTROL):
                raw.say(bytes([byte]))
            return why_dismissed(raw.hear_all())

    assert served(path, act, limits=Limits(frame_s=0.01)) == BadRequest(why="it came too slowly")


def test_who_has_said_hello_may_be_silent_for_ever(path: str) -> None:
    def act() -> ClientEvent:
        with Raw(path) as raw, Raw(path) as slow:
            raw.greet()
            slow.client.start()
            # The other one's end shows that the limits have passed.
            slow.hear_all()
            return raw.ask(ASK)

    assert isinstance(served(path, act, limits=Limits(hello_s=0.01, frame_s=0.01)), Replied)


class TestPatience:
    def test_it_is_endless_between_frames(self) -> None:
        patience = Patience(5.0)
        assert patience.deadline == math.inf
        patience.heard(1.0, ended=False, midway=True)
        patience.heard(2.0, ended=True, midway=False)
        assert patience.deadline == math.inf

    def test_it_counts_from_a_frames_first_byte_however_many_come_after(self) -> None:
        patience = Patience(5.0)
        for now in (1.0, 2.0, 3.0):
            patience.heard(now, ended=False, midway=True)
        assert patience.deadline == 6.0

    def test_each_frame_has_its_own(self) -> None:
        patience = Patience(5.0)
        for now in (1.0, 5.0, 9.0):
            patience.heard(now, ended=True, midway=True)
        assert patience.deadline == 14.0


# --- words ------------------------------------------------------------------------------------------------------


def test_an_unknown_call_is_refused_and_the_connection_goes_on(path: str) -> None:
    def act() -> tuple[ClientEvent, ClientEvent]:
        with Raw(path) as raw:
            raw.greet()
            _, to_send = raw.client.send(List(cwd="/"))
            raw.say(to_send.replace(b"list", b"lust"))
            (refused,) = raw.hear()
            return refused, raw.ask(ASK)

    refused, replied = served(path, act)

    assert isinstance(refused, Refused)
    assert refused.fault == Unsupported(call="lust")
    assert isinstance(replied, Replied)


def test_a_call_that_makes_no_sense_is_refused_and_the_connection_goes_on(path: str) -> None:
    def act() -> tuple[ClientEvent, ClientEvent]:
        with Raw(path) as raw:
            raw.greet()
            _, to_send = raw.client.send(List(cwd="/"))
            raw.say(to_send.replace(b"cwd", b"dwc"))
            (refused,) = raw.hear()
            return refused, raw.ask(ASK)

    refused, replied = served(path, act)

    assert isinstance(refused, Refused)
    assert isinstance(refused.fault, BadRequest)
    assert isinstance(replied, Replied)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "the other side does not speak this protocol"),
        (ClientConnection("0", 1).start() + struct.pack(">I", 0) + b"xx", "an empty frame"),
        (
            ClientConnection("0", 1).start() + struct.pack(">IB", MAX_FRAME_BYTES + 1, CONTROL),
            f"a frame of {MAX_FRAME_BYTES + 1} bytes; the limit is {MAX_FRAME_BYTES}",
        ),
        (ClientConnection("0", 1).start() + frame(ord("D"), b"typed"), "input came in state calls"),
    ],
)
def test_who_breaks_the_rules_is_told_which_and_given_up(path: str, data: bytes, why: str) -> None:
    def act() -> object:
        with Raw(path) as raw:
            raw.client.start()
            raw.say(data)
            return why_dismissed(raw.hear_all())

    assert served(path, act) == BadRequest(why=why)


@pytest.mark.parametrize(
    "answer", [SessionList(sessions=(), notices=("x" * MAX_FRAME_BYTES,)), "refusal"], ids=type
)
def test_an_answer_that_fits_no_frame_is_refused_instead(path: str, answer: Value | str) -> None:
    large = Rejected(Denied(why="x" * MAX_FRAME_BYTES)) if isinstance(answer, str) else answer

    def act() -> tuple[ClientEvent, ClientEvent]:
        with Raw(path) as raw:
            raw.greet()
            return raw.ask(List(cwd="/")), raw.ask(ASK)

    refused, replied = served(path, act, answers=Table({List: large}))

    assert isinstance(refused, Refused)
    assert isinstance(refused.fault, InvalidArgument)
    assert refused.fault.what == "the answer"
    assert f"the limit is {MAX_FRAME_BYTES}" in refused.fault.why
    assert isinstance(replied, Replied)


def test_an_answer_that_is_no_text_is_refused_instead(path: str) -> None:
    def act() -> ClientEvent:
        with Raw(path) as raw:
            raw.greet()
            return raw.ask(List(cwd="/"))

    refused = served(path, act, answers=Table({List: SessionList(sessions=(), notices=("\ud800",))}))

    assert isinstance(refused, Refused)
    assert isinstance(refused.fault, InvalidArgument)


# --- defects ----------------------------------------------------------------------------------------------------


def test_a_defect_in_a_call_is_an_answer_with_a_ticket_for_the_log(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def act() -> tuple[ClientEvent, ClientEvent]:
        with Raw(path) as raw:
            raw.greet()
            return raw.ask(List(cwd="/")), raw.ask(ASK)

    refused, replied = served(path, act, answers=Table({List: KeyError("defect")}))

    assert isinstance(refused, Refused)
    assert isinstance(refused.fault, Internal)
    assert f"ticket={refused.fault.ticket}" in caplog.text
    assert isinstance(replied, Replied)


def test_a_defect_in_attaching_costs_that_connection_only(path: str) -> None:
    def act() -> ClientEvent:
        with Raw(path) as raw:
            raw.greet()
            call = Attach(target=Target(text="x", cwd="/"), size=Size(cols=80, rows=24))
            refused = raw.ask(call)
            assert raw.hear_all() == []
            return refused

    refused = served(path, act)

    assert isinstance(refused, Refused)
    assert isinstance(refused.fault, Internal)


def test_a_defect_in_the_middle_of_a_log_costs_that_connection_only(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def act() -> list[ClientEvent]:
        with Raw(path) as raw:
            raw.greet()
            raw.say(raw.client.send(LOGS)[1])
            return raw.hear_all()

    events = served(path, act)

    assert [type(event).__name__ for event in events] == ["Replied", "Data"]
    assert "the disk of x is broken" in caplog.text


# --- numbers ----------------------------------------------------------------------------------------------------


def test_when_all_places_are_taken_the_next_one_is_told(path: str) -> None:
    def act() -> tuple[object, ClientEvent]:
        with Raw(path) as first, Raw(path) as second, ExitStack() as stack:
            first.greet()
            second.greet()
            third = stack.enter_context(Raw(path))
            third.client.start()
            refusal = why_dismissed(third.hear_all())
            return refusal, second.ask(ASK)

    refusal, replied = served(path, act, limits=Limits(connections=2))

    assert refusal == Denied(why="2 connections are open already")
    assert isinstance(replied, Replied)


def test_who_has_been_silent_for_the_longest_time_makes_room(path: str) -> None:
    def act() -> ClientEvent:
        with Raw(path) as greeted, ExitStack() as stack:
            greeted.greet()
            silent = stack.enter_context(Raw(path))
            silent.client.start()
            later = stack.enter_context(Raw(path))
            later.greet()
            assert silent.hear_all() == []
            return greeted.ask(ASK)

    assert isinstance(served(path, act, limits=Limits(connections=2, hello_s=1000.0)), Replied)


def test_out_of_descriptors_newcomers_wait_until_somebody_leaves(path: str) -> None:
    def act() -> None:
        with Raw(path) as first, ExitStack() as stack:
            first.greet()
            waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting[-1].fileno() + 1, hard))
            try:
                for one in waiting:
                    stack.enter_context(one)
                    one.settimeout(WAIT_S)
                    one.connect(path)
                # Still answered: not being able to accept is no reason to end.
                assert isinstance(first.ask(ASK), Replied)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert all(one.recv(8) for one in waiting)

    served(path, act)
