"""Who is answered, and how: foreigners, probes, garbage, older controllers, and requests that make no sense."""

import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from claudectld.keeper import wire
from claudectld.keeper.client import KeeperClient
from claudectld.keeper.wire import Decoder
from claudectld.ports import EndedRun, Grown, KeeperGone
from tests.claudectld.keeper.harness import DEADLINE_S, Home, spec
from tests.counts import times

pytestmark = pytest.mark.anyio


class Caller:
    """A peer that says exactly what it is told to."""

    def __init__(self, home: Home) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(home.socket))
        self.socket.settimeout(DEADLINE_S)  # before connecting it would turn a full queue into an error
        self._decoder = Decoder()

    def say(self, data: bytes) -> None:
        """Send bytes; a keeper that closed already is no error."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def is_heard(self, data: bytes) -> bool:
        """False when the keeper has closed; bytes that it does not take now are dropped."""
        try:
            self.socket.send(data)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def ask(self, **header: object) -> Mapping[str, object]:
        """One request and the next frame."""
        self.say(wire.encode(header))
        heard = self.hear()
        assert heard is not None
        return heard

    def hear(self) -> Mapping[str, object] | None:
        """The next frame's header, None at the end of the connection."""
        while True:
            for frame in self._decoder.frames():
                wire.close_all(frame.fds)
                return frame.header
            try:
                data, fds = wire.receive(self.socket)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._decoder.feed(data, fds)


@contextmanager
def caller(home: Home) -> Iterator[Caller]:
    made = Caller(home)
    with made.socket:
        yield made


async def test_a_newer_controller_fences_the_older(home: Home) -> None:
    home.start()
    async with home.desk() as old:
        run = await old.shell("read wait")
        async with home.desk() as new:
            lost = await old.until_lost()
            assert lost.why == "another daemon took the keeper over"
            with pytest.raises(KeeperGone, match="another daemon"):
                await old.client.signal(run.run, signal.SIGKILL)
            assert len(old.client.legs()) == 1
            assert (await new.client.hello()).live[0].run == run.run


async def test_each_hello_has_a_higher_epoch(home: Home) -> None:
    home.start()
    async with KeeperClient(home.socket) as one:
        first = (await one.hello()).epoch
        second = (await one.hello()).epoch
        async with KeeperClient(home.socket) as two:
            third = (await two.hello()).epoch
    assert first < second < third


async def test_a_controller_that_says_hello_again_still_hears_what_it_watches(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("stty -echo; echo ready; read line; echo more; read line")
        printed = await desk.until_printed(run, b"ready")
        await desk.client.watch(run.run, len(printed))

        await desk.client.hello()
        await desk.client.type(run.run, "go", b"\n")

        grown = await desk.next()
        assert isinstance(grown, Grown)
        assert grown.size_bytes > len(printed)


async def test_a_connection_without_hello_changes_nothing_and_may_not_act(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("read wait")
        for _ in range(times(100, 1000)):
            with caller(home):
                pass
        with caller(home) as probe:
            assert probe.ask(id=1, request="ping") == {"id": 1}
            assert probe.ask(id=2, request="hello", control=False)["live"]
            for request in (
                {"request": "signal", "run": run.run, "signal": 9},
                {"request": "end", "run": run.run, "signal": 9},
                {"request": "legs", "runs": [run.run]},
                {"request": "type", "run": run.run, "batch": "b"},
            ):
                assert probe.ask(id=3, **request)["error"] == "not_controller"
        await desk.client.ping()
        assert (await desk.client.hello()).live[0].run == run.run


async def test_silent_connections_keep_nobody_out(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        silent = [Caller(home) for _ in range(100)]
        await desk.client.ping()
        with caller(home) as late:
            assert late.ask(id=1, request="ping") == {"id": 1}
        for each in silent:
            each.socket.close()
        await desk.client.ping()


async def test_no_request_however_wrong_hurts_the_keeper(home: Home) -> None:
    keeper = home.start()
    good: dict[str, object] = {
        "request": "spawn",
        "run": spec("x").run,
        "session": spec("x").session,
        "argv": ["/bin/true"],
        "cwd": "/",
        "env": {},
        "umask": 0,
        "rlimits": {},
        "groups": [],
        "size": {"cols": 1, "rows": 1, "xpixel": 0, "ypixel": 0},
        "segment_bytes": 1,
        "limit_bytes": 1,
    }
    wrong: list[object] = [None, 0, -1, 1 << 80, 1.5, True, "", "\0", "\ud800", [], [[]], {}, {"=": ""}, [""]]
    with caller(home) as each:
        assert "epoch" in each.ask(id=0, request="hello", control=True)
        assert each.ask(id=1, request="no such thing")["error"] == "unsupported"
        for name in good:
            for value in wrong:
                if value == good[name]:
                    continue
                answer = each.ask(id=2, **{**good, name: value})
                if (name == "umask" and value == 0) or (
                    name in ("groups", "argv", "env", "rlimits") and "error" not in answer
                ):
                    continue
                assert answer["error"] in ("bad_request", "unsupported", "spawn"), (name, value, answer)
        for request in ("type", "resize", "signal", "end", "watch", "adopt", "forget", "acknowledge", "legs"):
            assert each.ask(id=3, request=request)["error"] == "bad_request"
        assert each.ask(id=4, request="ping") == {"id": 4}
    assert keeper.poll() is None


async def test_garbage_closes_its_connection_and_no_other(home: Home) -> None:
    keeper = home.start()
    chance = random.Random(3)
    valid = wire.encode({"id": 1, "request": "hello", "control": False}, b"payload")
    async with home.desk() as desk:
        run = await desk.shell("read wait")
        for number in range(times(300, 10_000)):
            if number % 2:
                data = bytearray(valid)
                data[chance.randrange(len(data))] = chance.randrange(256)
                sent = bytes(data)
            else:
                sent = chance.randbytes(chance.randrange(100))
            with caller(home) as each:
                each.say(sent)
                each.socket.shutdown(socket.SHUT_WR)
                while each.hear() is not None:
                    pass
        with caller(home) as each:
            each.say(struct.pack(">II", 0xFFFFFFFF, 0))
            answer = each.hear()
            assert answer is not None
            assert answer["error"] == "bad_frame"
            assert each.hear() is None
        assert [live.run for live in (await desk.client.hello()).live] == [run.run]
    assert keeper.poll() is None


async def test_descriptors_sent_with_other_requests_are_closed(home: Home) -> None:
    home.start()
    reader, writer = os.pipe()
    with caller(home) as each:
        wire.send(each.socket, wire.encode({"id": 1, "request": "ping", "fds": 1}), (writer,))
        os.close(writer)
        answer = each.hear()
        assert answer is not None
        assert answer["error"] == "bad_request"
        assert select.select([reader], [], [], DEADLINE_S)[0]
        assert os.read(reader, 1) == b""
    os.close(reader)


async def test_a_client_that_vanishes_with_unread_replies_is_an_ordinary_end(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        for _ in range(20):
            each = Caller(home)
            each.say(wire.encode({"id": 1, "request": "hello", "control": False}) * 50)
            each.socket.close()
        await desk.client.ping()
    assert keeper.poll() is None


async def test_a_client_that_never_reads_is_cut_off_and_holds_nobody_up(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("read wait")
        with caller(home) as deaf:
            deaf.socket.settimeout(0)
            request = wire.encode({"id": 1, "request": "hello", "control": False})
            while deaf.is_heard(request * 500):
                await desk.client.ping()
        await desk.client.signal(run.run, signal.SIGKILL)
        assert isinstance(await desk.until_ended(run), EndedRun)


AS_NOBODY = (
    "import os, socket, sys\n"
    "os.setgid(65534); os.setuid(65534)\n"
    "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
    "try:\n"
    "    s.sendall(bytes.fromhex(sys.argv[2])); print(s.recv(100))\n"
    "except (BrokenPipeError, ConnectionResetError): print(b'')\n"
)


def answer_to_nobody(home: Home, request: bytes) -> str:
    command = [sys.executable, "-I", "-c", AS_NOBODY, str(home.socket), request.hex()]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.privileged
async def test_another_user_is_refused_whatever_the_modes(home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a second uid")
    home.start()
    home.path.chmod(0o777)
    home.socket.parent.chmod(0o777)
    home.socket.chmod(0o777)
    request = wire.encode({"id": 1, "request": "ping"})
    assert answer_to_nobody(home, request) == "b''\n"
    assert "foreign_peer uid=65534" in (home.state / "logs" / "keeper.log").read_text()
    with caller(home) as own:
        assert own.ask(id=1, request="ping") == {"id": 1}


WITH_A_DEFECT = """
import socket, sys
from claudectld.keeper import wire
from claudectld.keeper.endpoint import Endpoint
from claudectld.keeper.log import Log
from claudectld.keeper.loop import Loop
from claudectld.keeper.server import Server

class Defective(Server):
    def _greet(self, caller, *, control):
        if not control:
            raise ZeroDivisionError("a defect")
        super()._greet(caller, control=control)

loop = Loop()
endpoint = Endpoint(sys.argv[1])
log = Log(sys.argv[2] + "/log")
server = Defective(sys.argv[2], (1024, 1024), loop, log, code="code", upgrade=lambda request, caller: None)
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    server.accept(endpoint.listener)
    for control, number in ((False, 1), (True, 2)):
        client.sendall(wire.encode({"id": number, "request": "hello", "control": control}))
    heard = wire.Decoder()
    frames = []
    while len(frames) < 2:
        loop.turn()
        heard.feed(*wire.receive(client))
        frames += heard.frames()
endpoint.close()
assert [frame.header.get("error") for frame in frames] == ["internal", None], frames
"""


def test_a_defect_met_by_one_request_is_logged_and_costs_nobody_the_keeper(home: Home) -> None:
    command = [sys.executable, "-c", WITH_A_DEFECT, str(home.socket), str(home.path)]
    done = subprocess.run(command, check=False)
    log = (home.path / "log").read_text()
    assert done.returncode == 0, log
    assert "ZeroDivisionError: a defect" in log
