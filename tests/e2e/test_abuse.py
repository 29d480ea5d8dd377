"""Broken and hostile programs of the same user at the daemon's socket: it lives, stays small, and serves the others."""

import contextlib
import resource
import socket
import struct
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claudectl.client import Client
from claudectl_protocol.calls import Attach, List, Status, Target
from claudectl_protocol.codec import encode_call
from claudectl_protocol.connection import ClientConnection, Dismissed
from claudectl_protocol.faults import BadRequest
from claudectl_protocol.framing import CONTROL, DATA, MAX_FRAME_BYTES, frame, preamble
from claudectl_protocol.sessions import Lifecycle, Size
from tests.counts import times
from tests.e2e.scripts import WAIT
from tests.e2e.world import DEADLINE_S, Fifo, World

MIB = 1 << 20
ROOM_BYTES = 24 * MIB
"""What a daemon may grow by; each of these tests would make a careless one grow by far more."""

FLOOD = """
import sys
for _ in range(64 * 1024):
    sys.stdout.write("x" * 1022 + "\\n")
sys.stdout.write("flooded\\n")
sys.stdout.flush()
with open(sys.argv[1], "w") as fifo:
    fifo.write("flooded\\n")
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """A world with a session that must not notice anything."""
    with World() as made:
        made.run(WAIT, name="standing")
        yield made
        made.end()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world; at the end the same daemon serves, has not grown, and the session runs."""
    before, pid = shared.rss_bytes(), shared.daemon_pid()
    yield shared
    assert shared.daemon_pid() == pid
    assert shared.shown("standing")["lifecycle"] == "active"
    assert shared.rss_bytes() < before + ROOM_BYTES


def connected(world: World) -> socket.socket:
    """A connection on which nothing has been said."""
    connection = socket.socket(socket.AF_UNIX)
    # With a time limit Python does not wait where the backlog is full.
    connection.connect(world.socket)
    connection.settimeout(DEADLINE_S)
    return connection


def greeting() -> bytes:
    """Preamble and hello."""
    return ClientConnection("0", 1).start()


def last_word(connection: socket.socket) -> bytes:
    """Everything that the daemon says until it closes the connection."""
    heard = b""
    try:
        while data := connection.recv(65536):
            heard += data
    except ConnectionResetError:
        pass
    return heard


def abuse(world: World, data: bytes) -> bytes:
    """Send bytes and no more; what the daemon had to say."""
    with connected(world) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had heard enough
        return last_word(connection)


def dismissal(heard: bytes) -> Dismissed:
    """Why the daemon ended the connection."""
    client = ClientConnection("0", 1)
    client.start()
    last = client.receive_data(heard)[-1]
    assert isinstance(last, Dismissed)
    return last


def frames(kinds: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    """Frames with honest lengths and any content."""
    return st.builds(
        lambda kind, body: struct.pack(">IB", len(body) + 1, kind) + body, kinds, st.binary(max_size=300)
    )


GARBAGE = st.one_of(
    st.binary(max_size=2000),
    st.binary(max_size=2000).map(lambda data: preamble() + data),
    st.binary(max_size=2000).map(lambda data: greeting() + data),
    st.lists(frames(st.sampled_from([CONTROL, DATA, ord("R"), ord("S"), 0, 255])), max_size=5).map(
        lambda some: greeting() + b"".join(some)
    ),
)


@settings(
    max_examples=times(150, 20_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(GARBAGE)
def test_garbage_costs_its_own_connection_only(world: World, data: bytes) -> None:
    abuse(world, data)

    with Client.connect(world.socket) as client:
        assert client.call(Status(), timeout_s=DEADLINE_S).active == 1


@settings(
    max_examples=times(60, 5_000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_call_that_is_cut_off_anywhere_is_not_done(world: World, data: st.DataObject) -> None:
    client = ClientConnection("0", 1)
    whole = client.start() + client.send(List(cwd="/", all_projects=True))[1]
    cut = data.draw(st.integers(0, len(whole) - 1))

    heard = abuse(world, whole[:cut])

    listener = ClientConnection("0", 1)
    listener.start()
    listener.send(List(cwd="/"))
    # At most a welcome: no reply, and no complaint that nobody could read.
    assert len(listener.receive_data(heard)) <= 1


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 2**31, 2**32 - 1])
def test_a_giant_frame_is_refused_by_its_length(world: World, length: int) -> None:
    with connected(world) as connection:
        connection.sendall(greeting() + struct.pack(">IB", length, CONTROL))
        why = dismissal(last_word(connection))

    assert why.fault == BadRequest(why=f"a frame of {length} bytes; the limit is {MAX_FRAME_BYTES}")


def test_many_unfinished_frames_are_given_up_with_their_connections(world: World) -> None:
    half = greeting() + struct.pack(">IB", MAX_FRAME_BYTES, CONTROL) + bytes(MAX_FRAME_BYTES // 2)
    for _ in range(times(100, 2000)):
        abuse(world, half)


def test_three_hundred_connections_at_once_are_all_served(world: World) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client.connect(world.socket, DEADLINE_S)) for _ in range(300)]
        for client in clients:
            assert client.call(Status(), timeout_s=DEADLINE_S).active == 1

        world.ctl("ls")


def test_a_thousand_silent_connections_keep_nobody_out(world: World) -> None:
    _allow_files(1200)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(world)) for _ in range(1000)]

        world.ctl("ls")

        # Those that have been silent for the longest time made room.
        last_word(silent[0])


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def test_who_asks_and_never_reads_is_given_up(world: World) -> None:
    client = ClientConnection("0", 1)
    with connected(world) as connection:
        connection.sendall(client.start())
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _ask(connection, 50_000)

    world.ctl("ls")


def _ask(connection: socket.socket, times: int) -> None:
    for number in range(1, times):
        # Not by ClientConnection, which would keep count of what is unanswered.
        connection.sendall(frame(CONTROL, encode_call(number, Status())))


def test_a_client_that_never_reads_its_terminal_holds_nobody_up(world: World) -> None:
    fifo = Fifo(world.home / "flood")
    script = world.home / "flood.py"
    script.write_text(FLOOD)
    before = world.rss_bytes()
    target = Target(text="flood", cwd=str(world.project))
    size = Size(cols=80, rows=24)
    world.new("-n", "flood", "--command", "--", sys.executable, str(script), str(fifo.path))
    with Client.connect(world.socket) as mute:
        mute.call(Attach(target=target, size=size))
        # 64 MiB that the mute one does not read: the child is done all the same.
        assert fifo.line() == "flooded"

        assert world.rss_bytes() < before + ROOM_BYTES
        with world.attach("flood", size=size) as other:
            other.wait_for("flooded")
        sessions = world.ctl("ls", "--json").json()["sessions"]
        assert isinstance(sessions, list)
        assert {one["lifecycle"] for one in sessions} == {Lifecycle.ACTIVE.value}
    fifo.close()
    world.ctl("rm", "--force", "flood")
