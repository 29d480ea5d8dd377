"""Both ends of a connection without any I/O: bytes in, events out; methods return the bytes to send.

Whoever owns the socket sends what it is given, in order, and closes after a RemoteProtocolError. That the
socket came to its end is no event here: it means that the connection was lost, never that a session ended.
"""

import msgspec

from claudectl_protocol import codec
from claudectl_protocol.calls import AnyCall, Attach, Attached, Call, Logs, LogsStarted, R
from claudectl_protocol.conversation import Conversation, State, Step
from claudectl_protocol.faults import AnyFault, Rejected
from claudectl_protocol.framing import (
    CONTROL,
    DATA,
    MAX_DATA_BYTES,
    REPAINT,
    RESIZE,
    LocalProtocolError,
    RemoteProtocolError,
    frame,
    preamble,
)
from claudectl_protocol.messages import CONNECTION_ID, LIMITS, Hello, Refusal, Reply, Request, Welcome
from claudectl_protocol.sessions import Size, Value
from claudectl_protocol.stream import (
    MAX_OUTPUT_BYTES,
    MAX_REPAINT_BYTES,
    End,
    pack_output,
    pack_size,
    unpack_output,
    unpack_size,
)

# --- what a client learns -----------------------------------------------------------------------------------


class Welcomed(msgspec.Struct, frozen=True):
    """The daemon speaks this protocol; always the first event."""

    welcome: Welcome


class Replied(msgspec.Struct, frozen=True):
    """The call `id` was done; `codec.decode_reply(call, raw)` is its reply."""

    id: int
    raw: msgspec.Raw


class Refused(msgspec.Struct, frozen=True):
    """The call `id` was refused."""

    id: int
    fault: AnyFault


class Data(msgspec.Struct, frozen=True):
    """Output, and the record offset that follows it.

    `data` may be shorter than the offset's advance, even empty: terminal queries are cut out.
    """

    offset: int
    data: bytes


class Repaint(msgspec.Struct, frozen=True):
    """Bytes that paint the whole screen as it is at record offset `offset`; data goes on from there."""

    offset: int
    data: bytes


class Ended(msgspec.Struct, frozen=True):
    """The stream is over; only closing is left."""

    end: End


class Dismissed(msgspec.Struct, frozen=True):
    """The daemon ends this connection and says why; unanswered calls may or may not have been done."""

    fault: AnyFault


ClientEvent = Welcomed | Replied | Refused | Data | Repaint | Ended | Dismissed


# --- what a daemon learns -----------------------------------------------------------------------------------


class Greeted(msgspec.Struct, frozen=True):
    """A client said hello; `to_send` is the welcome."""

    hello: Hello
    to_send: bytes


class Requested(msgspec.Struct, frozen=True):
    """A call to be answered by `reply` or `refuse` under its id."""

    id: int
    call: AnyCall


class Refuse(msgspec.Struct, frozen=True):
    """A call that is unknown or has wrong fields; `to_send` is its refusal and nothing else is to be done."""

    id: int
    fault: AnyFault
    to_send: bytes


class Typed(msgspec.Struct, frozen=True):
    """Input for the attached session."""

    data: bytes


class Resized(msgspec.Struct, frozen=True):
    """The client's terminal has this size now."""

    size: Size


DaemonEvent = Greeted | Requested | Refuse | Typed | Resized


# --- the two ends -------------------------------------------------------------------------------------------


class ClientConnection:
    """A client's end: `start`, then calls; after the reply to Attach or Logs, a stream.

    Args:
        version: of the client program, for people.
        pid: of the client.
        capabilities: what it understands beyond the minimum of this protocol version.
    """

    def __init__(self, version: str, pid: int, capabilities: tuple[str, ...] = ()) -> None:
        self._hello = Hello(client=version, pid=pid, capabilities=capabilities)
        self._talk = Conversation()
        self._last_id = 0
        self._welcome: Welcome | None = None

    @property
    def state(self) -> State:
        """How far this connection is."""
        return self._talk.state

    @property
    def welcome(self) -> Welcome | None:
        """What the daemon said of itself, once it has."""
        return self._welcome

    def start(self) -> bytes:
        """Preamble and hello. Calls may follow at once, without waiting for the welcome."""
        to_send = preamble() + frame(CONTROL, codec.encode_message(self._hello))
        self._talk.say(Step.HELLO)
        return to_send

    def send(self, call: AnyCall | Call[R]) -> tuple[int, bytes]:
        """A call as (its id, bytes to send).

        Raises:
            LocalProtocolError: not in this state, or Attach or Logs while other calls are unanswered.
            ValueError: the call does not fit a frame, or holds text that is no UTF-8.
        """
        call_id = self._last_id + 1
        step = _step_of(call)
        why = self._talk.objection(call_id, step)
        if why:
            raise LocalProtocolError(why)
        to_send = frame(CONTROL, codec.encode_call(call_id, call))
        self._talk.say(step)
        self._talk.pending[call_id] = codec.reply_type(type(call))
        self._last_id = call_id
        return call_id, to_send

    def data(self, data: bytes) -> bytes:
        """What was typed, as frames of at most 64 KiB. Raises LocalProtocolError when not attached."""
        self._talk.say(Step.INPUT)
        pieces = (data[i : i + MAX_DATA_BYTES] for i in range(0, len(data), MAX_DATA_BYTES))
        return b"".join(frame(DATA, piece) for piece in pieces)

    def resize(self, size: Size) -> bytes:
        """The terminal's new size.

        Raises:
            LocalProtocolError: not attached.
            ValueError: no columns or rows, or a number over 65535.
        """
        to_send = frame(RESIZE, pack_size(size))
        self._talk.say(Step.SIZE)
        return to_send

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """What the daemon's bytes mean; any cut between them will do.

        Raises:
            VersionMismatch: the daemon speaks another major version.
            RemoteProtocolError: the daemon broke the rules; nothing more can be received.
            LocalProtocolError: called again after such an error.
        """
        try:
            return [self._event(kind, body) for kind, body in self._talk.read(data)]
        except RemoteProtocolError:
            self._talk.state = State.BROKEN
            raise

    def _event(self, kind: int, body: bytes) -> ClientEvent:
        if kind == CONTROL:
            return self._control_event(body)
        if kind not in (DATA, REPAINT):
            raise RemoteProtocolError(f"a frame of kind {kind} from a daemon")
        self._talk.hear(Step.DATA if kind == DATA else Step.REPAINT)
        try:
            offset, output = unpack_output(body)
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from error
        if kind == DATA and offset < self._talk.offset:
            raise RemoteProtocolError(f"data up to {offset} after {self._talk.offset}")
        self._talk.offset = offset
        return Data(offset, output) if kind == DATA else Repaint(offset, output)

    def _control_event(self, body: bytes) -> ClientEvent:
        message = codec.decode_for_client(body)
        if isinstance(message, Refusal) and message.id == CONNECTION_ID:
            self._talk.hear(Step.DISMISSAL)
            return Dismissed(codec.decode_fault(message.fault))
        if isinstance(message, Welcome) is not (self._welcome is None):
            raise RemoteProtocolError("the first frame, and no other, is a welcome")
        match message:
            case Welcome():
                self._welcome = message
                return Welcomed(message)
            case Reply():
                self._talk.hear(_answer_step(self._answered(message.id)))
                return Replied(message.id, message.value)
            case Refusal():
                self._answered(message.id)
                self._talk.hear(Step.REFUSAL)
                return Refused(message.id, codec.decode_fault(message.fault))
            case End():
                self._talk.hear(Step.END)
                return Ended(message)

    def _answered(self, call_id: int) -> type[Value]:
        try:
            return self._talk.pending.pop(call_id)
        except KeyError:
            raise RemoteProtocolError(f"an answer to call {call_id}, which waits for none") from None


class DaemonConnection:
    """A daemon's end for one client.

    Args:
        version: of the daemon program, for people.
        pid: of the daemon.
        capabilities: what it understands beyond the minimum of this protocol version.
    """

    def __init__(self, version: str, pid: int, capabilities: tuple[str, ...] = ()) -> None:
        self._welcome = Welcome(server=version, pid=pid, limits=LIMITS, capabilities=capabilities)
        self._talk = Conversation()

    @property
    def state(self) -> State:
        """How far this connection is."""
        return self._talk.state

    @property
    def is_midway(self) -> bool:
        """True when the client has begun a frame and not ended it: it may be given only so much time."""
        return self._talk.is_midway

    def start(self) -> bytes:
        """The preamble, to be sent before anything is read: it tells another version which side is older."""
        return preamble()

    def receive_data(self, data: bytes) -> list[DaemonEvent]:
        """What the client's bytes mean; any cut between them will do.

        Whatever was still on its way after `end` or `dismiss` is dropped.

        Raises:
            VersionMismatch: the client speaks another major version.
            RemoteProtocolError: the client broke the rules; nothing more can be received.
            LocalProtocolError: called again after such an error.
        """
        if self._talk.state is State.ENDED:
            return []
        try:
            return [self._event(kind, body) for kind, body in self._talk.read(data)]
        except RemoteProtocolError:
            self._talk.state = State.BROKEN
            raise

    def reply(self, call_id: int, value: Value) -> bytes:
        """The answer to a call; after Attached or LogsStarted the connection is a stream.

        Raises:
            LocalProtocolError: no call waits under this id, or its reply is of another type.
            ValueError: the reply does not fit a frame or holds text that is no UTF-8; the call still waits,
                so that it can be refused.
        """
        expected = self._waiting(call_id)
        if type(value) is not expected:
            raise LocalProtocolError(
                f"call {call_id} is answered by {expected.__name__}, not {type(value).__name__}"
            )
        to_send = frame(CONTROL, codec.encode_reply(call_id, value))
        self._talk.say(_answer_step(expected))
        del self._talk.pending[call_id]
        return to_send

    def refuse(self, call_id: int, fault: AnyFault) -> bytes:
        """The refusal of a call. Raises as `reply`."""
        self._waiting(call_id)
        to_send = frame(CONTROL, codec.encode_refusal(call_id, fault))
        self._talk.say(Step.REFUSAL)
        del self._talk.pending[call_id]
        return to_send

    def data(self, offset_after: int, data: bytes) -> bytes:
        """Output and the record offset that follows it.

        One call is one frame: only the caller knows the offset in the middle of bytes from which queries were
        cut, and a frame's offset must never claim a byte that has not been sent.

        Raises:
            LocalProtocolError: no stream is open.
            ValueError: over MAX_OUTPUT_BYTES, or an offset before that of the last frame.
        """
        if len(data) > MAX_OUTPUT_BYTES:
            raise ValueError(f"{len(data)} bytes of output; the limit is {MAX_OUTPUT_BYTES}")
        if offset_after < self._talk.offset:
            raise ValueError(f"data up to {offset_after} after {self._talk.offset}")
        to_send = frame(DATA, pack_output(offset_after, data))
        self._talk.say(Step.DATA)
        self._talk.offset = offset_after
        return to_send

    def repaint(self, offset: int, data: bytes) -> bytes:
        """The whole screen as it is at record offset `offset`, which may lie before that of the last frame.

        Raises:
            LocalProtocolError: no terminal is attached.
            ValueError: over MAX_REPAINT_BYTES.
        """
        if len(data) > MAX_REPAINT_BYTES:
            raise ValueError(f"{len(data)} bytes of repaint; the limit is {MAX_REPAINT_BYTES}")
        to_send = frame(REPAINT, pack_output(offset, data))
        self._talk.say(Step.REPAINT)
        self._talk.offset = offset
        return to_send

    def end(self, end: End) -> bytes:
        """The last frame of a stream. Raises LocalProtocolError when none is open."""
        to_send = frame(CONTROL, codec.encode_message(end))
        self._talk.say(Step.END)
        return to_send

    def dismiss(self, fault: AnyFault) -> bytes:
        """Say why this connection is about to be closed, even to a client that broke the rules.

        Raises:
            LocalProtocolError: the connection has already been ended.
        """
        to_send = frame(CONTROL, codec.encode_refusal(CONNECTION_ID, fault))
        if self._talk.state is State.BROKEN:
            self._talk.state = State.ENDED
        else:
            self._talk.say(Step.DISMISSAL)
        return to_send

    def _event(self, kind: int, body: bytes) -> DaemonEvent:
        if kind == DATA:
            self._talk.hear(Step.INPUT)
            return Typed(body)
        if kind == RESIZE:
            self._talk.hear(Step.SIZE)
            try:
                return Resized(unpack_size(body))
            except ValueError as error:
                raise RemoteProtocolError(str(error)) from error
        if kind != CONTROL:
            raise RemoteProtocolError(f"a frame of kind {kind} from a client")
        message = codec.decode_for_daemon(body)
        match message:
            case Hello():
                self._talk.hear(Step.HELLO)
                return Greeted(message, frame(CONTROL, codec.encode_message(self._welcome)))
            case Request():
                return self._request_event(message)

    def _request_event(self, request: Request) -> Requested | Refuse:
        try:
            call = codec.decode_call(request.call)
        except Rejected as rejected:
            self._check(request.id, Step.CALL)
            self._talk.hear(Step.CALL)
            to_send = frame(CONTROL, codec.encode_refusal(request.id, rejected.fault))
            return Refuse(request.id, rejected.fault, to_send)
        step = _step_of(call)
        self._check(request.id, step)
        self._talk.hear(step)
        self._talk.pending[request.id] = codec.reply_type(type(call))
        return Requested(request.id, call)

    def _check(self, call_id: int, step: Step) -> None:
        why = self._talk.objection(call_id, step)
        if why:
            raise RemoteProtocolError(why)

    def _waiting(self, call_id: int) -> type[Value]:
        try:
            return self._talk.pending[call_id]
        except KeyError:
            raise LocalProtocolError(f"no call waits for an answer under id {call_id}") from None


def _step_of(call: AnyCall | Call[R]) -> Step:
    match call:
        case Attach():
            return Step.ATTACH
        case Logs():
            return Step.LOGS
        case _:
            return Step.CALL


def _answer_step(reply: type[Value]) -> Step:
    if reply is Attached:
        return Step.ATTACHED
    if reply is LogsStarted:
        return Step.LOGS_STARTED
    return Step.REPLY
