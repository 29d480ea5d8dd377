"""Both ends of a connection, always tested against each other."""

import pytest

from claudectl_protocol import codec
from claudectl_protocol.calls import (
    Attach,
    Attached,
    Done,
    List,
    Logs,
    LogsStarted,
    Rename,
    SendKeys,
    SessionList,
    Status,
    Target,
)
from claudectl_protocol.connection import (
    ClientConnection,
    DaemonConnection,
    Data,
    Dismissed,
    Ended,
    Greeted,
    Refuse,
    Refused,
    Repaint,
    Replied,
    Requested,
    Resized,
    Typed,
    Welcomed,
)
from claudectl_protocol.conversation import TRANSITIONS, State, Step
from claudectl_protocol.faults import BadRequest, Internal, NotRunning, ShuttingDown, Unsupported
from claudectl_protocol.framing import (
    CONTROL,
    DATA,
    MAX_DATA_BYTES,
    MAX_FRAME_BYTES,
    REPAINT,
    RESIZE,
    LocalProtocolError,
    RemoteProtocolError,
    VersionMismatch,
    frame,
    preamble,
)
from claudectl_protocol.messages import LIMITS, MAX_PENDING_CALLS, Hello, Welcome
from claudectl_protocol.sessions import RunId, SessionId, Size
from claudectl_protocol.stream import MAX_OUTPUT_BYTES, MAX_REPAINT_BYTES, End, EndReason, pack_output
from tests.protocol.pair import ConnectionPair

LIST = List(cwd="/")
TARGET = Target(text="api", cwd="/")
SIZE = Size(cols=80, rows=24)
ATTACH = Attach(target=TARGET, size=SIZE)
ATTACHED = Attached(session=SessionId("s"), name="api", run=RunId("r"), offset=100, size=SIZE, resumed=False)
LOGS = Logs(target=TARGET)
LOGS_STARTED = LogsStarted(session=SessionId("s"), run=RunId("r"), start=0, end=100)
EMPTY = SessionList(sessions=())
EXITED = End(reason=EndReason.EXITED)
FAULT = NotRunning(session=SessionId("s"), name="api")


def attached(cut: int | None = None) -> ConnectionPair:
    """A pair whose connection is a terminal."""
    pair = ConnectionPair.greeted(cut)
    pair.to_client(pair.daemon.reply(pair.ask(ATTACH), ATTACHED))
    pair.of_client.clear()
    pair.of_daemon.clear()
    return pair


def reading() -> ConnectionPair:
    """A pair whose connection carries a log."""
    pair = ConnectionPair.greeted()
    pair.to_client(pair.daemon.reply(pair.ask(LOGS), LOGS_STARTED))
    pair.of_client.clear()
    return pair


# --- greeting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [None, 1, 3])
def test_both_sides_learn_who_the_other_is(cut: int | None) -> None:
    pair = ConnectionPair(cut)
    pair.to_client(pair.daemon.start())
    pair.to_daemon(pair.client.start())
    (greeted,) = pair.of_daemon
    assert isinstance(greeted, Greeted)
    assert greeted.hello == Hello(client="1.2.3", pid=41, capabilities=("later",))
    welcome = Welcome(server="4.5.6", pid=42, limits=LIMITS)
    assert pair.of_client == [Welcomed(welcome)]
    assert pair.client.welcome == welcome
    assert (pair.client.state, pair.daemon.state) == (State.CALLS, State.CALLS)


def test_first_call_needs_no_round_trip_before_it() -> None:
    client, daemon = ClientConnection("1", 1), DaemonConnection("1", 2)
    hello = client.start()
    call_id, call = client.send(LIST)
    greeted, requested = daemon.receive_data(hello + call)
    assert isinstance(greeted, Greeted)
    assert requested == Requested(call_id, LIST)
    events = client.receive_data(daemon.start() + greeted.to_send + daemon.reply(call_id, EMPTY))
    assert [type(event) for event in events] == [Welcomed, Replied]


def test_even_attach_may_be_the_first_call() -> None:
    client, daemon = ClientConnection("1", 1), DaemonConnection("1", 2)
    hello = client.start()
    call_id, call = client.send(ATTACH)
    greeted, _ = daemon.receive_data(hello + call)
    assert isinstance(greeted, Greeted)
    answer = greeted.to_send + daemon.reply(call_id, ATTACHED) + daemon.data(101, b"x")
    events = client.receive_data(daemon.start() + answer)
    assert [type(event) for event in events] == [Welcomed, Replied, Data]


def test_client_that_is_too_new_is_recognised_by_the_daemon_and_the_daemon_by_it() -> None:
    daemon = DaemonConnection("1", 2)
    assert daemon.start() == preamble()
    with pytest.raises(VersionMismatch) as caught:
        daemon.receive_data(preamble((2, 0)))
    assert (caught.value.ours, caught.value.theirs, caught.value.peer_is_older) == ((1, 0), (2, 0), False)


def test_daemon_that_is_too_old_is_recognised_by_the_client() -> None:
    client = ClientConnection("1", 1)
    client.start()
    with pytest.raises(VersionMismatch) as caught:
        client.receive_data(preamble((0, 9)))
    assert (caught.value.theirs, caught.value.peer_is_older) == ((0, 9), True)


def test_another_minor_version_is_welcome() -> None:
    daemon = DaemonConnection("1", 2)
    (event,) = daemon.receive_data(preamble((1, 99)) + ClientConnection("1", 1).start()[8:])
    assert isinstance(event, Greeted)


def test_call_before_hello_is_refused_on_both_sides() -> None:
    with pytest.raises(LocalProtocolError, match="call in state greeting"):
        ClientConnection("1", 1).send(LIST)
    with pytest.raises(RemoteProtocolError, match="call came in state greeting"):
        DaemonConnection("1", 2).receive_data(preamble() + frame(CONTROL, codec.encode_call(1, LIST)))


def test_second_hello_is_refused_on_both_sides() -> None:
    pair = ConnectionPair.greeted()
    with pytest.raises(LocalProtocolError):
        pair.client.start()
    with pytest.raises(RemoteProtocolError):
        pair.to_daemon(ClientConnection("1", 1).start()[8:])


def test_answer_before_the_welcome_is_refused() -> None:
    client = ClientConnection("1", 1)
    client.start()
    call_id, _ = client.send(LIST)
    with pytest.raises(RemoteProtocolError, match="welcome"):
        client.receive_data(preamble() + frame(CONTROL, codec.encode_reply(call_id, EMPTY)))


def test_second_welcome_is_refused() -> None:
    pair = ConnectionPair.greeted()
    welcome = codec.encode_message(Welcome(server="1", pid=1, limits=LIMITS))
    with pytest.raises(RemoteProtocolError, match="welcome"):
        pair.to_client(frame(CONTROL, welcome))


# --- calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [None, 1, 7])
def test_call_is_answered_by_its_reply(cut: int | None) -> None:
    pair = ConnectionPair.greeted(cut)
    call_id = pair.ask(LIST)
    assert pair.of_daemon == [Requested(call_id, LIST)]
    pair.to_client(pair.daemon.reply(call_id, EMPTY))
    (replied,) = pair.of_client
    assert isinstance(replied, Replied)
    assert replied.id == call_id
    assert codec.decode_reply(LIST, replied.raw) == EMPTY


def test_call_is_answered_by_its_fault() -> None:
    pair = ConnectionPair.greeted()
    call_id = pair.ask(LIST)
    pair.to_client(pair.daemon.refuse(call_id, FAULT))
    assert pair.of_client == [Refused(call_id, FAULT)]


def test_calls_are_answered_in_any_order() -> None:
    pair = ConnectionPair.greeted()
    first, second = pair.ask(LIST), pair.ask(LIST)
    pair.to_client(pair.daemon.reply(second, EMPTY))
    pair.to_client(pair.daemon.refuse(first, FAULT))
    assert [event.id for event in pair.of_client if isinstance(event, (Replied, Refused))] == [second, first]


def test_unknown_call_is_refused_and_the_connection_goes_on() -> None:
    pair = ConnectionPair.greeted()
    call_id, to_send = pair.client.send(LIST)
    pair.to_daemon(to_send.replace(b"\xa4list", b"\xa4lost"))
    (refuse,) = pair.of_daemon
    assert isinstance(refuse, Refuse)
    assert pair.of_client == [Refused(call_id, Unsupported(call="lost"))]
    again = pair.ask(LIST)
    assert pair.of_daemon[1:] == [Requested(again, LIST)]


def test_call_with_wrong_fields_is_refused_and_the_connection_goes_on() -> None:
    pair = ConnectionPair.greeted()
    call_id, to_send = pair.client.send(ATTACH)
    pair.to_daemon(to_send.replace(b"\xa4cols", b"\xa4rols"))
    (refused,) = pair.of_client
    assert isinstance(refused, Refused)
    assert refused.id == call_id
    assert isinstance(refused.fault, BadRequest)
    again = pair.ask(ATTACH)
    assert pair.of_daemon[-1] == Requested(again, ATTACH)


def test_ids_are_never_used_twice() -> None:
    pair = ConnectionPair.greeted()
    ids = []
    for _ in range(3):
        ids.append(pair.ask(LIST))
        pair.to_client(pair.daemon.reply(ids[-1], EMPTY))
    assert len(set(ids)) == 3


def test_id_of_an_unanswered_call_is_refused_by_the_daemon() -> None:
    pair = ConnectionPair.greeted()
    _, to_send = pair.client.send(LIST)
    with pytest.raises(RemoteProtocolError, match="not answered yet"):
        pair.to_daemon(to_send + to_send)


def test_too_many_unanswered_calls_are_refused_on_both_sides() -> None:
    pair = ConnectionPair.greeted()
    for _ in range(MAX_PENDING_CALLS):
        pair.ask(LIST)
    with pytest.raises(LocalProtocolError, match="unanswered"):
        pair.client.send(LIST)
    with pytest.raises(RemoteProtocolError, match="unanswered"):
        pair.to_daemon(frame(CONTROL, codec.encode_call(9999, LIST)))


def test_answer_to_nothing_is_refused_on_both_sides() -> None:
    pair = ConnectionPair.greeted()
    with pytest.raises(LocalProtocolError, match="no call waits"):
        pair.daemon.reply(5, EMPTY)
    with pytest.raises(LocalProtocolError, match="no call waits"):
        pair.daemon.refuse(5, FAULT)
    with pytest.raises(RemoteProtocolError, match="waits for none"):
        pair.to_client(frame(CONTROL, codec.encode_reply(5, EMPTY)))


def test_second_answer_is_refused_on_both_sides() -> None:
    pair = ConnectionPair.greeted()
    call_id = pair.ask(LIST)
    answer = pair.daemon.reply(call_id, EMPTY)
    with pytest.raises(LocalProtocolError):
        pair.daemon.reply(call_id, EMPTY)
    pair.to_client(answer)
    with pytest.raises(RemoteProtocolError):
        pair.to_client(answer)


def test_reply_of_another_type_is_not_sent() -> None:
    pair = ConnectionPair.greeted()
    call_id = pair.ask(LIST)
    with pytest.raises(LocalProtocolError, match="answered by SessionList, not Done"):
        pair.daemon.reply(call_id, Done())
    pair.to_client(pair.daemon.reply(call_id, EMPTY))


def test_reply_that_does_not_fit_can_still_be_refused() -> None:
    pair = ConnectionPair.greeted()
    call_id = pair.ask(LIST)
    with pytest.raises(ValueError, match="limit"):
        pair.daemon.reply(call_id, SessionList(sessions=(), notices=("x" * MAX_FRAME_BYTES,)))
    pair.to_client(pair.daemon.refuse(call_id, Internal(ticket="t")))
    assert pair.of_client == [Refused(call_id, Internal(ticket="t"))]


def test_call_that_does_not_fit_changes_nothing() -> None:
    pair = ConnectionPair.greeted()
    with pytest.raises(ValueError, match="limit"):
        pair.client.send(SendKeys(target=TARGET, data=bytes(MAX_FRAME_BYTES), key="k"))
    assert pair.ask(LIST) == 1


# --- streams ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [None, 1, 1000])
def test_terminal_carries_input_sizes_output_and_repaints_until_its_end(cut: int | None) -> None:
    pair = attached(cut)
    assert (pair.client.state, pair.daemon.state) == (State.TERMINAL, State.TERMINAL)
    size = Size(cols=132, rows=50, xpixel=1, ypixel=2)
    pair.to_daemon(pair.client.data(b"ls\r") + pair.client.resize(size))
    pair.to_client(pair.daemon.data(104, b"abcd") + pair.daemon.repaint(200, b"\x1bc"))
    pair.to_client(pair.daemon.data(260, b"") + pair.daemon.end(EXITED))
    assert pair.of_daemon == [Typed(b"ls\r"), Resized(size)]
    assert pair.of_client == [Data(104, b"abcd"), Repaint(200, b"\x1bc"), Data(260, b""), Ended(EXITED)]
    assert (pair.client.state, pair.daemon.state) == (State.ENDED, State.ENDED)


def test_paste_is_cut_into_frames_that_the_daemon_accepts() -> None:
    pair = attached()
    paste = bytes(range(256)) * 1024
    pair.to_daemon(pair.client.data(paste))
    typed = [event.data for event in pair.of_daemon if isinstance(event, Typed)]
    assert b"".join(typed) == paste
    assert max(map(len, typed)) == MAX_DATA_BYTES


def test_nothing_typed_is_nothing_sent() -> None:
    assert attached().client.data(b"") == b""


def test_largest_output_passes_and_more_is_not_sent() -> None:
    pair = attached()
    pair.to_client(pair.daemon.data(100_000, b"x" * MAX_OUTPUT_BYTES))
    pair.to_client(pair.daemon.repaint(100_000, b"x" * MAX_REPAINT_BYTES))
    assert pair.of_client == [
        Data(100_000, b"x" * MAX_OUTPUT_BYTES),
        Repaint(100_000, b"x" * MAX_REPAINT_BYTES),
    ]
    with pytest.raises(ValueError, match="limit"):
        pair.daemon.data(200_000, b"x" * (MAX_OUTPUT_BYTES + 1))
    with pytest.raises(ValueError, match="limit"):
        pair.daemon.repaint(200_000, b"x" * (MAX_REPAINT_BYTES + 1))


def test_data_never_goes_back_on_either_side() -> None:
    pair = attached()
    pair.to_client(pair.daemon.data(104, b"abcd"))
    with pytest.raises(ValueError, match="103 after 104"):
        pair.daemon.data(103, b"d")
    with pytest.raises(RemoteProtocolError, match="103 after 104"):
        pair.to_client(frame(DATA, pack_output(103, b"d")))


def test_repaint_may_go_back_and_data_goes_on_from_there() -> None:
    pair = attached()
    for to_send in (
        pair.daemon.data(104, b"abcd"),
        pair.daemon.repaint(90, b"R"),
        pair.daemon.data(95, b"x"),
    ):
        pair.to_client(to_send)
    assert pair.of_client == [Data(104, b"abcd"), Repaint(90, b"R"), Data(95, b"x")]


def test_size_that_no_terminal_has_is_refused_on_both_sides() -> None:
    pair = attached()
    with pytest.raises(ValueError, match="cells"):
        pair.client.resize(Size(cols=0, rows=24))
    with pytest.raises(RemoteProtocolError, match="cells"):
        pair.to_daemon(frame(RESIZE, bytes(8)))


def test_keys_still_on_their_way_when_the_session_ended_are_dropped() -> None:
    pair = attached()
    late = pair.client.data(b"x")
    pair.to_client(pair.daemon.end(EXITED))
    pair.to_daemon(late)
    assert pair.of_daemon == []
    with pytest.raises(LocalProtocolError):
        pair.client.data(b"y")


def test_log_carries_data_only_and_no_input() -> None:
    pair = reading()
    pair.to_client(pair.daemon.data(3, b"abc"))
    with pytest.raises(LocalProtocolError):
        pair.daemon.repaint(3, b"")
    with pytest.raises(LocalProtocolError):
        pair.client.data(b"x")
    with pytest.raises(LocalProtocolError):
        pair.client.resize(SIZE)
    pair.to_client(pair.daemon.end(End(reason=EndReason.COMPLETE)))
    assert pair.of_client == [Data(3, b"abc"), Ended(End(reason=EndReason.COMPLETE))]


def test_repaint_in_a_log_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="repaint came in state reading"):
        reading().to_client(frame(REPAINT, pack_output(3, b"")))


def test_input_for_a_log_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="input came in state reading"):
        reading().to_daemon(frame(DATA, b"x"))


def test_refused_attach_leaves_a_connection_for_calls() -> None:
    pair = ConnectionPair.greeted()
    pair.to_client(pair.daemon.refuse(pair.ask(ATTACH), FAULT))
    assert (pair.client.state, pair.daemon.state) == (State.CALLS, State.CALLS)
    pair.to_client(pair.daemon.reply(pair.ask(LIST), EMPTY))
    assert len(pair.of_client) == 2


@pytest.mark.parametrize("opening", [ATTACH, LOGS], ids=["attach", "logs"])
def test_stream_is_not_opened_while_calls_are_unanswered(opening: Attach | Logs) -> None:
    pair = ConnectionPair.greeted()
    pair.ask(LIST)
    with pytest.raises(LocalProtocolError, match="unanswered"):
        pair.client.send(opening)
    with pytest.raises(RemoteProtocolError, match="unanswered"):
        pair.to_daemon(frame(CONTROL, codec.encode_call(9, opening)))


@pytest.mark.parametrize("opening", [ATTACH, LOGS], ids=["attach", "logs"])
def test_nothing_is_said_while_a_stream_is_being_opened(opening: Attach | Logs) -> None:
    pair = ConnectionPair.greeted()
    pair.ask(opening)
    with pytest.raises(LocalProtocolError):
        pair.client.send(LIST)
    with pytest.raises(LocalProtocolError):
        pair.client.data(b"x")
    with pytest.raises(LocalProtocolError):
        pair.daemon.data(1, b"x")
    with pytest.raises(RemoteProtocolError):
        pair.to_daemon(frame(DATA, b"x"))


def test_call_on_a_terminal_is_refused_on_both_sides() -> None:
    pair = attached()
    with pytest.raises(LocalProtocolError):
        pair.client.send(LIST)
    with pytest.raises(RemoteProtocolError):
        pair.to_daemon(frame(CONTROL, codec.encode_call(9, LIST)))


def test_nothing_follows_the_end_of_a_stream() -> None:
    pair = attached()
    pair.to_client(pair.daemon.end(EXITED))
    with pytest.raises(LocalProtocolError):
        pair.daemon.data(200, b"x")
    with pytest.raises(RemoteProtocolError):
        pair.to_client(frame(DATA, pack_output(200, b"x")))


def test_input_before_attach_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="input came in state calls"):
        ConnectionPair.greeted().to_daemon(frame(DATA, b"x"))


# --- what breaks a connection, and how it is said -----------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xffC",
        frame(CONTROL, b"\xc1"),
        frame(ord("X"), b""),
        frame(REPAINT, b""),
    ],
    ids=["empty", "huge", "malformed", "unknown kind", "kind of the other side"],
)
def test_broken_frame_ends_the_use_of_the_connection(bad: bytes) -> None:
    pair = ConnectionPair.greeted()
    with pytest.raises(RemoteProtocolError):
        pair.to_daemon(bad + bytes(5))
    assert pair.daemon.state is State.BROKEN
    with pytest.raises(LocalProtocolError, match="broken"):
        pair.daemon.receive_data(b"")
    with pytest.raises(RemoteProtocolError):
        pair.to_client(bad + bytes(5))
    assert pair.client.state is State.BROKEN
    with pytest.raises(LocalProtocolError):
        pair.client.send(LIST)


def test_client_that_broke_the_rules_is_told_why() -> None:
    pair = ConnectionPair.greeted()
    with pytest.raises(RemoteProtocolError) as caught:
        pair.to_daemon(frame(CONTROL, b"\xc1"))
    pair.to_client(pair.daemon.dismiss(BadRequest(why=str(caught.value))))
    assert pair.of_client == [Dismissed(BadRequest(why=str(caught.value)))]


def test_daemon_knows_that_a_frame_has_begun_and_not_ended() -> None:
    pair = ConnectionPair.greeted()
    _, to_send = pair.client.send(LIST)
    midway = []
    for piece in (b"", to_send[:-1], to_send[-1:]):
        pair.to_daemon(piece)
        midway.append(pair.daemon.is_midway)
    assert midway == [False, True, False]


@pytest.mark.parametrize(
    "pair", [ConnectionPair.greeted(), attached(), reading()], ids=["calls", "attached", "logs"]
)
def test_daemon_that_leaves_says_so_in_any_state(pair: ConnectionPair) -> None:
    pair.to_client(pair.daemon.dismiss(ShuttingDown()))
    assert pair.of_client == [Dismissed(ShuttingDown())]
    assert (pair.client.state, pair.daemon.state) == (State.ENDED, State.ENDED)
    with pytest.raises(LocalProtocolError):
        pair.daemon.dismiss(ShuttingDown())


def test_dismissal_may_come_instead_of_the_welcome() -> None:
    pair = ConnectionPair()
    pair.client.start()
    pair.to_client(pair.daemon.start() + pair.daemon.dismiss(ShuttingDown()))
    assert pair.of_client == [Dismissed(ShuttingDown())]


def test_calls_still_on_their_way_after_a_dismissal_are_dropped() -> None:
    pair = ConnectionPair.greeted()
    _, late = pair.client.send(LIST)
    pair.to_client(pair.daemon.dismiss(ShuttingDown()))
    pair.to_daemon(late)
    assert pair.of_daemon == []


def test_output_without_an_offset_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="without an offset"):
        attached().to_client(frame(DATA, b"short"))


def test_call_that_was_not_sent_is_not_answered_by_its_type() -> None:
    pair = ConnectionPair.greeted()
    call_id = pair.ask(Rename(target=TARGET, name="b"))
    pair.to_client(pair.daemon.reply(pair.ask(LIST), EMPTY))
    with pytest.raises(LocalProtocolError, match="SessionInfo"):
        pair.daemon.reply(call_id, EMPTY)


# --- the table ----------------------------------------------------------------------------------------------


def test_every_state_that_can_be_reached_can_be_ended() -> None:
    for state in set(State) - {State.ENDED, State.BROKEN}:
        assert TRANSITIONS[state, Step.DISMISSAL] is State.ENDED


def test_every_step_and_every_state_is_in_the_table() -> None:
    assert {step for _, step in TRANSITIONS} == set(Step)
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(State) - {State.BROKEN}


def test_nothing_leaves_the_end() -> None:
    assert not [step for state, step in TRANSITIONS if state in (State.ENDED, State.BROKEN)]


def test_status_needs_no_fields() -> None:
    pair = ConnectionPair.greeted()
    call_id = pair.ask(Status())
    assert pair.of_daemon == [Requested(call_id, Status())]
