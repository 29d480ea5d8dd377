"""What the keeper hands to the code that goes on in its process: its whole state, as a file without a name.

The schema number is in the file. It grows when older code could misread what newer code wrote; code that does not
know a schema refuses it, and says so before anything has been given up.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from .connection import ConnectionState
from .endpoint import EndpointState
from .processes import Identity
from .record import Exit, RecordState
from .requests import Fields, Refused
from .run import RunState

SCHEMA = 1

_MOST_FD = (1 << 31) - 1
_MOST = (1 << 63) - 1


class Unreadable(Exception):
    """The file is not what this code can go on from; the message is a sentence."""


class KeeperState(NamedTuple):
    """Everything. Descriptors stay open under their numbers.

    `nofile` is the limit for children that name none, `controller` the descriptor of its connection, `asker` the
    (descriptor, request id) of who is to be told, `protocol` what the connections speak.
    """

    protocol: int
    nofile: tuple[int, int]
    lock: int
    endpoint: EndpointState
    epoch: int
    runs: tuple[RunState, ...]
    connections: tuple[ConnectionState, ...]
    controller: int | None
    asker: tuple[int, int] | None

    @property
    def fds(self) -> Iterator[int]:
        """Every descriptor that must stay open."""
        yield self.lock
        yield self.endpoint.listener
        for run in self.runs:
            for fd in (run.master, run.pidfd, run.record.segment):
                if fd is not None:
                    yield fd
        for connection in self.connections:
            yield connection.fd


def write(state: KeeperState, directory: str) -> int:
    """Put the state into a file that only its descriptor leads to. Raises OSError."""
    value = {
        "schema": SCHEMA,
        **state._asdict(),
        "endpoint": state.endpoint._asdict(),
        "runs": [_run_value(run) for run in state.runs],
        "connections": [_connection_value(connection) for connection in state.connections],
    }
    rest = memoryview(json.dumps(value, separators=(",", ":")).encode("ascii"))
    fd = _nameless(directory)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        os.close(fd)
        raise
    return fd


def read(fd: int) -> KeeperState:
    """The state in a file that `write` made. Raises Unreadable, OSError."""
    try:
        value = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    except (ValueError, RecursionError) as error:
        raise Unreadable("the state is no JSON") from error
    if not isinstance(value, dict):
        raise Unreadable("the state is no JSON object")
    fields = Fields(value)
    try:
        schema = fields.number("schema", 0, _MOST)
        if schema != SCHEMA:
            raise Unreadable(f"the state has schema {schema}, this code reads {SCHEMA}")
        return _state(fields)
    except Refused as refused:
        raise Unreadable(f"the state makes no sense: {refused.detail}") from refused


def _nameless(directory: str) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("keeper-state")
    path = os.path.join(directory, "keeper.state")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    os.unlink(path)
    return fd


def _run_value(run: RunState) -> dict[str, object]:
    return {
        **run._asdict(),
        "process": run.process._asdict(),
        "record": run.record._asdict(),
        # In one piece: there may be 4096 for each run, and taking up a list that long holds every terminal up.
        "typed": "\0".join(run.typed),
        "exit": None if run.exit is None else run.exit._asdict(),
    }


def _connection_value(connection: ConnectionState) -> dict[str, object]:
    return {
        "fd": connection.fd,
        "pid": connection.pid,
        "received": base64.b64encode(connection.received).decode("ascii"),
        "unsent": base64.b64encode(connection.unsent).decode("ascii"),
    }


def _state(fields: Fields) -> KeeperState:
    endpoint = fields.inner("endpoint")
    return KeeperState(
        protocol=fields.number("protocol", 1, _MOST),
        nofile=fields.pair("nofile", -1, _MOST),
        lock=_fd(fields, "lock"),
        endpoint=EndpointState(
            listener=_fd(endpoint, "listener"),
            bound=endpoint.pair("bound", 0, _MOST) if endpoint.has("bound") else None,
        ),
        epoch=fields.number("epoch", 0, _MOST),
        runs=tuple(_run(run) for run in fields.inners("runs")),
        connections=tuple(_connection(connection) for connection in fields.inners("connections")),
        controller=_fd(fields, "controller") if fields.has("controller") else None,
        asker=fields.pair("asker", -_MOST, _MOST) if fields.has("asker") else None,
    )


def _run(fields: Fields) -> RunState:
    process = fields.inner("process")
    return RunState(
        name=fields.uuid("name"),
        session=fields.uuid("session"),
        process=Identity(
            process.text("boot_id"),
            process.number("pid", 1, _MOST_FD),
            process.number("start_ticks", 0, _MOST),
        ),
        record=_record(fields.inner("record")),
        master=_fd(fields, "master") if fields.has("master") else None,
        pidfd=_fd(fields, "pidfd") if fields.has("pidfd") else None,
        adopted=fields.flag("adopted"),
        exit=_exit(fields.inner("exit")) if fields.has("exit") else None,
        acknowledged=fields.flag("acknowledged"),
        interrupted=fields.flag("interrupted"),
        watched=fields.number("watched", 0, _MOST) if fields.has("watched") else None,
        is_dead=fields.flag("is_dead"),
        status=fields.number("status", 0, _MOST_FD) if fields.has("status") else None,
        drained_bytes=fields.number("drained_bytes", 0, _MOST),
        is_hung_up=fields.flag("is_hung_up"),
        typed=fields.joined("typed"),
    )


def _record(fields: Fields) -> RecordState:
    return RecordState(
        segment_bytes=fields.number("segment_bytes", 1, _MOST),
        limit_bytes=fields.number("limit_bytes", 1, _MOST),
        size_bytes=fields.number("size_bytes", 0, _MOST),
        problem=fields.text("problem"),
        segment=_fd(fields, "segment") if fields.has("segment") else None,
        segments=fields.pairs("segments", 0, _MOST),
        unsaid=fields.text("unsaid"),
    )


def _exit(fields: Fields) -> Exit:
    return Exit(
        code=fields.number("code", 0, 255) if fields.has("code") else None,
        signal=fields.number("signal", 0, 255) if fields.has("signal") else None,
        at=fields.real("at"),
        reason=fields.text("reason"),
        size_bytes=fields.number("size_bytes", 0, _MOST),
    )


def _connection(fields: Fields) -> ConnectionState:
    return ConnectionState(
        fd=_fd(fields, "fd"),
        pid=fields.number("pid", 0, _MOST_FD),
        received=_bytes(fields, "received"),
        unsent=_bytes(fields, "unsent"),
    )


def _fd(fields: Fields, name: str) -> int:
    return fields.number(name, 0, _MOST_FD)


def _bytes(fields: Fields, name: str) -> bytes:
    try:
        return base64.b64decode(fields.text(name), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("bad_request", f"{name} is no base64") from error
