"""The daemon's side, against peers that say what no keeper should, or say it and go."""

import os
import socket
from collections.abc import Iterator

import pytest

from claudectld.keeper import wire
from claudectld.keeper.client import KeeperClient
from claudectld.ports import EndedRun, KeeperGone, KeeperLost
from tests.claudectld.keeper.harness import Desk, Home, spec

pytestmark = pytest.mark.anyio


@pytest.fixture
def listener(home: Home) -> Iterator[socket.socket]:
    home.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(home.socket))
        made.listen()
        yield made


async def test_what_a_keeper_said_before_it_went_is_heard_before_the_loss(
    home: Home, listener: socket.socket
) -> None:
    made = spec("/bin/true")
    ended = {"run": made.run, "session": made.session, "code": 3, "signal": None, "at": 1.0}
    async with KeeperClient(home.socket) as client:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(wire.encode({"event": "ended", **ended, "reason": "exited", "size_bytes": 4}))
        with pytest.raises(KeeperGone):
            await client.ping()
        desk = Desk(home, client)
        event = await desk.next()
        assert isinstance(event, EndedRun)
        assert (event.run, event.exit.code, event.size_bytes) == (made.run, 3, 4)
        assert isinstance(await desk.next(), KeeperLost)


@pytest.mark.parametrize(
    "words",
    [
        b"\xff" * 100,
        wire.encode({"event": "grown", "run": 1}),
        wire.encode({"id": 1, "legs": [{}]}),
        wire.encode({"fds": 1}),
    ],
)
async def test_words_that_make_no_sense_are_a_loss(home: Home, listener: socket.socket, words: bytes) -> None:
    async with KeeperClient(home.socket) as client:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(words)
            lost = await Desk(home, client).until_lost()
            assert "make no sense" in lost.why
            with pytest.raises(KeeperGone, match="make no sense"):
                await client.ping()


async def test_a_keeper_of_another_protocol_is_not_talked_to(home: Home, listener: socket.socket) -> None:
    process = {"boot_id": "b", "pid": 1, "start_ticks": 1}
    greeting = {"id": 1, "protocol": 99, "keeper": process, "epoch": 1, "live": [], "ended": []}
    async with KeeperClient(home.socket) as client:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(wire.encode(greeting))
            with pytest.raises(KeeperGone, match="speaks protocol 99"):
                await client.hello()


async def test_an_answer_that_makes_no_sense_is_keeper_gone(home: Home, listener: socket.socket) -> None:
    async with KeeperClient(home.socket) as client:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(wire.encode({"id": 1, "pids": "none"}))
            with pytest.raises(KeeperGone, match="answer to end makes no sense"):
                await client.end(spec("/bin/true").run, 0)


async def test_a_batch_over_the_limit_is_refused_before_it_is_sent(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("read wait")
        with pytest.raises(ValueError, match="larger than"):
            await desk.client.type(run.run, "batch", b"x" * ((1 << 20) + 1))
        await desk.client.ping()


async def test_leaving_closes_the_legs_and_releasing_hands_them_over(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("read wait")
        (kept,) = desk.client.release()
        assert desk.client.legs() == ()
        assert (await desk.client.hello()).live[0].run == run.run
        (closed,) = desk.client.legs()
        assert os.isatty(closed.master)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(closed.master)
    assert os.isatty(kept.master)
    kept.close()


async def test_the_leg_of_a_run_that_ended_is_closed(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("read wait")
        (leg,) = desk.client.legs()
        await desk.client.type(run.run, "1", b"\n")
        await desk.until_ended(run)
        assert desk.client.legs() == ()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(leg.master)


async def test_descriptors_are_not_inherited_by_what_the_daemon_runs(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        await desk.shell("read wait")
        (leg,) = desk.client.legs()
        assert leg.pidfd is not None
        assert not os.get_inheritable(leg.master)
        assert not os.get_inheritable(leg.pidfd)
